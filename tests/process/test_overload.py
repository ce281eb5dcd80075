"""The daemon as a process, with far more checks than a slow Authentik can take."""

from __future__ import annotations

import json
from collections import Counter
from itertools import product
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import urlencode

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.sandbox.http.app import Sandbox, sandbox_site
from tests import FIRST_PYTHON_ONLY
from tests.client import Reply, post
from tests.daemon import PATIENCE, DaemonProcess
from tests.soak.clients import ClientConnection
from tests.soak.proxy import Proxy

MAX_CHECKS: Final = 3
DEADLINE: Final = 6
"""Seconds for a check: many times what one takes, and far less than all would that come at once."""

SLOWNESS: Final = 0.04
"""Seconds for which Authentik may take its time with each answer."""

BREAK: Final = 0.2
"""Seconds until a client asks again that was told to come later."""

CHECKS: Final = 2
"""Checks of each client."""


def spellings(name: str) -> list[str]:
    """All the ways to write a name: to Authentik the same user, to us another check."""
    return ["".join(letters) for letters in product(*((c, c.upper()) for c in name))]


class OverloadTests(TestCase):
    """At more than twice the rate that is possible."""

    skip = FIRST_PYTHON_ONLY
    reactor: Any = global_reactor

    def slow_authentik(self) -> str:
        """The URL of a sandbox that takes its time."""
        port = self.reactor.listenTCP(0, sandbox_site(Sandbox(self.reactor)), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        proxy = Proxy(self.reactor, port.getHost().port, DEADLINE, Random(7))
        proxy.slowness = SLOWNESS
        self.addCleanup(lambda: Deferred.fromCoroutine(proxy.stop()))
        return f"http://127.0.0.1:{proxy.port}"

    async def ask(self, daemon: DaemonProcess, username: str) -> int:
        """The status that a right password is answered with."""
        factory = Factory.forProtocol(ClientConnection)
        factory.noisy = False
        endpoint = TCP4ClientEndpoint(self.reactor, "127.0.0.1", daemon.port)
        line: Any = await endpoint.connect(factory)
        form = {"grant_type": "password", "client_id": "jamf-connect", "username": username}
        line.send(post(urlencode({**form, "password": USUAL_PASSWORD})))
        try:
            reply: Reply = await line.answer().addTimeout(PATIENCE, self.reactor)
            return reply.status
        finally:
            line.close()

    async def client(self, daemon: DaemonProcess, username: str) -> list[int]:
        """The statuses for a client that asks again and again."""
        statuses = []
        for _ in range(CHECKS):
            statuses.append(await self.ask(daemon, username))
            await deferLater(self.reactor, BREAK if statuses[-1] == 503 else 0)
        return statuses

    async def all_at_once(self, daemon: DaemonProcess, names: list[str]) -> list[int]:
        """The statuses for many clients."""
        clients = [Deferred.fromCoroutine(self.client(daemon, name)) for name in names]
        return [status for answers in await gatherResults(clients) for status in answers]

    async def test_everybody_is_answered(self) -> None:
        """By tokens, or to come later; Authentik is never taken for dead, and no place is lost."""
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        names = [
            name
            for user in ("victor", "alice", "sybil", "peggy", "wendy")
            for name in spellings(user)
        ]
        with DaemonProcess(
            folder,
            AUTHENTIK_URL=self.slow_authentik(),
            ROPG_DEADLINE=str(DEADLINE),
            ROPG_LIMITS="off",
            ROPG_LOG="json",
            ROPG_MAX_CHECKS=str(MAX_CHECKS),
        ) as daemon:
            statuses = Counter(await self.all_at_once(daemon, names))
            burst = await self.all_at_once(daemon, names[:MAX_CHECKS])
            # Its last sessions are removed meanwhile, at an Authentik that is in this process.
            self.assertEqual(await deferToThread(daemon.end), 0)
        self.assertEqual(statuses.keys(), {200, 503}, statuses)
        self.assertEqual(statuses.total(), CHECKS * len(names))
        self.assertEqual(burst, [200] * CHECKS * MAX_CHECKS)
        events = [json.loads(line) for line in daemon.output]
        reasons = Counter(event["reason"] for event in events if "verdict" in event)
        expected = {"verified": statuses[200] + len(burst), "overloaded": statuses[503]}
        self.assertEqual(reasons, expected)
        self.assertEqual([e["message"] for e in events if e["level"] in ("error", "critical")], [])
