"""A fleet of Macs and the daemon as a process, while a directory behind Authentik is down."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from ropg_twisted.guard.plausibility import MIN_ALLOWANCE
from ropg_twisted.sandbox.directory import DirectoryState
from ropg_twisted.sandbox.http.app import Sandbox, sandbox_site
from tests import FIRST_PYTHON_ONLY
from tests.daemon import DaemonProcess
from tests.soak.fleet import DIRECTORY, FLEET, MACS, Fleet, told_wrong


class FleetTests(TestCase):
    """Each Mac checks the password of its user again and again."""

    skip = FIRST_PYTHON_ONLY
    timeout = 300
    reactor: Any = global_reactor

    def setUp(self) -> None:
        """Start an Authentik whose users are in a directory."""
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.sandbox = Sandbox(self.reactor, accounts=FLEET)
        site = sandbox_site(self.sandbox)
        port = self.reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.authentik = f"http://127.0.0.1:{port.getHost().port}"

    async def test_an_outage_prompts_three_users(self) -> None:
        """Everybody else is told to come later, and is let in as soon as the directory is back."""
        directory = self.sandbox.directories[DIRECTORY]
        with DaemonProcess(
            self.folder,
            AUTHENTIK_URL=self.authentik,
            ROPG_LIMITS="off",
            ROPG_LOG="json",
            ROPG_MAX_CHECKS=str(MACS),
        ) as daemon:
            fleet = Fleet(self.reactor, daemon.url)
            before = await fleet.run(lambda username, status, checks: False)
            directory.state = DirectoryState.DOWN
            during = await fleet.run(lambda username, status, checks: checks < 2)
            told = told_wrong(during)
            directory.state = DirectoryState.UP
            after = await fleet.run(
                lambda username, status, checks: status != 200 and username not in told
            )
            await fleet.close()
            self.assertEqual(await deferToThread(daemon.end), 0)
        self.assertEqual(Counter(map(frozenset, before.values())), {frozenset({200}): MACS})
        self.assertLessEqual(len(told), MIN_ALLOWANCE)
        self.assertEqual(set().union(*during.values()) - {400, 503}, set())
        back = Counter(
            frozenset(statuses) for username, statuses in after.items() if username not in told
        )
        self.assertEqual(back, {frozenset({200}): MACS - len(told)})
        events = [json.loads(line) for line in daemon.output]
        reasons = Counter(event["reason"] for event in events if "verdict" in event)
        self.assertEqual(reasons["wrong_credentials"], len(told))
        self.assertGreater(reasons["refusals_implausible"], MACS)
        [error] = [event["message"] for event in events if event["level"] == "error"]
        self.assertIn("refusals_implausible", error)
