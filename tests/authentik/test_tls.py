"""Logins at an Authentik on TLS."""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from zope.interface import implementer

from ropg_twisted.verdict import Reason, Verdict
from tests.authentik.fault_cases import BLIPS, REASON_OF, FaultScenario, FaultTestCase
from tests.certificates import Identity, identity
from tests.faults import (
    FAULTS,
    POINTS,
    Fault,
    Point,
    answer,
    respond_with,
)


@implementer(IHostnameResolver, IHostResolution)
class LoopbackResolver:
    """Every name is this machine."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: object = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """See :class:`IHostnameResolver`."""
        resolution = LoopbackResolver(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        resolutionReceiver.addressResolved(IPv4Address("TCP", "127.0.0.1", portNumber))
        resolutionReceiver.resolutionComplete()
        return resolution

    def cancel(self) -> None:
        """See :class:`IHostResolution`."""


class TLSTests(FaultTestCase):
    """The same on TLS, and what can only go wrong there."""

    def setUp(self) -> None:
        self.ca = identity("authority.test", authority=True)
        self.shown = identity("authentik.test", self.ca)
        usual = self.reactor.installNameResolver(LoopbackResolver())
        self.addCleanup(self.reactor.installNameResolver, usual)

    def tls_scenario(
        self,
        tls: Identity | None,
        fault: Fault | None = None,
        point: Point | None = None,
        *,
        times: int = 1000,
    ) -> FaultScenario:
        """A scenario whose peer shows a certificate, or speaks no TLS."""
        where = "https://authentik.test"
        return self.scenario(fault, point, times=times, where=where, tls=tls, ca=self.ca)

    async def test_a_login_on_tls(self) -> None:
        """A certificate of the given authority for the right name is trusted."""
        scenario = self.tls_scenario(self.shown)
        self.assertEqual((await self.check(scenario)).outcome.verdict, Verdict.VERIFIED)
        self.assertEqual(await self.leftovers(scenario), "")
        self.assertEqual(scenario.authentik.seen, list(POINTS))

    async def test_certificates(self) -> None:
        """Nothing is sent to a server that does not prove who it is."""
        problems = []
        for name, shown in {
            "signed by itself": identity("authentik.test"),
            "another authority": identity("authentik.test", identity("a.test", authority=True)),
            "another host": identity("other.test", self.ca),
        }.items():
            scenario = self.tls_scenario(shown)
            check, left = await self.check(scenario), await self.leftovers(scenario)
            found = (check.outcome.reason, scenario.authentik.seen, left)
            if found != (Reason.UPSTREAM_TLS, [], "") or not check.authentik_down:
                problems.append(f"{name}: {check} {left}")
        self.assert_none(problems)

    async def test_handshakes(self) -> None:
        """A port that speaks no TLS, or that says nothing."""
        problems = []
        for name, fault, reason in (
            ("plain HTTP", respond_with(answer()), Reason.UPSTREAM_TLS),
            ("silence", FAULTS["silence"], Reason.UPSTREAM_TIMEOUT),
            ("reset", FAULTS["reset"], Reason.UPSTREAM_CONNECTION),
            ("hang-up", FAULTS["hang-up"], Reason.UPSTREAM_CONNECTION),
        ):
            scenario = self.tls_scenario(None, replace(fault, early=True), Point.OPENING)
            outcome, left = (await self.check(scenario)).outcome, await self.leftovers(scenario)
            if outcome.reason is not reason or left:
                problems.append(f"{name}: {outcome} {left}")
        self.assert_none(problems)

    async def test_faults_on_tls(self) -> None:
        """They have the same words as without, and leave no connection either."""
        problems = []
        for name in (
            "reset",
            "hang-up",
            "silence",
            "silence in the body",
            "silence behind the headers",
            "a body that is cut",
            "an endless body",
            "a body that is too large",
            "500",
        ):
            for point in (Point.OPENING, Point.PASSWORD):
                scenario = self.tls_scenario(self.shown, FAULTS[name], point)
                outcome, left = (await self.check(scenario)).outcome, await self.leftovers(scenario)
                if outcome.reason is not REASON_OF[name] or left:
                    problems.append(f"{name} at {point}: {outcome} {left}")
        self.assert_none(problems)

    async def test_blips_are_healed_on_tls_as_well(self) -> None:
        """A connection that ends without a farewell is one."""
        problems = []
        for name in BLIPS:
            scenario = self.tls_scenario(self.shown, FAULTS[name], Point.NAME, times=1)
            check = await self.check(scenario)
            if (check.outcome.verdict, scenario.passwords) != (Verdict.VERIFIED, 1):
                problems.append(f"{name}: {check.outcome}")
            await self.leftovers(scenario)
        self.assert_none(problems)
