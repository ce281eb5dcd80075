"""What an Authentik that fails in the middle of a login leads to."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlencode

from twisted.internet import reactor as global_reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import (
    Deferred,
    DeferredList,
    TimeoutError,
    gatherResults,
)
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import HTTPConnectionPool
from zope.interface import implementer

from ropg_twisted.authentik import agent as connections
from ropg_twisted.authentik.application import Application
from ropg_twisted.authentik.client import make_client
from ropg_twisted.authentik.client_ip import ClientIPHeaders
from ropg_twisted.authentik.executor import FlowExecutor
from ropg_twisted.authentik.id_tokens import IDTokenVerifier
from ropg_twisted.authentik.metadata import ProviderMetadata
from ropg_twisted.authentik.sessions import SessionRemover
from ropg_twisted.authentik.verifier import AuthentikVerifier
from ropg_twisted.guard.chain import guarded
from ropg_twisted.guard.plausibility import Plausibility
from ropg_twisted.interfaces import CheckResult, CodeRequest, IPasswordVerifier, LoginAttempt
from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.sandbox.flow import flows
from ropg_twisted.sandbox.oauth2.applications import LOOPBACK_URI
from ropg_twisted.settings.model import Client
from ropg_twisted.verdict import OUTAGES, Outcome, Reason, Verdict
from tests.certificates import Identity, identity
from tests.fakes import FORM, CapturedLog, post, proven_flow, provider_site
from tests.faults import (
    BEFORE_THE_PASSWORD,
    COOKIE_FAULTS,
    FAULTS,
    FLOW_POINTS,
    POINTS,
    SLUG,
    Fault,
    FaultyAuthentik,
    Point,
    answer,
    says,
)

DEADLINE: Final = 15
PLACES: Final = 64
PATIENCE: Final = 2
"""Seconds after which a connection that is still there is one too many."""

ALICE: Final = LoginAttempt("alice", USUAL_PASSWORD, ip_address("192.0.2.7"))
CREDENTIALS: Final = urlencode(
    {
        "grant_type": "password",
        "client_id": "mac",
        "username": ALICE.username,
        "password": ALICE.password,
    }
)

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
class Scene:
    """A peer, a way to it, and the check on the way."""

    peer: FaultyAuthentik
    clock: Clock
    sessions: SessionRemover
    verifier: IPasswordVerifier
    pool: HTTPConnectionPool

    @property
    def passwords(self) -> int:
        """How often the password went over the wire."""
        return self.peer.seen.count(Point.PASSWORD)


class FaultTestCase(TestCase):
    """Real sockets on loopback, and a clock that stands still until nothing else happens."""

    reactor: Any = global_reactor

    def scene(
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
    ) -> Scene:
        """An Authentik with a fault, and our client before it."""
        clock = Clock()
        clock.advance(now)
        peer = FaultyAuthentik(clock, fault, point, times=times, tls=tls)
        url = f"{where}:{peer.listen(self.reactor)}"
        pool = HTTPConnectionPool(self.reactor)
        self.patch(connections, "HTTPConnectionPool", lambda reactor: pool)
        ca_pem = None if ca is None else ca.pem.encode()
        way = make_client(self.reactor, ca_pem, ClientIPHeaders(), PLACES)
        invalidation = FlowExecutor(url, "default-invalidation-flow")
        sessions = SessionRemover(invalidation, DEADLINE, clock, PLACES)
        flow = FlowExecutor(url, slug, login_stage)
        application = Application(url, "jamf-connect")
        evidence = proven_flow(clock)
        verifier = AuthentikVerifier(
            flow,
            evidence,
            way,
            sessions,
            application,
            IDTokenVerifier(ProviderMetadata(application, way, DEADLINE, clock)),
            checks_access=login_stage,
            claims_from_username=not login_stage,
        )
        scene = Scene(peer, clock, sessions, verifier, pool)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.tidy(scene)))
        return scene

    async def run_out(self, scene: Scene, check: Deferred[Any]) -> None:
        """Wait for a check. If the peer falls silent, let its bytes arrive and the time pass."""
        await DeferredList([check, scene.peer.silence], fireOnOneCallback=True)
        if not check.called:
            await self.turns()
            scene.clock.advance(DEADLINE)

    async def check(self, scene: Scene, login: LoginAttempt = ALICE) -> CheckResult:
        """What a check comes to within the deadline."""
        plausibility = Plausibility(scene.clock)
        verifier = guarded(scene.verifier, PLACES, DEADLINE, scene.clock, plausibility)
        check = Deferred.fromCoroutine(verifier.verify(login))
        await self.run_out(scene, check)
        return await check

    async def leftovers(self, scene: Scene) -> str:
        """Close what is kept for the next check, and say whether a connection is left."""
        removals = Deferred.fromCoroutine(scene.sessions.finished())
        await self.run_out(scene, removals)
        await removals
        await scene.pool.closeCachedConnections()
        try:
            await scene.peer.empty().addTimeout(PATIENCE, self.reactor)
        except TimeoutError:
            return "a connection is left"
        return ""

    async def tidy(self, scene: Scene) -> None:
        """Cut every connection, so that a test that fails spoils no other."""
        await scene.peer.stop()
        await self.turns()
        await scene.pool.closeCachedConnections()

    async def turns(self) -> None:
        """Let the reactor turn a few times, for bytes that are under way."""
        for _ in range(4):
            await deferLater(self.reactor, 0)

    def assert_none(self, problems: Iterable[str]) -> None:
        """No row of a table has gone wrong."""
        rows = list(problems)
        if rows:
            self.fail("\n".join(["", *rows]))


class HonestTests(FaultTestCase):
    """The peer without a fault."""

    async def test_it_is_a_login_of_eight_requests(self) -> None:
        """Each request is made once, on one connection, and the session is removed."""
        scene = self.scene()
        check = await self.check(scene)
        self.assertEqual(check.outcome.verdict, Verdict.VERIFIED)
        self.assertEqual(await self.leftovers(scene), "")
        self.assertEqual(scene.peer.seen, list(POINTS))
        self.assertEqual(scene.peer.sandbox.sessions.authenticated, [])
        self.assertEqual((scene.sessions.removed, scene.sessions.failed), (1, 0))


def whose(name: str, point: Point) -> tuple[bool, bool]:
    """Whether a fault shows that Authentik is down, and whether the name had been sent by then.

    Before the name was sent, every outage does; a later one may be about this user alone, but for
    connections that break and server errors. An Authentik that takes no more connections meets the
    fresh try at its beginning.
    """
    reason = REASON_OF[name]
    broken = reason is Reason.UPSTREAM_CONNECTION or name in ("500", "502", "503")
    afresh = broken and FAULTS[name].early and point in BEFORE_THE_PASSWORD
    name_sent = point is not Point.OPENING and not afresh
    return broken or (not name_sent and reason in OUTAGES), name_sent


class ReasonTests(FaultTestCase):
    """Each fault, at each point of the flow."""

    def test_every_fault_has_a_reason(self) -> None:
        """The table of reasons is whole."""
        self.assertEqual(set(FAULTS), set(REASON_OF))

    async def sweep(self, reason: Reason) -> None:
        """Run the faults of one reason at each point of the flow, all at the same time."""
        rows: list[Deferred[str | None]] = [
            Deferred.fromCoroutine(self.row(name, point, reason))
            for name in REASONS[reason]
            for point in FLOW_POINTS
        ]
        self.assert_none(filter(None, await gatherResults(rows)))

    async def row(self, name: str, point: Point, reason: Reason) -> str | None:
        """What is wrong with one fault at one point, or nothing."""
        scene = self.scene(FAULTS[name], point)
        check = await self.check(scene)
        outcome, left = check.outcome, await self.leftovers(scene)
        fits = outcome == Outcome(Verdict.UNVERIFIABLE, reason) and scene.passwords < 2 and not left
        if fits and (check.authentik_down, check.name_sent) == whose(name, point):
            return None
        whose_fault = f"{check.authentik_down}, {check.name_sent}"
        return f"{name} at {point}: {outcome}, {whose_fault}, {scene.passwords} passwords, {left}"

    async def test_broken_connections(self) -> None:
        """A connection that cannot be made, or that breaks, or no HTTP on it."""
        await self.sweep(Reason.UPSTREAM_CONNECTION)

    async def test_silence(self) -> None:
        """An Authentik that hangs is given up at the deadline, and its connection is closed."""
        await self.sweep(Reason.UPSTREAM_TIMEOUT)

    async def test_bodies(self) -> None:
        """A body that no executor sends, or one that is too large to be taken in."""
        await self.sweep(Reason.UPSTREAM_BODY)

    async def test_statuses(self) -> None:
        """A status that no flow has."""
        await self.sweep(Reason.UPSTREAM_STATUS)
        await self.sweep(Reason.FLOW_MISSING)

    async def test_redirects(self) -> None:
        """A redirect to anywhere else is not followed."""
        await self.sweep(Reason.UPSTREAM_REDIRECT)

    async def test_a_redirect_without_end(self) -> None:
        """A flow that only ever says *again* is given up."""
        problems = []
        location = f"Location: /api/v3/flows/executor/{SLUG}/?query="
        again = says(answer(b"", location, status="302 Found"))
        for point in (Point.OPENING, Point.QUESTION, Point.END):
            scene = self.scene(again, point)
            outcome = (await self.check(scene)).outcome
            left = await self.leftovers(scene)
            if outcome != Outcome(Verdict.UNVERIFIABLE, Reason.FLOW_LOOP) or left:
                problems.append(f"{point}: {outcome} {left}")
        self.assert_none(problems)


class CookieTests(FaultTestCase):
    """Honest answers whose session cookie is gone or is another."""

    async def test_cookies(self) -> None:
        """They may cost a right password its answer, but make no wrong one of it."""
        lost, fine, denied = "unverifiable, session_lost", "verified, verified", "denied, policy"
        rows = {
            # The first cookie is not needed, and a later one only where it has changed.
            "no cookie": [fine, fine, fine, fine, denied],
            "garbage": [fine, lost, lost, lost, lost],
            "a cookie of bytes": [fine, lost, lost, lost, lost],
            "a cookie without an id": [fine, lost, lost, lost, lost],
            # A session that says that nobody is logged in is what a refusal looks like as well.
            "another session": [fine, lost, lost, lost, denied],
        }
        self.assertEqual(set(rows), set(COOKIE_FAULTS))
        problems = []
        for name, expectations in rows.items():
            for point, expected in zip(FLOW_POINTS, expectations, strict=True):
                scene = self.scene(COOKIE_FAULTS[name], point)
                outcome = (await self.check(scene)).outcome
                found = f"{outcome.verdict}, {outcome.reason}{await self.leftovers(scene)}"
                if found != expected or scene.passwords > 1:
                    problems.append(f"{name} at {point}: {found}, not {expected}")
        self.assert_none(problems)


class RetryTests(FaultTestCase):
    """What is tried again, and what is not."""

    async def test_a_blip_before_the_password_is_healed(self) -> None:
        """One fresh try after a broken connection or a server error leads to the truth."""
        problems = []
        for name in BLIPS:
            for point in BEFORE_THE_PASSWORD:
                scene = self.scene(FAULTS[name], point, times=1)
                found = (await self.check(scene)).outcome.verdict, scene.passwords
                left = await self.leftovers(scene)
                if found != (Verdict.VERIFIED, 1) or left:
                    problems.append(f"{name} at {point}: {found} {left}")
        self.assert_none(problems)

    async def test_a_lasting_blip_is_tried_twice(self) -> None:
        """There is one fresh try and no more."""
        problems = []
        for name in BLIPS:
            if FAULTS[name].early:
                continue
            for point in BEFORE_THE_PASSWORD:
                scene = self.scene(FAULTS[name], point)
                await self.check(scene)
                if scene.peer.seen.count(point) != 2:
                    problems.append(f"{name} at {point}: {', '.join(scene.peer.seen)}")
        self.assert_none(problems)

    async def test_nothing_is_tried_again_behind_the_password(self) -> None:
        """A blip behind the password ends the check, even if it would not come back."""
        problems = []
        for name in BLIPS:
            for point in (Point.PASSWORD, Point.END):
                scene = self.scene(FAULTS[name], point, times=1)
                reason = (await self.check(scene)).outcome.reason
                heard = POINTS.index(point) + (not FAULTS[name].early)
                if (reason, scene.peer.seen) != (REASON_OF[name], list(POINTS[:heard])):
                    problems.append(
                        f"{name} at {point}: {reason} after {', '.join(scene.peer.seen)}"
                    )
        self.assert_none(problems)

    async def test_an_answer_that_is_no_blip_is_not_asked_for_again(self) -> None:
        """Another try would be answered the same."""
        problems = []
        for name in ("HTML", "no component", "gzip", "403", "404", "429", "301"):
            scene = self.scene(FAULTS[name], Point.QUESTION, times=1)
            await self.check(scene)
            if scene.peer.seen != list(BEFORE_THE_PASSWORD):
                problems.append(f"{name}: {', '.join(scene.peer.seen)}")
        self.assert_none(problems)

    async def test_a_lost_end_of_a_flow_without_login_is_no_refusal(self) -> None:
        """The session stays the same there, and asked again it begins anew as a restart would."""
        slug = "without-login"
        stages = (flows.Identification(), flows.Password(), flows.SecondFactor())
        bindings = tuple(flows.Binding(stage) for stage in stages)
        flows.FLOWS[slug] = flows.Flow(slug, bindings)
        self.addCleanup(flows.FLOWS.pop, slug)
        for fault, verdict in ((None, Verdict.VERIFIED), (FAULTS["reset"], Verdict.UNVERIFIABLE)):
            scene = self.scene(fault, Point.END, times=1, slug=slug, login_stage=False)
            check = await self.check(scene)
            await self.leftovers(scene)
            self.assertEqual(check.outcome.verdict, verdict, scene.peer.seen)


@implementer(IHostnameResolver, IHostResolution)
class Loopback:
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
        resolution = Loopback(hostName)
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
        usual = self.reactor.installNameResolver(Loopback())
        self.addCleanup(self.reactor.installNameResolver, usual)

    def tls_scene(
        self,
        tls: Identity | None,
        fault: Fault | None = None,
        point: Point | None = None,
        *,
        times: int = 1000,
    ) -> Scene:
        """A scene whose peer shows a certificate, or speaks no TLS."""
        where = "https://authentik.test"
        return self.scene(fault, point, times=times, where=where, tls=tls, ca=self.ca)

    async def test_a_login_on_tls(self) -> None:
        """A certificate of the given authority for the right name is trusted."""
        scene = self.tls_scene(self.shown)
        self.assertEqual((await self.check(scene)).outcome.verdict, Verdict.VERIFIED)
        self.assertEqual(await self.leftovers(scene), "")
        self.assertEqual(scene.peer.seen, list(POINTS))

    async def test_certificates(self) -> None:
        """Nothing is sent to a server that does not prove who it is."""
        problems = []
        for name, shown in {
            "signed by itself": identity("authentik.test"),
            "another authority": identity("authentik.test", identity("a.test", authority=True)),
            "another host": identity("other.test", self.ca),
        }.items():
            scene = self.tls_scene(shown)
            check, left = await self.check(scene), await self.leftovers(scene)
            found = (check.outcome.reason, scene.peer.seen, left)
            if found != (Reason.UPSTREAM_TLS, [], "") or not check.authentik_down:
                problems.append(f"{name}: {check} {left}")
        self.assert_none(problems)

    async def test_handshakes(self) -> None:
        """A port that speaks no TLS, or that says nothing."""
        problems = []
        for name, fault, reason in (
            ("plain HTTP", says(answer()), Reason.UPSTREAM_TLS),
            ("silence", FAULTS["silence"], Reason.UPSTREAM_TIMEOUT),
            ("reset", FAULTS["reset"], Reason.UPSTREAM_CONNECTION),
            ("hang-up", FAULTS["hang-up"], Reason.UPSTREAM_CONNECTION),
        ):
            scene = self.tls_scene(None, replace(fault, early=True), Point.OPENING)
            outcome, left = (await self.check(scene)).outcome, await self.leftovers(scene)
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
                scene = self.tls_scene(self.shown, FAULTS[name], point)
                outcome, left = (await self.check(scene)).outcome, await self.leftovers(scene)
                if outcome.reason is not REASON_OF[name] or left:
                    problems.append(f"{name} at {point}: {outcome} {left}")
        self.assert_none(problems)

    async def test_blips_are_healed_on_tls_as_well(self) -> None:
        """A connection that ends without a farewell is one."""
        problems = []
        for name in BLIPS:
            scene = self.tls_scene(self.shown, FAULTS[name], Point.NAME, times=1)
            check = await self.check(scene)
            if (check.outcome.verdict, scene.passwords) != (Verdict.VERIFIED, 1):
                problems.append(f"{name}: {check.outcome}")
            await self.leftovers(scene)
        self.assert_none(problems)


class AccessTests(FaultTestCase):
    """A right password, and an Authentik that does not say whether it is enough."""

    async def test_faults_of_check_access(self) -> None:
        """Nobody is let in, the password is not sent again, and the session is removed."""
        reasons = {
            **REASON_OF,
            **dict.fromkeys(REASONS[Reason.UPSTREAM_REDIRECT], Reason.UPSTREAM_STATUS),
            "404": Reason.APPLICATION_MISSING,
        }
        problems = []
        for name in SAMPLE:
            scene = self.scene(FAULTS[name], Point.ACCESS, times=1)
            check = await self.check(scene)
            found = (check.outcome.reason, scene.passwords, await self.leftovers(scene))
            if found != (reasons[name], 1, "") or scene.peer.sandbox.sessions.authenticated:
                problems.append(f"{name}: {found}")
        self.assert_none(problems)


class TokenTests(FaultTestCase):
    """A login that is to bring tokens of Authentik's own."""

    async def test_faults_behind_the_login(self) -> None:
        """The password is not sent again, and a session without tokens is removed."""
        tokens = CodeRequest("jamf-connect", None, LOOPBACK_URI, ("openid",))
        login = replace(ALICE, tokens=tokens)
        now = time.time()  # Tokens are verified by the time of day.
        scene = self.scene(now=now)
        check = await self.check(scene, login)
        self.assertEqual(check.outcome.verdict, Verdict.VERIFIED)
        await self.leftovers(scene)
        problems = []
        for name in SAMPLE:
            for point in (Point.AUTHORIZE, Point.TOKEN):
                if FAULTS[name].early:
                    continue
                scene = self.scene(FAULTS[name], point, times=1, now=now)
                check = await self.check(scene, login)
                found = (check.outcome.verdict, scene.passwords, await self.leftovers(scene))
                rows = scene.peer.sandbox.sessions.authenticated
                if found != (Verdict.UNVERIFIABLE, 1, "") or rows:
                    problems.append(f"{name} at {point}: {found}")
        self.assert_none(problems)


class IdentityTests(FaultTestCase):
    """A right password whose person is not told."""

    async def test_faults_of_users_me(self) -> None:
        """No token is made of a guess, and the session is removed nevertheless."""
        shapes = {
            f"the answer {body}": says(answer(body))
            for body in (
                '{"user": null}',
                '{"user": []}',
                '{"user": "alice"}',
                '{"user": {"username": "alice", "groups": []}}',
                '{"user": {"uid": "", "username": "alice", "groups": []}}',
                '{"user": {"uid": 7, "username": "alice", "groups": []}}',
                '{"user": {"uid": "x", "groups": []}}',
                '{"user": {"uid": "x", "username": "alice"}}',
                '{"user": {"uid": "x", "username": "alice", "groups": ["staff"]}}',
                '{"user": {"uid": "x", "username": "alice", "groups": [{"pk": 1}]}}',
            )
        }
        problems = []
        for name, fault in {**{name: FAULTS[name] for name in SAMPLE}, **shapes}.items():
            reason = Reason.UPSTREAM_TIMEOUT if name in SILENCES else Reason.UPSTREAM_IDENTITY
            scene = self.scene(fault, Point.IDENTITY, times=1)
            check = await self.check(scene)
            found = (check.user, check.outcome.reason, await self.leftovers(scene))
            rest = (scene.passwords, scene.peer.sandbox.sessions.authenticated)
            if found != (None, reason, "") or rest != (1, []):
                problems.append(f"{name}: {found} {rest}")
        self.assert_none(problems)


class RemovalTests(FaultTestCase):
    """A session that cannot be removed."""

    async def test_faults_of_the_removal(self) -> None:
        """They are counted and logged, and neither change the answer nor hold it up."""
        problems = []
        for name in ("nobody listens", *SAMPLE, "no cookie"):
            events = CapturedLog(self).events
            scene = self.scene({**FAULTS, **COOKIE_FAULTS}[name], Point.REMOVAL)
            check = await self.check(scene)
            found = (check.outcome.verdict, scene.clock.seconds(), await self.leftovers(scene))
            told = [e for e in events if "sessions left" in str(e.get("log_format"))]
            counts = (scene.sessions.removed, scene.sessions.failed, len(told))
            if found != (Verdict.VERIFIED, 0, "") or counts != (0, 1, 1):
                problems.append(f"{name}: {found} {counts}")
            self.assertNotIn(USUAL_PASSWORD, repr(told))
            if name in SILENCES:
                self.assertEqual([event["reason"] for event in told], ["upstream_timeout"], name)
        self.assert_none(problems)


class DeadlineTests(FaultTestCase):
    """A check that is cancelled at its deadline."""

    async def test_a_cancelled_check_closes_its_connection(self) -> None:
        """Wherever it stands, it was late; a session that is complete by then is removed."""
        problems = []
        for name in SILENCES:
            for point in POINTS[:-1]:
                scene = self.scene(FAULTS[name], point, times=1)
                check = Deferred.fromCoroutine(scene.verifier.verify(ALICE))
                await scene.peer.silence
                await self.turns()
                check.cancel()
                ended = await check
                found = (ended.outcome.reason, ended.authentik_down, ended.name_sent)
                left = await self.leftovers(scene)
                # An END that nobody heard has brought a session that nobody can remove.
                rows = scene.peer.sandbox.sessions.authenticated if point is not Point.END else []
                if found != (Reason.UPSTREAM_TIMEOUT, *whose(name, point)) or left or rows:
                    problems.append(f"{name} at {point}: {found} {left} {rows}")
        self.assert_none(problems)


class Caller(Protocol):
    """A client that asks for tokens once. ``heard`` fires with all that comes back."""

    def __init__(self) -> None:
        self.heard: Deferred[bytes] = Deferred()
        self._data = b""

    def connectionMade(self) -> None:
        """Ask."""
        assert self.transport is not None
        self.transport.write(post(CREDENTIALS, f"{FORM}Connection: close\r\n"))

    def dataReceived(self, data: bytes) -> None:
        """Listen."""
        self._data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell."""
        self.heard.callback(self._data)


class AnswerTests(FaultTestCase):
    """What the client is told, through all layers."""

    async def ask(self, scene: Scene, client: Client) -> tuple[str, str]:
        """The first line and the body of an answer, both empty if there is none."""
        plausibility = Plausibility(scene.clock)
        verifier = guarded(scene.verifier, PLACES, DEADLINE, scene.clock, plausibility)
        port = self.reactor.listenTCP(0, provider_site(verifier, client), interface="127.0.0.1")
        caller = Caller()
        endpoint = TCP4ClientEndpoint(self.reactor, "127.0.0.1", port.getHost().port)
        await connectProtocol(endpoint, caller)
        await self.run_out(scene, caller.heard)
        head, _, body = (await caller.heard).decode().partition("\r\n\r\n")
        await port.stopListening()
        await self.leftovers(scene)
        return head.partition("\r\n")[0], body

    async def test_no_fault_is_a_wrong_password(self) -> None:
        """Every fault is answered 503, or by a cut connection for a client that wants it so."""
        later = (
            '{"error":"temporarily_unavailable",'
            '"error_description":"The service is temporarily unavailable"}'
        )
        problems = []
        for name, fault in FAULTS.items():
            for point, drop_on_outage, expected in (
                (Point.PASSWORD, False, ("HTTP/1.1 503 Service Unavailable", later)),
                (Point.IDENTITY, True, ("", "")),
            ):
                found = await self.ask(
                    self.scene(fault, point), Client("mac", drop_on_outage=drop_on_outage)
                )
                if found != expected:
                    problems.append(f"{name} at {point}: {found}")
        self.assert_none(problems)
