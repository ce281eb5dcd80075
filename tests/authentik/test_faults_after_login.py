"""Faults of Authentik after the password was accepted."""

from __future__ import annotations

import time
from dataclasses import replace

from ropg_twisted.interfaces import CodeRequest
from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.sandbox.oauth2.applications import LOOPBACK_URI
from ropg_twisted.verdict import Reason, Verdict
from tests.authentik.fault_cases import ALICE, REASON_OF, REASONS, SAMPLE, SILENCES, FaultTestCase
from tests.fakes import CapturedLog
from tests.faults import (
    COOKIE_FAULTS,
    FAULTS,
    Point,
    answer,
    says,
)


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
            counts = (scene.daemon.sessions.removed, scene.daemon.sessions.failed, len(told))
            if found != (Verdict.VERIFIED, 0, "") or counts != (0, 1, 1):
                problems.append(f"{name}: {found} {counts}")
            self.assertNotIn(USUAL_PASSWORD, repr(told))
            if name in SILENCES:
                self.assertEqual([event["reason"] for event in told], ["upstream_timeout"], name)
        self.assert_none(problems)
