"""Faults of Authentik in the middle of a login."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from twisted.internet.defer import (
    Deferred,
    gatherResults,
)
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

from ropg_twisted.sandbox.flow import flows
from ropg_twisted.verdict import Outcome, Reason, Verdict
from tests.authentik.fault_cases import (
    ALICE,
    BLIPS,
    REASON_OF,
    REASONS,
    SILENCES,
    FaultScenario,
    FaultTestCase,
    whose,
)
from tests.client import FORM, SocketClient, post
from tests.faults import (
    BEFORE_THE_PASSWORD,
    COOKIE_FAULTS,
    FAULTS,
    FLOW_POINTS,
    POINTS,
    SLUG,
    Point,
    answer,
    respond_with,
)

CREDENTIALS: Final = urlencode(
    {
        "grant_type": "password",
        "client_id": "mac",
        "username": ALICE.username,
        "password": ALICE.password,
    }
)


class HonestTests(FaultTestCase):
    """The peer without a fault."""

    async def test_it_is_a_login_of_eight_requests(self) -> None:
        """Each request is made once, on one connection, and the session is removed."""
        scenario = self.scenario()
        check = await self.check(scenario)
        self.assertEqual(check.outcome.verdict, Verdict.VERIFIED)
        self.assertEqual(await self.leftovers(scenario), "")
        self.assertEqual(scenario.authentik.seen, list(POINTS))
        self.assertEqual(scenario.authentik.sandbox.sessions.authenticated, [])
        self.assertEqual(
            (scenario.daemon.sessions.removed, scenario.daemon.sessions.failed), (1, 0)
        )


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
        """The problem with one fault at one point, or nothing."""
        scenario = self.scenario(FAULTS[name], point)
        check = await self.check(scenario)
        outcome, left = check.outcome, await self.leftovers(scenario)
        fits = (
            outcome == Outcome(Verdict.UNVERIFIABLE, reason) and scenario.passwords < 2 and not left
        )
        if fits and (check.authentik_down, check.name_sent) == whose(name, point):
            return None
        whose_fault = f"{check.authentik_down}, {check.name_sent}"
        return (
            f"{name} at {point}: {outcome}, {whose_fault}, {scenario.passwords} passwords, {left}"
        )

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
        again = respond_with(answer(b"", location, status="302 Found"))
        for point in (Point.OPENING, Point.QUESTION, Point.END):
            scenario = self.scenario(again, point)
            outcome = (await self.check(scenario)).outcome
            left = await self.leftovers(scenario)
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
                scenario = self.scenario(COOKIE_FAULTS[name], point)
                outcome = (await self.check(scenario)).outcome
                found = f"{outcome.verdict}, {outcome.reason}{await self.leftovers(scenario)}"
                if found != expected or scenario.passwords > 1:
                    problems.append(f"{name} at {point}: {found}, not {expected}")
        self.assert_none(problems)


class RetryTests(FaultTestCase):
    """Retries."""

    async def test_a_blip_before_the_password_is_healed(self) -> None:
        """A fresh try after a broken connection or a server error leads to the truth."""
        problems = []
        for name in BLIPS:
            for point in BEFORE_THE_PASSWORD:
                scenario = self.scenario(FAULTS[name], point, times=1)
                found = (await self.check(scenario)).outcome.verdict, scenario.passwords
                left = await self.leftovers(scenario)
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
                scenario = self.scenario(FAULTS[name], point)
                await self.check(scenario)
                if scenario.authentik.seen.count(point) != 2:
                    problems.append(f"{name} at {point}: {', '.join(scenario.authentik.seen)}")
        self.assert_none(problems)

    async def test_nothing_is_tried_again_behind_the_password(self) -> None:
        """A blip behind the password ends the check, even if it would not come back."""
        problems = []
        for name in BLIPS:
            for point in (Point.PASSWORD, Point.END):
                scenario = self.scenario(FAULTS[name], point, times=1)
                reason = (await self.check(scenario)).outcome.reason
                heard = POINTS.index(point) + (not FAULTS[name].early)
                if (reason, scenario.authentik.seen) != (REASON_OF[name], list(POINTS[:heard])):
                    problems.append(
                        f"{name} at {point}: {reason} after {', '.join(scenario.authentik.seen)}"
                    )
        self.assert_none(problems)

    async def test_an_answer_that_is_no_blip_is_not_asked_for_again(self) -> None:
        """Another try would be answered the same."""
        problems = []
        for name in ("HTML", "no component", "gzip", "403", "404", "429", "301"):
            scenario = self.scenario(FAULTS[name], Point.QUESTION, times=1)
            await self.check(scenario)
            if scenario.authentik.seen != list(BEFORE_THE_PASSWORD):
                problems.append(f"{name}: {', '.join(scenario.authentik.seen)}")
        self.assert_none(problems)

    async def test_a_lost_end_of_a_flow_without_login_is_no_refusal(self) -> None:
        """The session stays the same there, and asked again it begins anew as a restart would."""
        slug = "without-login"
        stages = (flows.Identification(), flows.Password(), flows.SecondFactor())
        bindings = tuple(flows.Binding(stage) for stage in stages)
        flows.FLOWS[slug] = flows.Flow(slug, bindings)
        self.addCleanup(flows.FLOWS.pop, slug)
        for fault, verdict in ((None, Verdict.VERIFIED), (FAULTS["reset"], Verdict.UNVERIFIABLE)):
            scenario = self.scenario(fault, Point.END, times=1, slug=slug, login_stage=False)
            check = await self.check(scenario)
            await self.leftovers(scenario)
            self.assertEqual(check.outcome.verdict, verdict, scenario.authentik.seen)


class DeadlineTests(FaultTestCase):
    """A check that is cancelled at its deadline."""

    async def test_a_cancelled_check_closes_its_connection(self) -> None:
        """The check was late at any point; a session that is complete by then is removed."""
        problems = []
        for name in SILENCES:
            for point in POINTS[:-1]:
                scenario = self.scenario(FAULTS[name], point, times=1)
                check = Deferred.fromCoroutine(scenario.daemon.unguarded.verify(ALICE))
                await scenario.authentik.silence
                await self.turns()
                check.cancel()
                ended = await check
                found = (ended.outcome.reason, ended.authentik_down, ended.name_sent)
                left = await self.leftovers(scenario)
                # An END that nobody heard has brought a session that nobody can remove.
                rows = (
                    scenario.authentik.sandbox.sessions.authenticated
                    if point is not Point.END
                    else []
                )
                if found != (Reason.UPSTREAM_TIMEOUT, *whose(name, point)) or left or rows:
                    problems.append(f"{name} at {point}: {found} {left} {rows}")
        self.assert_none(problems)


class AnswerTests(FaultTestCase):
    """Responses to the client, through all layers."""

    async def ask(self, scenario: FaultScenario) -> tuple[str, str]:
        """The first line and the body of an answer, both empty if there is none."""
        port = self.reactor.listenTCP(0, scenario.daemon.site, interface="127.0.0.1")
        caller = SocketClient(post(CREDENTIALS, f"{FORM}Connection: close\r\n"))
        endpoint = TCP4ClientEndpoint(self.reactor, "127.0.0.1", port.getHost().port)
        await connectProtocol(endpoint, caller)
        await self.run_out(scenario, caller.closed)
        head, _, body = (await caller.closed).decode().partition("\r\n\r\n")
        await port.stopListening()
        await self.leftovers(scenario)
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
                found = await self.ask(self.scenario(fault, point, drop_on_outage=drop_on_outage))
                if found != expected:
                    problems.append(f"{name} at {point}: {found}")
        self.assert_none(problems)
