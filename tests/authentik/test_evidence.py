"""No verdict without evidence of how the flow refuses a password."""

from __future__ import annotations

import json
import re
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import jwt
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.server import Request
from zope.interface import implementer

from ropg_twisted.authentik.canary import PREFIX, Canary
from ropg_twisted.authentik.challenges import Response, SessionCookie, read_session_cookie
from ropg_twisted.authentik.evidence import LIFETIME, RECHECK_SECONDS, Evidence, FlowEvidence
from ropg_twisted.authentik.users import fetch_user
from ropg_twisted.interfaces import (
    CheckResult,
    IPasswordVerifier,
    LoginAttempt,
    Readiness,
    RequestKind,
)
from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.sandbox.flow import flows
from ropg_twisted.verdict import Outcome, Reason, UpstreamError, Verdict
from tests.authentik.checker import CLIENT_ADDRESS, FunctionResource, PasswordChecker
from tests.composition import AUTHENTIK, OWN_ADDRESS
from tests.daemon import DaemonProcess
from tests.fakes import RIGHT, CapturedLog, PendingVerifier, outcome
from tests.parametrize import parametrize

DOWN = outcome(Verdict.UNVERIFIABLE, Reason.UPSTREAM_CONNECTION)
RESTARTS = outcome(Verdict.UNVERIFIABLE, Reason.FLOW_RESTARTS)
ALICE = LoginAttempt("alice", USUAL_PASSWORD, ip_address("203.0.113.7"))


NO_PRETEND_MFA = flows.Flow(
    "no-pretend-mfa",
    (
        flows.Binding(flows.Identification(pretend_user_exists=False)),
        flows.Binding(flows.Password()),
        flows.Binding(flows.SecondFactor()),
        flows.Binding(flows.Login()),
    ),
)
NO_PRETEND_NO_LOGIN = flows.Flow(
    "no-pretend-nologin",
    (
        flows.Binding(flows.Identification(pretend_user_exists=False)),
        flows.Binding(flows.Password()),
    ),
)


class FlowEvidenceTests(SynchronousTestCase):
    """Evidence of a flow, and its lifetime."""

    def setUp(self) -> None:
        """Nothing is known."""
        self.clock = Clock()
        self.evidence = FlowEvidence(self.clock)

    def test_it_is_due_before_there_is_any(self) -> None:
        """A refusal that was seen counts as evidence, too."""
        self.assertTrue(self.evidence.due)
        self.assertIsNone(self.evidence.current)
        self.evidence.confirm()
        self.assertFalse(self.evidence.due)
        self.assertIs(self.evidence.current, Evidence.IN_PLACE)

    def test_it_lasts_a_day_after_the_last_refusal(self) -> None:
        """Refusals of people confirm it; without any it is gathered anew after a day."""
        for evidence in (Evidence.IN_PLACE, Evidence.UNKNOWN):
            self.evidence.gather(evidence)
            self.clock.advance(LIFETIME - 1)
            self.assertFalse(self.evidence.due)
            self.clock.advance(1)
            self.assertTrue(self.evidence.due)
            self.evidence.confirm()
            self.assertFalse(self.evidence.due)
            self.clock.advance(LIFETIME)
            self.assertTrue(self.evidence.due)

    def test_a_refusal_in_place_proves_an_unknown_flow(self) -> None:
        """The first wrong password that is refused in place is all that was missing."""
        self.evidence.gather(Evidence.UNKNOWN)
        self.evidence.confirm()
        self.assertIs(self.evidence.current, Evidence.IN_PLACE)

    def test_a_flow_that_restarts_is_looked_at_again_after_a_minute(self) -> None:
        """No refusal of a person makes it believed, only another canary does."""
        self.evidence.gather(Evidence.RESTARTS)
        self.evidence.confirm()
        self.assertIs(self.evidence.current, Evidence.RESTARTS)
        self.clock.advance(RECHECK_SECONDS - 1)
        self.assertFalse(self.evidence.due)
        self.clock.advance(1)
        self.assertTrue(self.evidence.due)
        self.evidence.gather(Evidence.IN_PLACE)
        self.assertFalse(self.evidence.due)

    def test_a_contradiction_asks_for_a_canary_at_once(self) -> None:
        """Unless one has been walked just now: a later stage that restarts looks the same."""
        self.evidence.gather(Evidence.IN_PLACE)
        self.clock.advance(RECHECK_SECONDS - 1)
        self.evidence.contradict()
        self.assertFalse(self.evidence.due)
        self.clock.advance(1)
        self.evidence.contradict()
        self.assertTrue(self.evidence.due)
        self.evidence.confirm()
        self.assertTrue(self.evidence.due)
        self.evidence.gather(Evidence.IN_PLACE)
        self.assertFalse(self.evidence.due)


@implementer(IPasswordVerifier)
class CanaryVerifier(PendingVerifier):
    """Is told by the test what a canary shows; the checks of people are right."""

    def __init__(self, evidence: FlowEvidence) -> None:
        super().__init__()
        self.evidence = evidence

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`."""
        if login.canary:
            return await super().verify(login)
        return RIGHT

    def show(self, shown: Evidence | CheckResult) -> None:
        """End the canary that is walked: by evidence, or as a check that has failed."""
        if isinstance(shown, Evidence):
            self.evidence.gather(shown)
        self.waiting.pop().callback(shown if isinstance(shown, CheckResult) else RESTARTS)


class CanaryTests(SynchronousTestCase):
    """The guard that walks it."""

    def setUp(self) -> None:
        """A guard before a verifier that the test directs."""
        self.clock = Clock()
        self.evidence = FlowEvidence(self.clock)
        self.verifier = CanaryVerifier(self.evidence)
        self.canary = Canary(self.verifier, self.evidence)
        self.events = CapturedLog(self).events

    def ask(self) -> Deferred[CheckResult]:
        """A check that has begun."""
        return Deferred.fromCoroutine(self.canary.verify(ALICE))

    def test_checks_wait_for_one_canary(self) -> None:
        """Checks before the first evidence share the wait, and go on after it."""
        checks = [self.ask() for _ in range(3)]
        [canary] = self.verifier.asked
        for check in checks:
            self.assertNoResult(check)
        self.verifier.show(Evidence.IN_PLACE)
        self.assertEqual([self.successResultOf(check) for check in checks], [RIGHT] * 3)
        self.assertEqual(self.successResultOf(self.ask()), RIGHT)
        self.assertEqual(len(self.verifier.asked), 1)
        self.assertTrue(self.canary.proven)
        self.assertTrue(canary.canary)

    def test_it_is_nobody(self) -> None:
        """Name and password are new each time, and the name can be found in Authentik's log."""
        for _ in range(2):
            self.ask()
            self.verifier.show(DOWN)
        first, second = self.verifier.asked
        for canary in (first, second):
            self.assertRegex(canary.username, f"^{PREFIX}[a-z]{{16}}$")
            self.assertGreater(len(canary.password), 40)
            self.assertNotIn(canary.password, repr(canary))
            self.assertIsNone(canary.address)
        self.assertNotEqual(first.username, second.username)
        self.assertNotEqual(first.password, second.password)

    def test_nothing_of_a_flow_that_restarts_is_asked(self) -> None:
        """No password is sent to it, until another canary finds it mended."""
        check = self.ask()
        self.verifier.show(Evidence.RESTARTS)
        self.assertEqual(self.successResultOf(check), RESTARTS)
        self.assertEqual(self.successResultOf(self.ask()), RESTARTS)
        self.assertEqual(len(self.verifier.asked), 1)
        self.clock.advance(RECHECK_SECONDS)
        check = self.ask()
        self.verifier.show(Evidence.IN_PLACE)
        self.assertEqual(self.successResultOf(check), RIGHT)

    def test_an_outage_is_no_evidence(self) -> None:
        """Checks meet what the canary has met, and the next one tries again."""
        for gather in (None, Evidence.IN_PLACE):
            if gather is not None:
                self.evidence.gather(gather)
                self.clock.advance(LIFETIME)
            check = self.ask()
            self.verifier.show(DOWN)
            self.assertEqual(self.successResultOf(check), DOWN)
            check = self.ask()
            self.verifier.show(Evidence.UNKNOWN)
            self.assertEqual(self.successResultOf(check), RIGHT)
            self.assertFalse(self.canary.proven)

    def test_who_hangs_up_takes_nobody_along(self) -> None:
        """The canary goes on for those who still wait."""
        first, second = self.ask(), self.ask()
        first.addErrback(lambda _: None)
        first.cancel()
        self.verifier.show(Evidence.IN_PLACE)
        self.assertEqual(self.successResultOf(second), RIGHT)

    def test_what_it_finds_is_said_once(self) -> None:
        """Each change is one line in the log; a restart names the setting that cures it."""
        for evidence in (Evidence.RESTARTS, Evidence.RESTARTS, Evidence.UNKNOWN, Evidence.IN_PLACE):
            self.evidence.contradict()
            self.clock.advance(LIFETIME)
            self.ask()
            self.verifier.show(evidence)
        said = [(event["log_level"].name, event["log_format"]) for event in self.events]
        self.assertEqual([level for level, _ in said], ["error", "warn", "info"])
        self.assertIn("Invalid response action", said[0][1])
        self.assertIn("RETRY", said[0][1])


class ClientTests(SynchronousTestCase):
    """Verdicts on flows that refuse in one way or another."""

    def test_a_canary_costs_four_requests_and_one_failed_login(self) -> None:
        """It is told with our own address, and its answer is the last thing it asks for."""
        checker = PasswordChecker("inbuilt-only")
        self.assertIs(checker.check("alice").verdict, Verdict.VERIFIED)
        methods = [request.method for request in checker.authentik.requests]
        self.assertEqual(methods[:4], ["GET", "POST", "GET", "POST"])
        unknown, canary, login = checker.sandbox.events
        self.assertEqual(
            (unknown.kind, unknown.username), ("identification_failed", canary.username)
        )
        self.assertTrue(canary.username.startswith(PREFIX))
        self.assertEqual((canary.kind, canary.address), ("login_failed", str(OWN_ADDRESS)))
        self.assertEqual((login.kind, login.address), ("login", str(CLIENT_ADDRESS)))
        self.assertIs(checker.evidence.current, Evidence.IN_PLACE)
        checker.check("alice")
        self.assertEqual([event.kind for event in checker.sandbox.events].count("login"), 2)

    def test_a_flow_that_restarts_gives_no_verdict(self) -> None:
        """Neither a right nor a wrong password is told, and no password of a person is sent."""
        checker = PasswordChecker("restart")
        for password in (USUAL_PASSWORD, "wrong"):
            self.assertEqual(checker.check("alice", password), RESTARTS.outcome)
        self.assertEqual(len(checker.authentik.requests), 4)
        self.assertEqual(checker.probe(), Readiness(Reason.FLOW_RESTARTS))

    def test_an_unproven_flow_is_proven_by_the_first_refusal(self) -> None:
        """Unknown names are refused at once: a second factor counts after a wrong password."""
        checker = PasswordChecker("no-pretend-mfa", NO_PRETEND_MFA)
        self.assertIs(checker.check("alice").verdict, Verdict.VERIFIED)
        self.assertEqual(checker.probe(), Readiness(warning=Reason.FLOW_UNPROVEN))
        unproven = Outcome(Verdict.UNVERIFIABLE, Reason.FLOW_UNPROVEN)
        self.assertEqual(checker.check("bob"), unproven)
        self.assertIs(checker.check("alice", "wrong").verdict, Verdict.REJECTED)
        self.assertEqual(checker.check("bob"), Outcome(Verdict.INTERACTION_REQUIRED, Reason.MFA))
        self.assertEqual(checker.probe(), Readiness())

    def test_a_combined_form_is_proven_as_well(self) -> None:
        """There the refusal of name and password is what the canary sees."""
        checker = PasswordChecker("ropg-combined")
        self.assertIs(checker.check("bob").verdict, Verdict.INTERACTION_REQUIRED)
        self.assertIs(checker.check("alice", "wrong").verdict, Verdict.REJECTED)
        self.assertEqual(checker.probe(), Readiness())

    def test_the_end_of_a_flow_without_login_stage_needs_evidence(self) -> None:
        """Its only proof is a 302 or what comes in its place."""
        checker = PasswordChecker("ropg-nologin", login_stage=False)
        self.assertIs(checker.check("alice").verdict, Verdict.VERIFIED)
        checker = PasswordChecker("no-pretend-nologin", NO_PRETEND_NO_LOGIN, login_stage=False)
        self.assertIs(checker.check("alice").reason, Reason.FLOW_UNPROVEN)

    def test_a_look_walks_the_canary_once(self) -> None:
        """The evidence of the first probe serves the checks and probes after it."""
        checker = PasswordChecker("inbuilt-only")
        for _ in range(3):
            self.assertEqual(checker.probe(), Readiness())
        checker.check("alice")
        kinds = [event.kind for event in checker.sandbox.events]
        self.assertEqual(kinds, ["identification_failed", "login_failed", "login"])

    @parametrize(
        {
            slug: (slug, reason)
            for slug, reason in (
                ("captcha-ident", Reason.FLOW_NOT_HEADLESS),
                ("denied-message", Reason.FLOW_DENIED),
                ("empty-flow", Reason.FLOW_ENDED_EARLY),
                ("no-such-flow", Reason.FLOW_MISSING),
            )
        }
    )
    def test_a_probe_reads_the_first_challenge_even_when_no_canary_is_due(
        self, slug: str, reason: Reason
    ) -> None:
        """A flow that no login can start any more is reported, and no name is sent to find out."""
        checker = PasswordChecker(slug)
        checker.evidence.gather(Evidence.IN_PLACE)
        self.assertEqual(checker.probe(), Readiness(reason))
        self.assertEqual(checker.sandbox.events, [])

    def test_an_authentik_that_is_down_is_told_as_that(self) -> None:
        """An answer that no flow gives is neither evidence nor a verdict, and is tried again."""

        def fail(request: Request) -> bytes:
            request.setResponseCode(502)
            return b""

        checker = PasswordChecker("inbuilt-only")
        checker.authentik.resource = FunctionResource(fail)
        self.assertIs(checker.check("alice").reason, Reason.UPSTREAM_STATUS)
        self.assertEqual(checker.probe(), Readiness(Reason.UPSTREAM_STATUS))
        checker.authentik.resource = checker.sandbox.resource
        self.assertIs(checker.check("alice").verdict, Verdict.VERIFIED)

    def test_a_flow_that_cannot_be_begun_is_no_evidence(self) -> None:
        """Nothing was sent to it, so the next check looks again."""
        checker = PasswordChecker("denied-message")
        self.assertIs(checker.check("alice").reason, Reason.FLOW_DENIED)
        self.assertIsNone(checker.evidence.current)

    def test_a_restart_behind_the_password_asks_for_a_canary(self) -> None:
        """The flow was changed under way: the next check is not believed any more."""
        checker = PasswordChecker("inbuilt-only")
        checker.check("alice")
        checker.clock.advance(RECHECK_SECONDS)
        change_flow(checker, "restart")
        self.assertEqual(checker.check("alice", "wrong"), RESTARTS.outcome)
        asked = len(checker.authentik.requests)
        self.assertEqual(checker.check("alice"), RESTARTS.outcome)
        self.assertEqual(len(checker.authentik.requests) - asked, 4)
        self.assertEqual(checker.probe(), Readiness(Reason.FLOW_RESTARTS))


def change_flow(checker: PasswordChecker, slug: str) -> None:
    """Let Authentik's flow be another one from now on, under the slug that it had."""
    other = checker.sandbox.resource

    def instead(request: Request) -> Any:
        path = request.postpath or []
        request.postpath = [slug.encode() if part == b"inbuilt-only" else part for part in path]
        return other.render(request)

    checker.authentik.resource = FunctionResource(instead)


class IdentityTests(SynchronousTestCase):
    """The user of a login is told once."""

    UID = "ab" * 32

    def user(self, said: str, cookie_sub: str | None) -> object:
        """The outcome when Authentik names one user, and its cookie another."""

        class LoggedIn:
            cookie = SessionCookie("sid", authenticated=True, sub=cookie_sub)

            async def get(self, url: str, kind: RequestKind) -> Response:
                user = {"uid": said, "username": "alice", "groups": []}
                body = json.dumps({"user": user}).encode()
                return Response(200, "application/json", None, body)

        session: Any = LoggedIn()
        try:
            fetch_user(AUTHENTIK, session).send(None)
        except StopIteration as end:
            return end.value.sub
        except UpstreamError as unverifiable:
            return unverifiable.reason
        return None

    def test_another_person_than_the_session_cookie_names_is_nobody(self) -> None:
        """The subject of the cookie and of the user have to be the same where both are known."""
        self.assertEqual(self.user(self.UID, self.UID), self.UID)
        self.assertEqual(self.user("cd" * 32, self.UID), Reason.UPSTREAM_IDENTITY)
        self.assertEqual(self.user(self.UID, None), self.UID)
        self.assertEqual(self.user("another-form", self.UID), "another-form")

    def test_only_a_subject_of_that_form_is_read(self) -> None:
        """A cookie may name its subject in another way, which cannot be compared."""
        for sub, read in ((self.UID, self.UID), ("anonymous", None), (5, None), (None, None)):
            cookie = _cookie({"sid": "x", "authenticated": True, "sub": sub})
            self.assertEqual(read_session_cookie(cookie), SessionCookie("x", True, read))

    def test_authenticated_is_true_and_nothing_else(self) -> None:
        """A value that merely looks true is no session that is logged in."""
        for value in ("true", 1, [1], "false", None):
            session = read_session_cookie(_cookie({"sid": "x", "authenticated": value}))
            self.assertIs(session.authenticated, False, value)


def _cookie(claims: dict[str, object]) -> str:
    return str(jwt.encode(claims, "k" * 32, "HS256"))


class ProcessTests(TestCase):
    """The daemon itself, before a flow that restarts and one that does not."""

    def ask(self, url: str, form: dict[str, str] | None = None) -> tuple[int, Any]:
        """The answer to a GET, or to a POST of a form."""
        data = None if form is None else urlencode(form).encode()
        try:
            with urlopen(url, data, timeout=30) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            return error.code, json.load(error)

    def test_a_flow_that_restarts_is_not_ready_and_says_what_cures_it(self) -> None:
        """Every check is an outage, and the log has one line with the remedy."""
        form = {"grant_type": "password", "client_id": "jamf-connect", "username": "alice"}
        folder = Path(self.mktemp())
        folder.mkdir()
        with DaemonProcess(folder, FLOW_SLUG="restart") as daemon:
            for password in (USUAL_PASSWORD, "wrong"):
                status, answer = self.ask(
                    f"{daemon.url}/oauth/token", {**form, "password": password}
                )
                self.assertEqual((status, answer["error"]), (503, "temporarily_unavailable"))
            status, answer = self.ask(f"{daemon.url}/ready")
            self.assertEqual((status, answer["reason"]), (503, "flow_restarts"))
            self.assertEqual(daemon.end(), 0)
        remedies = [line for line in daemon.output if "Invalid response action" in line]
        self.assertEqual(len(remedies), 1)
        self.assertEqual(len(re.findall(r'"reason": "flow_restarts"', "".join(daemon.output))), 3)
