"""The status page: what it says in each state, and how its HTML is made."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.authentik.evidence import Evidence
from ropg_twisted.interfaces import Rates
from ropg_twisted.oauth.keys import KeyRing, SigningKey
from ropg_twisted.remedies import REMEDIES, help_url
from ropg_twisted.sandbox.accounts import ACCOUNTS, USUAL_PASSWORD
from ropg_twisted.settings.model import Client
from ropg_twisted.settings.values import rates
from ropg_twisted.status.page import STYLE, render
from ropg_twisted.status.state import Certificate, State
from ropg_twisted.telemetry.history import HOUR, Interval, Period
from ropg_twisted.verdict import Reason
from tests.client import Connection
from tests.composition import make_settings
from tests.memory import InMemoryDaemon
from tests.parametrize import parametrize
from tests.status.states import NOW, SECRET, day, hour, interval, make_state

VOID = {"meta", "link", "br"}


class Page(HTMLParser):
    """A page, read as a browser reads it: elements, headings, links and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Leave an element, which must be the one that was opened last."""
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep a text, and the element that it is in."""
        if self.open:
            self.texts.append((self.open[-1], data))

    @property
    def text(self) -> str:
        """The text of the page, in one line."""
        return " ".join(" ".join(text for _, text in self.texts).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def html(state: State) -> str:
    """The page of a state, as text."""
    pages: list[bytes] = []
    Deferred.fromCoroutine(render(state)).addCallback(pages.append)
    return pages[0].decode()


def busy() -> State:
    """A daemon to which something of each kind has happened."""
    reasons = {reason.value: number for number, reason in enumerate(Reason, 1)}
    minute = interval(**reasons)
    minute.refused["invalid_client"] = 7
    minute.relayed["tokens"] = 8
    minute.introspected["inactive"] = 9
    minute.traced, minute.seconds["flow"] = 4, 2.0
    return make_state(
        Reason.UPSTREAM_TLS,
        hour=hour(Interval(), minute, Interval()),
        day=day(minute),
        evidence=Evidence.IN_PLACE,
        evidence_age=7200.0,
        last_verified=NOW - 60,
        certificates=(Certificate("ssl:443", NOW + 5 * 86400),),
    )


class StateTests(SynchronousTestCase):
    """The head of the page."""

    def test_it_is_well_since_a_time(self) -> None:
        """The title of the tab says it too."""
        one = interval(verified=1)
        page = Page(html(make_state(hour=hour(one), day=day(one))))
        self.assertIn(("title", "All is well - ropg-twisted"), page.texts)
        self.assertIn(("h1", "All is well"), page.texts)
        expected = "Since 07:55 UTC, 5 minutes ago . Authentik answers, and passwords are checked."
        self.assertIn(expected, page.text)

    def test_nothing_has_happened_yet(self) -> None:
        """A new daemon has pictures without bars."""
        page = Page(html(make_state()))
        self.assertIn("No password has been checked yet.", page.text)
        self.assertIn("Every check of the last day was verified, or there was none.", page.text)
        self.assertIn("The daemon has run since 07:50 UTC, 10 minutes ago", page.text)
        bars = [a for a in page.all("rect") if a["class"].startswith("series") and "x" in a]
        self.assertEqual({a["width"] for a in bars}, {"16.00"}, "the legend only")

    @parametrize({reason.value: (reason,) for reason in Reason})
    def test_a_problem_comes_with_its_remedy_and_a_link(self, reason: Reason) -> None:
        """The texts are those of the table of reasons."""
        page = Page(html(make_state(reason)))
        self.assertIn(("h1", "No password can be checked"), page.texts)
        self.assertIn("Since 07:55 UTC, 5 minutes ago", page.text)
        self.assertIn(REMEDIES[reason].summary, page.text)
        if REMEDIES[reason].remedy:
            self.assertIn(f"What to do:  {REMEDIES[reason].remedy}".replace("  ", " "), page.text)
        self.assertIn(help_url(reason), [a["href"] for a in page.all("a")])

    def test_a_time_of_another_day_has_its_date(self) -> None:
        """An outage may last."""
        page = Page(html(make_state(Reason.FLOW_MISSING, since=NOW - 2 * 86400)))
        self.assertIn("Since 2027-01-13 08:00 UTC, 2 days ago", page.text)


class SectionTests(SynchronousTestCase):
    """The rest of the page."""

    def test_each_reason_has_its_counts_remedy_and_link(self) -> None:
        """Reasons of verified checks are left out, as there is nothing to do."""
        page = Page(html(busy()))
        links = [a["href"] for a in page.all("a")]
        for number, reason in enumerate(Reason, 1):
            if reason in (Reason.VERIFIED, Reason.VERIFIED_WITH_CODE):
                self.assertNotIn(help_url(reason), links)
                continue
            remedy = REMEDIES[reason]
            row = f"{reason.value} {remedy.summary} {remedy.remedy} {number} {number}"
            self.assertIn(row, page.text)
            self.assertIn(help_url(reason), links)
        self.assertIn("invalid_client 7 7", page.text)
        self.assertIn("tokens 8 8", page.text)
        self.assertIn("inactive 9 9", page.text)

    def test_the_figures_of_a_picture_are_in_its_table(self) -> None:
        """One row for each interval in which something happened."""
        minutes = [interval(verified=3, mfa=1, policy=2, throttled=1), *[Interval()] * 2]
        minutes[0].traced, minutes[0].seconds["password"] = 2, 3.0
        page = Page(html(make_state(hour=Period(*HOUR, 30.0, tuple(minutes)))))
        self.assertIn("07:57 3 1 0 2 1", page.text)
        self.assertIn("07:57 0.00 s 0.00 s 1.50 s 0.00 s", page.text)
        [verdicts, times] = [a["aria-label"] for a in page.all("svg") if "role" in a][:2]
        self.assertIn("3 verified, 1 interaction required, 2 denied, 1 unverifiable", verdicts)
        self.assertIn("1.50 s on average", times)

    def test_a_bar_is_as_high_as_its_number(self) -> None:
        """The parts of a bar stand upon each other, and end within the picture."""
        page = Page(html(make_state(hour=hour(interval(verified=60, wrong_credentials=40)))))
        bars = {
            a["class"]: (float(a["y"]), float(a["height"]))
            for a in page.all("rect")
            if a["class"].startswith("series") and a["width"] == "8.00"
        }
        self.assertEqual(set(bars), {"series verified", "series rejected"})
        (green, high), (orange, low) = bars["series verified"], bars["series rejected"]
        self.assertAlmostEqual(green + high, 120, 1)
        self.assertAlmostEqual(orange + low, green, 1)
        self.assertAlmostEqual(high / low, 60 / 40, 1)
        self.assertAlmostEqual(orange, 1, 1)

    @parametrize(
        {
            "nothing": (None, None, "The flow refuses a wrong password not known yet"),
            "in place": (Evidence.IN_PLACE, 7200.0, "as it must (in_place); seen 2 hours ago"),
            "restarts": (Evidence.RESTARTS, 3.0, "(restarts); seen 3 seconds ago"),
            "unknown": (Evidence.UNKNOWN, 60.0, "(unknown); seen 1 minute ago"),
        }
    )
    def test_the_evidence_has_an_age(
        self, evidence: Evidence | None, age: float | None, words: str
    ) -> None:
        """How the flow refuses, and when that was seen."""
        page = Page(html(make_state(evidence=evidence, evidence_age=age)))
        self.assertIn(words, page.text)

    def test_keys_and_certificates_have_their_dates(self) -> None:
        """And what each key is for now."""
        end = NOW + 10 * 86400
        keys = (
            SigningKey("ES256", None, "past", published_until=NOW + 3600),
            SigningKey("ES256", None, "present", published_until=end),
            SigningKey("ES256", None, "next", signs_from=NOW + 600),
            SigningKey("ES256", None, "later", signs_from=float("inf")),
        )
        certificates = (Certificate("ssl:8443", NOW + 5 * 86400),)
        page = Page(html(make_state(keys=KeyRing(keys[1], keys), certificates=certificates)))
        for words in (
            "Certificate of ssl:8443 2027-01-20, in 5 days",
            "past ES256; signs no more, but its tokens are still valid 2027-01-15, in 1 hour",
            "present ES256; signs now 2027-01-25, in 10 days",
            "next ES256; signs in 10 minutes no end",
            "later ES256; waits for a rotation no end",
        ):
            self.assertIn(words, page.text)

    def test_clients_and_limits_are_there(self) -> None:
        """As the settings have them."""
        client = Client("xcreds", "a-secret", rates=rates("user 3 per hour"), drop_on_outage=True)
        page = Page(
            html(
                make_state(
                    settings=make_settings(client, Client("fleet", rates=Rates()), max_checks=7),
                    running=3,
                    waiting=2,
                )
            )
        )
        for words in (
            "xcreds with a secret; password, authorization_code, refresh_token",
            "limits: user 3 per 1 hour, no limit of the address",
            "an outage drops the connection",
            "fleet public;",
            "At Authentik now 3 of 7",
            "Waiting now 2 of 28",
            "Checks that may wait 28",
        ):
            self.assertIn(words, page.text)


class MarkupTests(SynchronousTestCase):
    """The HTML of the page."""

    def test_it_is_read_well_by_a_screen_reader(self) -> None:
        """A language, one first heading, no level left out, and a scope for each table header."""
        page = Page(html(busy()))
        self.assertEqual(page.all("html"), [{"lang": "en"}])
        levels = [int(name[1]) for name, _ in page.elements if re.fullmatch("h[1-6]", name)]
        self.assertEqual((levels[0], levels.count(1)), (1, 1))
        self.assertLessEqual(max(below - above for above, below in pairwise(levels)), 1)
        self.assertTrue(all(a.get("scope") in ("col", "row") for a in page.all("th")))
        self.assertEqual(len(page.all("caption")), len(page.all("table")))
        for picture in page.all("svg"):
            self.assertTrue(picture.get("aria-label") or picture.get("aria-hidden"))
        ids = [a["id"] for _, a in page.elements if "id" in a]
        self.assertEqual(len(ids), len(set(ids)))
        targets = [a["href"][1:] for a in page.all("a") if a["href"].startswith("#")]
        self.assertLessEqual({*targets, *_labels(page)}, set(ids))
        for landmark in ("header", "main", "footer", "nav"):
            self.assertEqual(len(page.all(landmark)), 1)

    def test_it_runs_nothing_and_loads_its_style_only(self) -> None:
        """No script, no style and no handler in it, so the policy needs no exception."""
        text = html(busy())
        page = Page(text)
        self.assertEqual([a["href"] for a in page.all("link")], ["status.css"])
        used = {name for name, _ in page.elements}
        self.assertEqual(used & {"script", "style", "img", "iframe", "object", "form"}, set())
        names = {name for _, attributes in page.elements for name in attributes}
        self.assertEqual({n for n in names if n.startswith("on")} | names & {"style", "src"}, set())
        self.assertNotIn(b"url(", STYLE)
        self.assertNotIn(b"@import", STYLE)

    @given(st.text())
    def test_no_text_becomes_markup(self, text: str) -> None:
        """Settings and errors hold what they hold."""
        text = f"<script>&\"'{text}".encode("utf-8", "replace").decode()
        state = make_state(settings=make_settings(Client(text), flow_slug=text, issuer=text))
        state.day.intervals[0].refused[text] = 1
        page = html(state)
        self.assertNotIn("<script", page)
        self.assertEqual(page.count("&lt;script&gt;&amp;"), 5)


def _labels(page: Page) -> set[str]:
    return {a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a}


class PrivacyTests(SynchronousTestCase):
    """A daemon that has seen many users and has every secret."""

    def test_it_has_no_user_and_no_secret(self) -> None:
        """Whoever has logged in, and with whatever."""
        clients = '[[clients]]\nid = "mac"\nsecret = "client-canary"\n'
        daemon = InMemoryDaemon(
            self,
            clients,
            ROPG_ADMIN_LISTEN="tcp:8582",
            ROPG_OUTPOST_TOKEN="outpost-canary",
            JWT_SECRET=SECRET,
        )
        for account in ACCOUNTS:
            form = {"client_id": "mac", "client_secret": "client-canary"}
            daemon.password(account.username, account.password, **form)
        site: Any = daemon.clock.tcpServers[1][1]
        admin = Connection(site)
        admin.send(b"GET / HTTP/1.0\r\n\r\n")
        [reply] = admin.replies
        page = Page(reply.body.decode())
        self.assertIn(f"Checks in the last hour {len(ACCOUNTS)} ", page.text)
        for account in ACCOUNTS:
            words = (account.username, account.email, account.password, account.uid)
            self.assertFalse([w for w in words if re.search(rf"\b{re.escape(w)}\b", page.text)])
        for secret in ("canary", SECRET, USUAL_PASSWORD, "192.0.2.7"):
            self.assertNotIn(secret, reply.body.decode())
