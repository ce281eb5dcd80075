"""Faults of Authentik after the password was accepted."""

from __future__ import annotations

import time
from dataclasses import replace

from twisted.internet.defer import Deferred

from ropg_twisted.interfaces import CodeRequest
from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.sandbox.oauth2.applications import LOOPBACK_URI
from ropg_twisted.verdict import Outcome, Reason, Verdict
from tests.authentik.fault_cases import (
    ALICE,
    DEADLINE,
    REASON_OF,
    REASONS,
    SAMPLE,
    SILENCES,
    FaultTestCase,
)
from tests.fakes import CapturedLog
from tests.faults import (
    COOKIE_FAULTS,
    FAULTS,
    FaultyConnection,
    Point,
    answer,
    respond_with,
)


class AccessTests(FaultTestCase):
    """A right password, and an Authentik that does not say whether it is enough."""

    async def test_faults_of_check_access(self) -> None:
        """Access is not granted, the password is not sent again, and the session is removed."""
        reasons = {
            **REASON_OF,
            **dict.fromkeys(REASONS[Reason.UPSTREAM_REDIRECT], Reason.UPSTREAM_STATUS),
            "404": Reason.APPLICATION_MISSING,
        }
        problems = []
        for name in SAMPLE:
            scenario = self.scenario(FAULTS[name], Point.ACCESS, times=1)
            check = await self.check(scenario)
            reason, left = check.outcome.reason, await self.leftovers(scenario)
            # A connection that cannot be made may be that of the request for the user.
            early = FAULTS[name].early and reason is Reason.UPSTREAM_IDENTITY
            fits = (reason is reasons[name] or early) and scenario.passwords == 1 and not left
            if not fits or scenario.authentik.sandbox.sessions.authenticated:
                problems.append(f"{name}: {reason}, {scenario.passwords} passwords, {left}")
        self.assert_none(problems)

    async def test_access_and_user_are_asked_for_at_the_same_time(self) -> None:
        """Neither waits for the other, and the end of the deadline ends both."""
        for point in (Point.ACCESS, Point.IDENTITY):
            scenario = self.scenario(FAULTS["silence"], point)
            check = Deferred.fromCoroutine(scenario.daemon.verifier.verify(ALICE))
            while not {Point.ACCESS, Point.IDENTITY} <= set(scenario.authentik.seen):
                await self.turns()
            scenario.clock.advance(DEADLINE)
            self.assertIs((await check).outcome.reason, REASON_OF["silence"])
            self.assertEqual(await self.leftovers(scenario), "")

    async def test_denied_whatever_is_known_of_the_user(self) -> None:
        """Denied access is the verdict, even if the user cannot be fetched."""
        denied = respond_with(answer('{"passing": false}'))
        scenario = self.scenario(denied, Point.ACCESS)
        honest = scenario.authentik.answer

        def without_user(connection: FaultyConnection, request: bytes) -> None:
            if b"/users/me/" in request:
                connection.send(answer(status="500 Internal Server Error"))
            else:
                honest(connection, request)

        self.patch(scenario.authentik, "answer", without_user)
        check = await self.check(scenario)
        self.assertEqual(check.outcome, Outcome(Verdict.DENIED, Reason.POLICY))


class TokenTests(FaultTestCase):
    """A login that is to bring tokens of Authentik's own."""

    async def test_faults_behind_the_login(self) -> None:
        """The password is not sent again, and a session without tokens is removed."""
        tokens = CodeRequest("jamf-connect", None, LOOPBACK_URI, ("openid",))
        login = replace(ALICE, tokens=tokens)
        now = time.time()  # Tokens are verified by the time of day.
        scenario = self.scenario(now=now)
        check = await self.check(scenario, login)
        self.assertEqual(check.outcome.verdict, Verdict.VERIFIED)
        await self.leftovers(scenario)
        problems = []
        for name in SAMPLE:
            for point in (Point.AUTHORIZE, Point.TOKEN):
                if FAULTS[name].early:
                    continue
                scenario = self.scenario(FAULTS[name], point, times=1, now=now)
                check = await self.check(scenario, login)
                found = (check.outcome.verdict, scenario.passwords, await self.leftovers(scenario))
                rows = scenario.authentik.sandbox.sessions.authenticated
                if found != (Verdict.UNVERIFIABLE, 1, "") or rows:
                    problems.append(f"{name} at {point}: {found}")
        self.assert_none(problems)


class IdentityTests(FaultTestCase):
    """A right password whose person is not told."""

    async def test_faults_of_users_me(self) -> None:
        """No token is made of a guess, and the session is removed nevertheless."""
        shapes = {
            f"the answer {body}": respond_with(answer(body))
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
            scenario = self.scenario(fault, Point.IDENTITY, times=1)
            check = await self.check(scenario)
            found = (check.user, check.outcome.reason, await self.leftovers(scenario))
            rest = (scenario.passwords, scenario.authentik.sandbox.sessions.authenticated)
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
            scenario = self.scenario({**FAULTS, **COOKIE_FAULTS}[name], Point.REMOVAL)
            check = await self.check(scenario)
            found = (
                check.outcome.verdict,
                scenario.clock.seconds(),
                await self.leftovers(scenario),
            )
            told = [e for e in events if "sessions left" in str(e.get("log_format"))]
            counts = (scenario.daemon.sessions.removed, scenario.daemon.sessions.failed, len(told))
            if found != (Verdict.VERIFIED, 0, "") or counts != (0, 1, 1):
                problems.append(f"{name}: {found} {counts}")
            self.assertNotIn(USUAL_PASSWORD, repr(told))
            if name in SILENCES:
                self.assertEqual([event["reason"] for event in told], ["upstream_timeout"], name)
        self.assert_none(problems)
