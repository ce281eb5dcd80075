"""The sandbox's page of the directories over a real socket, used as a browser and curl use it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from typing import Any

from treq.client import HTTPClient
from twisted.internet import reactor as global_reactor
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent

from ropg_twisted.sandbox.directory import DirectoryState, EntryState
from ropg_twisted.sandbox.flow.signals import Authentication
from ropg_twisted.sandbox.http.app import Sandbox, sandbox_site
from tests.parametrize import parametrize

CORP = "/sandbox/directories/corp/"
LEA = f"{CORP}users/lea/"
AGAIN = "/sandbox/sources/corp-again/"


@dataclass(slots=True)
class Form:
    """A form of the page. ``fields``: what a browser sends if nothing is changed."""

    method: str
    fields: dict[str, str] = field(default_factory=dict)
    choices: dict[str, list[str]] = field(default_factory=dict)
    unlabelled: list[str] = field(default_factory=list)
    button: str = ""


class Page(HTMLParser):
    """The front page: its forms by their action, its scripts and its plain text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: dict[str, Form] = {}
        self.scripts = 0
        self.text = ""
        self._form = Form("")
        self._labelled = self._in_button = False
        self._select = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Read a form, and the controls in it."""
        values = dict(attrs)
        name, value = values.get("name") or "", values.get("value") or ""
        self.scripts += tag == "script" or any(key.startswith("on") for key, _ in attrs)
        match tag:
            case "form":
                self._form = self.forms[values.get("action") or ""] = Form(values["method"] or "")
            case "label":
                self._labelled = True
            case "input":
                self._form.fields[name] = value
                if not self._labelled and values.get("type") != "hidden":
                    self._form.unlabelled.append(name)
            case "select":
                self._select = name
                if not self._labelled:
                    self._form.unlabelled.append(name)
            case "option":
                self._form.choices.setdefault(self._select, []).append(value)
                if "selected" in values or self._select not in self._form.fields:
                    self._form.fields[self._select] = value
            case "button":
                self._in_button = True

    def handle_endtag(self, tag: str) -> None:
        """Leave a label or a button."""
        self._labelled = self._labelled and tag != "label"
        self._in_button = self._in_button and tag != "button"

    def handle_data(self, data: str) -> None:
        """Read the text."""
        self.text += f" {data}"
        if self._in_button:
            self._form.button += data


class DirectoryPageTests(TestCase):
    """A sandbox on loopback, and a client that follows what it is told."""

    reactor: Any = global_reactor

    def setUp(self) -> None:
        self.sandbox = Sandbox(self.reactor)
        self.corp = self.sandbox.directories["corp"]
        self.lea = self.corp.entries["lea"]
        port = self.reactor.listenTCP(0, sandbox_site(self.sandbox), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.url = f"http://127.0.0.1:{port.getHost().port}"
        self.client: Any = HTTPClient(Agent(self.reactor))

    async def page(self) -> Page:
        """The front page."""
        response = await self.client.get(self.url)
        self.assertEqual(response.code, 200)
        return Page(await response.text())

    async def post(self, action: str, **fields: str) -> Any:
        """Send a form, and follow nothing."""
        response = await self.client.post(self.url + action, fields, allow_redirects=False)
        await response.content()
        return response

    async def test_the_page_shows_the_directories_and_what_binds_have_cost(self) -> None:
        """States, users and counts are in its text."""
        self.corp.state, self.corp.failed_binds = DirectoryState.SICK, 1234
        self.lea.state, self.lea.failed_binds = EntryState.LOCKED, 567
        self.sandbox.accounts.set_active("lea", False)
        self.sandbox.authentications[:] = [
            *[Authentication("lea", False)] * 5,
            *[Authentication("lea", False, mistaken=True)] * 3,
            *[Authentication("lea", True)] * 2,
            Authentication("lea", True, mistaken=True),
        ]
        text = " ".join((await self.page()).text.split())
        for part in (
            "corp: sick",
            "branch: up",
            "Failed binds: 1234",
            "lea locked, disabled in Authentik 567",
            "3 accepted, of which 1 although wrong",
            "8 refused, of which 3 although right",
            "corp-again corp disabled",
        ):
            self.assertIn(part, text)

    async def test_every_form_can_be_used_without_a_script_or_a_mouse(self) -> None:
        """Each field has a label, each form a button that says what it is for."""
        page = await self.page()
        self.assertEqual(page.scripts, 0)
        self.assertEqual(page.forms[CORP].choices["state"], [one.value for one in DirectoryState])
        self.assertEqual(page.forms[LEA].choices["state"], [one.value for one in EntryState])
        buttons = [form.button for form in page.forms.values()]
        self.assertEqual(len(set(buttons)), len(buttons))
        for action, form in page.forms.items():
            self.assertEqual((form.method, form.unlabelled), ("post", []), action)
            self.assertTrue(form.button, action)

    async def test_a_form_that_is_sent_as_it_is_changes_nothing(self) -> None:
        """It shows the state that there is, and leads back to its place on the page."""
        self.corp.state = DirectoryState.HUNG
        self.corp.slow_seconds, self.corp.hung_seconds, self.corp.lockout_threshold = 2.5, 7.5, 3
        self.lea.state = EntryState.EXPIRED
        self.sandbox.accounts.set_active("lea", False)
        before = repr((self.corp, list(self.sandbox.accounts)))
        page = await self.page()
        for action in (CORP, LEA):
            response = await self.post(action, **page.forms[action].fields)
            self.assertEqual(response.code, 303)
            location = response.headers.getRawHeaders("location")
            self.assertEqual(location, ["/#directory-corp"])
        self.assertEqual(repr((self.corp, list(self.sandbox.accounts))), before)

    async def test_a_directory_is_switched_by_one_field(self) -> None:
        """The other settings stay as they are."""
        for state in DirectoryState:
            response = await self.post(CORP, state=state.value)
            self.assertEqual((response.code, self.corp.state), (303, state))
        await self.post(CORP, slow_seconds="0.5")
        await self.post(CORP, hung_seconds="1")
        await self.post(CORP, lockout_threshold="5")
        numbers = self.corp.slow_seconds, self.corp.hung_seconds, self.corp.lockout_threshold
        self.assertEqual(numbers, (0.5, 1, 5))
        self.assertEqual(self.corp.state, state)
        self.assertEqual(self.sandbox.directories["branch"].state, DirectoryState.UP)

    async def test_a_user_is_switched_in_the_directory_and_in_authentik(self) -> None:
        """To be unlocked begins a new count."""
        for state in EntryState:
            await self.post(LEA, state=state.value)
            self.assertEqual(self.lea.state, state)
        self.lea.failed_binds = 4
        await self.post(LEA, state="normal", active="off")
        await self.post(LEA, state="locked")
        account = self.sandbox.accounts.find("lea")
        assert account is not None
        self.assertFalse(account.active)
        self.assertEqual(self.lea.failed_binds, 4)
        await self.post(LEA, state="normal", active="on")
        self.assertEqual((self.lea.state, self.lea.failed_binds), (EntryState.NORMAL, 0))
        self.assertIn(account, [replace(one, active=False) for one in self.sandbox.accounts])

    async def test_a_source_is_switched(self) -> None:
        """The form of a source has the other state in it."""
        for enabled in (True, False):
            form = (await self.page()).forms[AGAIN]
            await self.post(AGAIN, **form.fields)
            self.assertEqual(self.sandbox.sources["corp-again"].enabled, enabled)

    @parametrize(
        {
            "an unknown state": (CORP, {"state": "gone"}, 400),
            "a word for seconds": (CORP, {"state": "down", "slow_seconds": "soon"}, 400),
            "NaN": (CORP, {"state": "down", "hung_seconds": "nan"}, 400),
            "too many seconds": (CORP, {"state": "down", "hung_seconds": "601"}, 400),
            "negative seconds": (CORP, {"state": "down", "slow_seconds": "-1"}, 400),
            "half a threshold": (CORP, {"state": "down", "lockout_threshold": "2.5"}, 400),
            "a directory's state for a user": (LEA, {"state": "down", "active": "off"}, 400),
            "no for off": (LEA, {"state": "locked", "active": "no"}, 400),
            "yes for on": (AGAIN, {"enabled": "yes"}, 400),
            "no such directory": ("/sandbox/directories/nowhere/", {"state": "down"}, 404),
            "no such user": (f"{CORP}users/nobody/", {"state": "locked"}, 404),
            "no such source": ("/sandbox/sources/nowhere/", {"enabled": "off"}, 404),
        }
    )
    async def test_what_is_not_understood_changes_nothing(
        self, action: str, fields: dict[str, str], status: int
    ) -> None:
        """The answer is 400, or 404 for what there is not."""
        before = repr((self.corp, self.sandbox.sources, list(self.sandbox.accounts)))
        response = await self.post(action, **fields)
        self.assertEqual(response.code, status)
        after = repr((self.corp, self.sandbox.sources, list(self.sandbox.accounts)))
        self.assertEqual(after, before)

    async def test_a_field_that_is_not_understood_is_named(self) -> None:
        """Its value is not repeated in the page."""
        response = await self.client.post(f"{self.url}{CORP}", {"slow_seconds": "<soon>"})
        text = await response.text()
        self.assertIn("slow_seconds is a number from 0 to 600", text)
        self.assertNotIn("<soon>", text)
