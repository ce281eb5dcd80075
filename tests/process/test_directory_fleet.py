"""A fleet of Macs and the daemon as a process, while a directory behind Authentik is down."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import treq
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool

from ropg_twisted.guard.plausibility import MIN_ALLOWANCE
from ropg_twisted.sandbox.accounts import Account
from ropg_twisted.sandbox.directory import DirectoryState
from ropg_twisted.sandbox.http.app import Sandbox, sandbox_site
from tests.daemon import PATIENCE, DaemonProcess

MACS: Final = 200
PASSWORD: Final = "correct horse"
PAUSE: Final = 0.05
"""Seconds until a client that was not let in asks again."""

ANSWERS: Final = {(200, ""), (400, "invalid_grant"), (503, "temporarily_unavailable")}

ACCOUNTS: Final = [
    Account(
        1000 + number,
        f"mac{number}",
        f"Mac {number}",
        hashlib.sha256(b"%d" % number).hexdigest(),
        PASSWORD,
        directory="corp",
    )
    for number in range(MACS)
]


class FleetTests(TestCase):
    """Each Mac checks the password of its user again and again."""

    timeout = 300
    reactor: Any = global_reactor

    def setUp(self) -> None:
        """Start an Authentik whose users are in a directory."""
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.sandbox = Sandbox(self.reactor, accounts=ACCOUNTS)
        site = sandbox_site(self.sandbox)
        port = self.reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.authentik = f"http://127.0.0.1:{port.getHost().port}"
        pool = HTTPConnectionPool(self.reactor)
        pool.maxPersistentPerHost = MACS
        self.addCleanup(pool.closeCachedConnections)
        self.agent = Agent(self.reactor, pool=pool)

    async def check(self, daemon: DaemonProcess, username: str) -> tuple[int, str]:
        """Check a right password. Return the status and the error, if there is one."""
        form = {"grant_type": "password", "client_id": "jamf-connect", "username": username}
        response = await treq.post(
            f"{daemon.url}/oauth/token",
            data={**form, "password": PASSWORD},
            agent=self.agent,
            timeout=PATIENCE,
        )
        return response.code, (await response.json()).get("error", "")

    async def fleet(
        self, daemon: DaemonProcess, goes_on: Callable[[str, int, int], bool]
    ) -> dict[str, set[int]]:
        """Run all Macs in a closed loop. Return the statuses that each was answered.

        ``goes_on``: returns whether a Mac checks again, after its last status and the number of
        checks.
        """
        answers: dict[str, set[int]] = {account.username: set() for account in ACCOUNTS}

        async def run(username: str) -> None:
            checks = 0
            while True:
                status, error = await self.check(daemon, username)
                self.assertIn((status, error), ANSWERS)
                answers[username].add(status)
                checks += 1
                if not goes_on(username, status, checks):
                    return
                await deferLater(self.reactor, PAUSE)

        macs = [Deferred.fromCoroutine(run(account.username)) for account in ACCOUNTS]
        await gatherResults(macs, consumeErrors=True)
        return answers

    async def test_an_outage_prompts_three_users(self) -> None:
        """Everybody else is told to come later, and is let in as soon as the directory is back."""
        directory = self.sandbox.directories["corp"]
        with DaemonProcess(
            self.folder,
            AUTHENTIK_URL=self.authentik,
            ROPG_LIMITS="off",
            ROPG_LOG="json",
            ROPG_MAX_CHECKS=str(MACS),
        ) as daemon:
            before = await self.fleet(daemon, lambda username, status, checks: False)
            directory.state = DirectoryState.DOWN
            during = await self.fleet(daemon, lambda username, status, checks: checks < 2)
            told = {username for username, statuses in during.items() if 400 in statuses}
            directory.state = DirectoryState.UP
            after = await self.fleet(
                daemon, lambda username, status, checks: status != 200 and username not in told
            )
            self.assertEqual(await deferToThread(daemon.end), 0)
        self.assertEqual(Counter(map(frozenset, before.values())), {frozenset({200}): MACS})
        self.assertLessEqual(len(told), MIN_ALLOWANCE)
        self.assertEqual(set().union(*during.values()) - {400, 503}, set())
        others = {
            username: statuses for username, statuses in after.items() if username not in told
        }
        self.assertEqual(Counter(map(frozenset, others.values())), {frozenset({200}): len(others)})
        events = [json.loads(line) for line in daemon.output]
        reasons = Counter(event["reason"] for event in events if "verdict" in event)
        self.assertEqual(reasons["wrong_credentials"], len(told))
        self.assertGreater(reasons["refusals_implausible"], MACS)
        [error] = [event["message"] for event in events if event["level"] == "error"]
        self.assertIn("refusals_implausible", error)
