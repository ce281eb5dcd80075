"""The status page of a daemon as a process, in each state, as a real Chromium shows it.

Set TEST_SCREENSHOTS to a directory to keep the pictures.
"""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import requests
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.oauth.keys import new_key
from ropg_twisted.oauth.keystore import KEYS_FILE
from ropg_twisted.remedies import REMEDIES, help_url
from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.settings.model import MAX_TOKEN_LIFETIME
from ropg_twisted.verdict import Reason
from tests import FIRST_PYTHON_ONLY
from tests.browser.chromium import SCHEMES, SCREENSHOTS, WIDTHS, Chromium, missing
from tests.certificates import make_certificate
from tests.daemon import DaemonProcess, SandboxProcess
from tests.ports import free_port

WELL = "All is well"
DOWN = "No password can be checked"
RESTRICTED = "Passwords are checked, with a restriction"

JUDGED = (("desktop", "light"), ("phone", "dark"))
"""The pictures that axe-core judges: each layout, and each set of colours."""

USERS = ("lea", "noah", "mia", "emil", "ida")
"""Users whose passwords are in the directories of the sandbox."""

OVERFLOW = """
    const width = arguments[0];  // A phone zooms out of a page that is too wide: innerWidth grows.
    const wide = [...document.querySelectorAll("body *")].filter(element => {
        const box = element.getBoundingClientRect();
        return box.width && !element.closest(".skip, .wide > *") && box.right > width + 0.5;
    });
    return [document.documentElement.scrollWidth - width, wide.map(e => e.outerHTML)];
"""
"""Script that returns the width to scroll sideways, and the elements that stick out."""

CHOSEN = """
    const element = document.activeElement;
    const visible = element.checkVisibility() && element.getBoundingClientRect().x >= 0;
    return [visible, getComputedStyle(element).outlineStyle != "none", element.innerText];
"""
"""Whether the element that has the keyboard is visible, whether it shows that, and its text."""


class StatusPageTestCase(SynchronousTestCase):
    """A browser, and a folder for daemons and pictures."""

    skip = FIRST_PYTHON_ONLY or missing()
    timeout = 120

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.pictures = Path(SCREENSHOTS or self.folder)
        self.browser = Chromium()
        self.addCleanup(self.browser.quit)

    def daemon(self, *, tls: bool = False, **environ: str) -> DaemonProcess:
        """A daemon with an admin listener. ``tls``: it has a certificate for one day."""
        port = free_port()
        self.admin = f"http://127.0.0.1:{port}/"
        where = f"tcp:{port}:interface=127.0.0.1"
        settings: dict[str, Any] = {"ROPG_ADMIN_LISTEN": where, "ROPG_LIMITS": "off", **environ}
        if tls:
            pem = make_certificate(self.folder)
            settings["listen"] = f"ssl:{{port}}:privateKey={pem}:certKey={pem}:interface=127.0.0.1"
            settings["scheme"] = "https"
        return DaemonProcess(self.folder, **settings)

    def check(self, daemon: DaemonProcess, name: str, password: str = USUAL_PASSWORD) -> int:
        """The status of a password check."""
        form = {"grant_type": "password", "client_id": "jamf-connect", "username": name}
        url = f"{daemon.url}/oauth/token"
        answer = requests.post(url, {**form, "password": password}, verify=False, timeout=30)
        return answer.status_code

    def assert_fits(self, width: int) -> None:
        """Assert that nobody has to scroll sideways, except in a table that scrolls by itself."""
        self.assertEqual(self.browser.run(OVERFLOW, width), [0, []])

    def look(self, name: str, title: str, *words: str) -> None:
        """Assert that the page says this at its top, on a desktop and on a phone.

        Takes a picture of each: on both in light and dark if the pictures are to be kept.
        """
        for device, scheme in product(WIDTHS, SCHEMES) if SCREENSHOTS else JUDGED:
            self.browser.show(self.admin, WIDTHS[device], scheme)
            self.browser.save(self.pictures / f"{name}-{device}-{scheme}.png")
            heading = self.browser.driver.find_element(By.TAG_NAME, "h1")
            self.assertTrue(heading.is_displayed())
            self.assertEqual(heading.text, title)
            self.assertLess(heading.rect["y"] + heading.rect["height"], 400)
            shown = self.browser.driver.find_element(By.TAG_NAME, "body").text
            for text in words:
                self.assertIn(text, shown)
            self.assert_fits(WIDTHS[device])
            self.assertEqual(self.browser.complaints(), [])
            if (device, scheme) in JUDGED:
                self.assertEqual(self.browser.violations(), [])

    def look_at_reason(self, name: str, title: str, reason: Reason, *words: str) -> None:
        """Assert, likewise, that the remedy of a reason is there, and a link to its help."""
        remedy = REMEDIES[reason]
        self.look(name, title, remedy.summary, f"What to do: {remedy.remedy}", *words)
        links = self.browser.driver.find_elements(By.CSS_SELECTOR, "section.state a")
        self.assertIn(help_url(reason), [link.get_attribute("href") for link in links])


class StateTests(StatusPageTestCase):
    """States into which a daemon is put for real."""

    def test_nothing_has_happened_yet(self) -> None:
        """A daemon that has just been started."""
        with self.daemon():
            self.look("new", WELL, "No password has been checked yet.", "Ready")

    def test_all_is_well(self) -> None:
        """Among others one Mac with a stale password, and one user who is locked out."""
        limits = "user 5 per 15 minutes, address 1000 per minute"
        with self.daemon(ROPG_LIMITS=limits) as daemon:
            for _ in range(3):
                for name in ("alice", "bob", "grace", "victor", "peggy", "lea"):
                    self.check(daemon, name)
                self.check(daemon, "wendy", "a stale password")
            for number in range(7):
                self.check(daemon, "mallory", f"guess {number}")
            requests.post(f"{daemon.url}/oauth/token", {"client_id": "nobody"}, timeout=30)
            reasons = (Reason.STALE_PASSWORD, Reason.THROTTLED, Reason.WRONG_CREDENTIALS)
            remedies = [REMEDIES[reason].remedy for reason in reasons]
            self.look("well", WELL, *remedies, "Authentik answers, and passwords are checked.")

    def test_authentik_is_down(self) -> None:
        """Its process has ended; checks before were verified."""
        sandbox = SandboxProcess(self.folder)
        with sandbox, self.daemon(AUTHENTIK_URL=sandbox.url) as daemon:
            for name in ("alice", "victor", "peggy"):
                self.assertEqual(self.check(daemon, name), 200)
            sandbox.end()
            for name in ("alice", "victor", "peggy") * 4:
                self.assertEqual(self.check(daemon, name), 503)
            words = "Down", "Circuit breaker", "open: Authentik is not asked"
            self.look_at_reason("down", DOWN, Reason.UPSTREAM_CONNECTION, *words)

    def test_the_certificate_of_authentik_is_wrong(self) -> None:
        """Nobody has signed it. Another daemon is in the place of Authentik."""
        with self.daemon(tls=True) as other, self.daemon(AUTHENTIK_URL=other.url):
            self.look_at_reason("tls", DOWN, Reason.UPSTREAM_TLS)

    def test_authentik_hangs(self) -> None:
        """It accepts connections and says nothing; the page does not wait for the deadline."""
        silent = socket.create_server(("127.0.0.1", 0), backlog=100)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with silent, self.daemon(AUTHENTIK_URL=url, ROPG_DEADLINE="60"):
            self.look_at_reason("hangs", "Authentik does not answer", Reason.UPSTREAM_TIMEOUT)

    def test_the_flow_restarts(self) -> None:
        """A refusal looks like an acceptance."""
        with self.daemon(FLOW_SLUG="restart"):
            words = "by a restart, so no answer can be believed"
            self.look_at_reason("flow-restarts", DOWN, Reason.FLOW_RESTARTS, words)

    def test_the_flow_has_a_captcha(self) -> None:
        """Nobody gets past it without a browser, as checks show."""
        with self.daemon(FLOW_SLUG="captcha-flow") as daemon:
            statuses = [self.check(daemon, name) for name in ("alice", "victor", "peggy")]
            self.assertEqual(statuses, [503] * 3)
            reason = Reason.FLOW_NOT_HEADLESS
            self.look_at_reason("captcha", "Checks end without a verdict", reason)

    def test_the_directory_is_down(self) -> None:
        """Passwords of several users are refused that were accepted before."""
        sandbox = SandboxProcess(self.folder)
        with sandbox, self.daemon(AUTHENTIK_URL=sandbox.url) as daemon:
            for name in USERS:
                self.assertEqual(self.check(daemon, name), 200)
            for directory in ("corp", "branch"):
                url = f"{sandbox.url}/sandbox/directories/{directory}/"
                requests.post(url, {"state": "down"}, timeout=30).raise_for_status()
            statuses = [self.check(daemon, name) for name in USERS]
            self.assertEqual(statuses, [400, 400, 400, 503, 503])
            reason = Reason.REFUSALS_IMPLAUSIBLE
            self.look_at_reason("directory", RESTRICTED, reason, "Attention")

    def test_the_application_is_for_nobody(self) -> None:
        """Authentik refuses everybody the application after a right password."""
        with self.daemon() as daemon:
            for _ in range(3):
                self.assertEqual(self.check(daemon, "grace"), 400)
            self.look_at_reason("denied", "Nobody is let in", Reason.POLICY)

    def test_it_is_saturated(self) -> None:
        """More checks at a slow directory than may wait."""
        sandbox = SandboxProcess(self.folder)
        with (
            sandbox,
            self.daemon(AUTHENTIK_URL=sandbox.url, ROPG_MAX_CHECKS="1") as daemon,
            ThreadPoolExecutor(8) as clients,
        ):
            self.assertEqual(self.check(daemon, "alice"), 200)
            url = f"{sandbox.url}/sandbox/directories/corp/"
            slow = {"state": "slow", "slow_seconds": "1"}
            requests.post(url, slow, timeout=30).raise_for_status()
            names = ["lea", "LEA", "Lea", "lEa", "leA", "LEa", "lEA", "LeA"]
            answers = [clients.submit(self.check, daemon, name) for name in names]
            self.assertIn(503, [answer.result() for answer in answers])
            self.look_at_reason("saturated", "Too many checks at a time", Reason.OVERLOADED)

    def test_the_shared_store_is_gone(self) -> None:
        """The Redis of the rate limits cannot be reached."""
        store = f"redis://:a-canary@127.0.0.1:{free_port()}/0"
        limits = "user 5 per 15 minutes, address 1000 per minute"
        with self.daemon(ROPG_LIMITS_STORE=store, ROPG_LIMITS=limits) as daemon:
            self.assertEqual(self.check(daemon, "alice"), 200)
            words = "What to do: See that the Redis runs", "because Redis does not answer"
            self.look("store", "The shared counts cannot be reached", *words)
            self.assertNotIn("a-canary", self.browser.driver.page_source)

    def test_a_certificate_is_about_to_end(self) -> None:
        """It has one day left."""
        with self.daemon(tls=True) as daemon:
            words = "What to do: Renew the certificate", f"Certificate of ssl:{daemon.port}"
            self.look("certificate", "A certificate is about to end", *words, "in 23 hours")

    def test_the_signing_key_is_about_to_end(self) -> None:
        """The only key may sign for five more days."""
        now = time.time()
        key = {**new_key("RS256", now, signs_from=int(now)), "exp": now + MAX_TOKEN_LIFETIME}
        key["exp"] += 5 * 86400
        path = self.folder / "state" / "sandbox" / KEYS_FILE
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"keys": [key]}))
        path.chmod(0o600)
        with self.daemon():
            words = "What to do: Make a new one with: ropg keys rotate", "in 5 days"
            self.look("key", "The signing key is about to end", *words)


class KeyboardTests(StatusPageTestCase):
    """The page without a mouse."""

    def press(self, key: str) -> None:
        """Press a key where the keyboard is."""
        self.browser.driver.switch_to.active_element.send_keys(key)

    def test_everything_is_reached_by_the_keyboard(self) -> None:
        """The link past the head comes first, and each element shows that it is chosen."""
        with self.daemon() as daemon:
            self.check(daemon, "alice")
            self.browser.show(self.admin, WIDTHS["phone"], "light")
            for text in (
                "Skip to the content",
                "Load again",
                "Figures of the last hour: checks by verdict",
            ):
                self.press(Keys.TAB)
                self.assertEqual(self.browser.run(CHOSEN), [True, True, text])
            tables = self.browser.driver.find_elements(By.CSS_SELECTOR, "details table")
            self.assertFalse(tables[0].is_displayed())
            self.press(Keys.ENTER)
            self.assertTrue(tables[0].is_displayed())
            self.assert_fits(WIDTHS["phone"])
            self.assertEqual(self.browser.violations(), [])
            self.browser.save(self.pictures / "figures-phone-light.png")

    def test_a_text_of_twice_the_size_fits_on_a_phone(self) -> None:
        """People enlarge what they cannot read."""
        with self.daemon() as daemon:
            self.check(daemon, "alice", "wrong")
            self.browser.show(self.admin, WIDTHS["phone"], "light")
            self.browser.run("document.documentElement.style.fontSize = '200%'")
            self.assert_fits(WIDTHS["phone"])
            self.browser.save(self.pictures / "enlarged-phone-light.png")
