"""An Authentik that fails, and our client before it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import (
    Deferred,
    DeferredList,
    TimeoutError,
)
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase

from ropg_twisted.authentik import client
from ropg_twisted.authentik.agent import ConnectionPool
from ropg_twisted.authentik.client import make_client
from ropg_twisted.interfaces import CheckResult, LoginAttempt
from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.settings.model import Client
from ropg_twisted.verdict import OUTAGES, Reason
from tests.certificates import Identity
from tests.composition import DaemonParts, build_daemon, make_settings
from tests.faults import (
    BEFORE_THE_PASSWORD,
    FAULTS,
    SLUG,
    Fault,
    FaultyAuthentik,
    Point,
)

DEADLINE: Final = 15

PLACES: Final = 64

PATIENCE: Final = 2
"""Seconds after which a connection that is still there is one too many."""

ALICE: Final = LoginAttempt("alice", USUAL_PASSWORD, ip_address("192.0.2.7"))

REASONS: Final = {
    Reason.UPSTREAM_CONNECTION: [
        "nobody listens",
        "reset when connected",
        "reset",
        "hang-up",
        "no HTTP",
        "a status that is no number",
        "two lengths",
        "an unknown transfer encoding",
        "a body that is cut",
        "a redirect that is cut",
        "chunks that are cut",
        "headers that are cut",
        "a header of 100 kB",
        "endless headers",
    ],
    Reason.UPSTREAM_TIMEOUT: [
        "silence when connected",
        "silence",
        "silence in the headers",
        "silence in the body",
        "silence behind the headers",
    ],
    Reason.UPSTREAM_BODY: [
        "a body that is too large",
        "the same without a length",
        "an endless body",
        "gzip",
        "a gzip bomb",
        "an unknown encoding",
        "HTML",
        "HTML said to be JSON",
        "JSON said to be HTML",
        "an array",
        "no component",
        "a component that is a number",
        "nothing",
        "half an object",
        "no UTF-8",
        "deep nesting",
        "a number without end",
    ],
    Reason.FLOW_MISSING: ["404"],
    Reason.UPSTREAM_STATUS: ["204", "400", "403", "405", "429", "500", "502", "503"],
    Reason.UPSTREAM_REDIRECT: [
        "302 to another host",
        "302 to another path",
        "302 to no URL",
        "302 to nowhere",
        "301",
        "307",
    ],
}
"""The word for each fault, wherever in the flow it happens."""

REASON_OF: Final = {name: reason for reason, names in REASONS.items() for name in names}

SILENCES: Final = REASONS[Reason.UPSTREAM_TIMEOUT]

BLIPS: Final = ["reset when connected", "reset", "hang-up", "headers that are cut", "500", "503"]
"""Some of the faults that one fresh try may heal."""

SAMPLE: Final = [
    *BLIPS,
    "silence",
    "silence in the body",
    "no HTTP",
    "a body that is cut",
    "endless headers",
    "an endless body",
    "a gzip bomb",
    "HTML",
    "an array",
    "deep nesting",
    "403",
    "404",
    "302 to another path",
    "301",
]
"""Some of each kind."""


@dataclass(frozen=True, slots=True)
class FaultScenario:
    """A faulty Authentik, and the daemon before it."""

    authentik: FaultyAuthentik
    clock: Clock
    daemon: DaemonParts
    pool: ConnectionPool

    @property
    def passwords(self) -> int:
        """The number of times that the password was sent."""
        return self.authentik.seen.count(Point.PASSWORD)


class FaultTestCase(TestCase):
    """Real sockets on loopback, and a clock that stands still until nothing else happens."""

    reactor: Any = global_reactor

    def scenario(
        self,
        fault: Fault | None = None,
        point: Point | None = None,
        *,
        times: int = 1000,
        where: str = "http://127.0.0.1",
        tls: Identity | None = None,
        ca: Identity | None = None,
        slug: str = SLUG,
        login_stage: bool = True,
        now: float = 0,
        drop_on_outage: bool = False,
    ) -> FaultScenario:
        """An Authentik with a fault, and our client before it."""
        clock = Clock()
        clock.advance(now)
        authentik = FaultyAuthentik(clock, fault, point, times=times, tls=tls)
        url = f"{where}:{authentik.listen(self.reactor)}"
        pool = ConnectionPool(self.reactor)
        self.patch(client, "ConnectionPool", lambda clock: pool)
        ca_pem = None if ca is None else ca.pem.encode()
        settings = make_settings(
            Client("mac", drop_on_outage=drop_on_outage),
            authentik_url=url,
            app_slug="jamf-connect",
            app_required=True,
            flow_slug=slug,
            deadline=DEADLINE,
            max_checks=PLACES,
            login_stage=login_stage,
            checks_access=login_stage,
            claims_from_username=not login_stage,
        )
        daemon = build_daemon(
            settings,
            clock,
            lambda client_ip, _, on_request: make_client(
                self.reactor, url, ca_pem, client_ip, on_request
            ),
        )
        scenario = FaultScenario(authentik, clock, daemon, pool)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.tidy(scenario)))
        return scenario

    async def run_out(self, scenario: FaultScenario, check: Deferred[Any]) -> None:
        """Wait for a check. If the peer falls silent, let its bytes arrive and the time pass."""
        await DeferredList([check, scenario.authentik.silence], fireOnOneCallback=True)
        if not check.called:
            await self.turns()
            scenario.clock.advance(DEADLINE)

    async def check(self, scenario: FaultScenario, login: LoginAttempt = ALICE) -> CheckResult:
        """The result of a check within the deadline."""
        check = Deferred.fromCoroutine(scenario.daemon.verifier.verify(login))
        await self.run_out(scenario, check)
        return await check

    async def leftovers(self, scenario: FaultScenario) -> str:
        """Close what is kept for the next check, and say whether a connection is left."""
        removals = Deferred.fromCoroutine(scenario.daemon.sessions.finished())
        await self.run_out(scenario, removals)
        await removals
        scenario.pool.close()
        try:
            await scenario.authentik.empty().addTimeout(PATIENCE, self.reactor)
        except TimeoutError:
            return "a connection is left"
        return ""

    async def tidy(self, scenario: FaultScenario) -> None:
        """Cut every connection, so that a test that fails spoils no other."""
        await scenario.authentik.stop()
        await self.turns()
        scenario.pool.close()

    async def turns(self) -> None:
        """Let the reactor turn a few times, for bytes that are under way."""
        for _ in range(4):
            await deferLater(self.reactor, 0)

    def assert_none(self, problems: Iterable[str]) -> None:
        """No row of a table has gone wrong."""
        rows = list(problems)
        if rows:
            self.fail("\n".join(["", *rows]))


def whose(name: str, point: Point) -> tuple[bool, bool]:
    """Return whether a fault shows that Authentik is down, and whether the name was sent by then.

    Before the name was sent, every outage does; a later one may be about this user alone, but for
    connections that break and server errors. An Authentik that takes no more connections meets the
    fresh try at its beginning.
    """
    reason = REASON_OF[name]
    broken = reason is Reason.UPSTREAM_CONNECTION or name in ("500", "502", "503")
    afresh = broken and FAULTS[name].early and point in BEFORE_THE_PASSWORD
    name_sent = point is not Point.OPENING and not afresh
    return broken or (not name_sent and reason in OUTAGES), name_sent
