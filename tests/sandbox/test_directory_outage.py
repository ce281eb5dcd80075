"""The daemon as a process before a sandbox whose directory is switched on its page."""

from __future__ import annotations

import json
from pathlib import Path

import requests
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from tests import FIRST_PYTHON_ONLY
from tests.daemon import DaemonProcess, SandboxProcess
from tests.ports import free_port

WRONG = "a wrong password"
CORP = "directories/corp/"
BRANCH = "directories/branch/"
LEA = f"{CORP}users/lea/"
NOAH = f"{CORP}users/noah/"
IDA = f"{BRANCH}users/ida/"


class DirectoryOutageTests(SynchronousTestCase):
    """Responses to clients while a directory behind Authentik is in each state."""

    skip = FIRST_PYTHON_ONLY

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()

    def switch(self, sandbox: str, form: str, **fields: str) -> None:
        """Send a form of the page as curl does, and read the page that it leads to."""
        answer = requests.post(f"{sandbox}/sandbox/{form}", data=fields, timeout=30)
        self.assertEqual((answer.status_code, answer.url.partition("#")[0]), (200, f"{sandbox}/"))

    def check(self, daemon: DaemonProcess, username: str, password: str = USUAL_PASSWORD) -> str:
        """Return the error that a password check is answered with, or ``tokens``."""
        form = {"grant_type": "password", "client_id": "jamf-connect", "username": username}
        url = f"{daemon.url}/oauth/token"
        answer = requests.post(url, data={**form, "password": password}, timeout=30)
        error = answer.json().get("error", "tokens")
        self.assertEqual(answer.status_code == 200, error == "tokens")
        return str(error)

    def test_each_state_is_answered_as_behind_a_real_authentik(self) -> None:
        """A refusal that a directory has caused is passed on as a wrong password.

        Nobody is refused here whose password has been accepted before.
        """
        with (
            SandboxProcess(self.folder) as sandbox,
            DaemonProcess(
                self.folder, AUTHENTIK_URL=sandbox.url, ROPG_DEADLINE="2", ROPG_LIMITS="off"
            ) as daemon,
        ):
            url = sandbox.url
            self.assertEqual(self.check(daemon, "lea"), "tokens")
            self.assertEqual(self.check(daemon, "lea", WRONG), "invalid_grant")
            self.switch(url, CORP, state="slow", slow_seconds="0.5")
            self.assertEqual(self.check(daemon, "lea"), "tokens")
            self.switch(url, CORP, state="accepts-any")
            self.assertEqual(self.check(daemon, "lea", f"another {WRONG}"), "tokens")
            self.switch(url, CORP, state="up")
            self.switch(url, LEA, state="must-change")
            self.assertEqual(self.check(daemon, "lea"), "tokens")
            self.switch(url, LEA, active="off")
            self.assertEqual(self.check(daemon, "lea"), "access_denied")
            self.switch(url, CORP, state="hung")
            self.assertEqual(self.check(daemon, "noah"), "temporarily_unavailable")
            self.switch(url, CORP, hung_seconds="0.5")
            self.assertEqual(self.check(daemon, "mia"), "invalid_grant")
            self.assertEqual(self.check(daemon, "alice"), "tokens")
            self.switch(url, CORP, state="up")
            self.switch(url, NOAH, state="expired")
            self.assertEqual(self.check(daemon, "noah"), "invalid_grant")
            self.switch(url, IDA, state="locked")
            self.assertEqual(self.check(daemon, "ida"), "invalid_grant")
            self.switch(url, BRANCH, state="down")
            self.assertEqual(self.check(daemon, "emil"), "invalid_grant")
            self.assertEqual(self.check(daemon, "alice"), "tokens")
            page = requests.get(url, timeout=30).text
            self.assertIn("1 although wrong", page)
            self.assertEqual(daemon.end(), 0)

    def test_a_slow_refusal_is_not_believed(self) -> None:
        """A hung directory says nothing of a password; a slow one may still accept it."""
        with (
            SandboxProcess(self.folder) as sandbox,
            DaemonProcess(
                self.folder, AUTHENTIK_URL=sandbox.url, ROPG_LOG="json", ROPG_SLOW_REFUSAL="0.5"
            ) as daemon,
        ):
            self.switch(sandbox.url, CORP, state="hung", hung_seconds="0.7")
            self.assertEqual(self.check(daemon, "lea"), "temporarily_unavailable")
            self.switch(sandbox.url, CORP, state="slow", slow_seconds="0.7", hung_seconds="9")
            self.assertEqual(self.check(daemon, "lea"), "tokens")
            self.assertEqual(self.check(daemon, "lea", WRONG), "temporarily_unavailable")
            self.switch(sandbox.url, CORP, state="up")
            self.assertEqual(self.check(daemon, "lea", WRONG), "invalid_grant")
            self.assertEqual(daemon.end(), 0)
        reasons = [json.loads(line).get("reason") for line in daemon.output]
        self.assertEqual(reasons.count("refusal_too_slow"), 2)

    def test_the_embedded_sandbox_has_the_same_page(self) -> None:
        """Its directories can be slow, although its clock is not the daemon's."""
        port = free_port()
        sandbox = f"http://127.0.0.1:{port}"
        with DaemonProcess(self.folder, AUTHENTIK_URL=f"sandbox:{port}") as daemon:
            self.switch(sandbox, CORP, state="slow", slow_seconds="0.3")
            self.assertEqual(self.check(daemon, "lea"), "tokens")
            self.switch(sandbox, CORP, state="down")
            self.assertEqual(self.check(daemon, "noah"), "invalid_grant")
            self.assertIn("1 although right", requests.get(sandbox, timeout=30).text)
            self.assertEqual(daemon.end(), 0)
