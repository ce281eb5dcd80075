"""The table of verdicts, row by row."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.authentik.challenges import SessionCookie
from ropg_twisted.authentik.conversation import (
    MAX_STEPS,
    ChallengeResponse,
)
from ropg_twisted.authentik.evidence import Evidence
from ropg_twisted.interfaces import LoginAttempt
from ropg_twisted.verdict import Outcome, Reason, Verdict
from tests.authentik.conversations import (
    ACCEPTED,
    ACCEPTED_TOGETHER,
    ANONYMOUS,
    COMBINED,
    DENIED,
    DENIED_BY_POLICY,
    DEVICES,
    END,
    FROM_THE_FUTURE,
    IDENTIFICATION,
    IDENTIFIED,
    INTERACTION,
    KNOWN_STAGES,
    LOGGED_IN,
    MFA,
    MOVED,
    NO_SUCH,
    OTHER_COMPONENTS,
    PASSED,
    PASSWORD,
    REJECTED,
    RESTARTED,
    SENT,
    SENT_TOGETHER,
    UNPROVEN,
    USER_LOGIN,
    VERIFIED,
    WRONG,
    Received,
    after,
    challenge,
    make_conversation,
    unverifiable,
    with_errors,
)
from tests.parametrize import parametrize

REQUIRED = {"password": [{"string": "This field is required.", "code": "required"}]}


class VerdictTests(SynchronousTestCase):
    """The table, row by row."""

    @parametrize(
        {
            "unknown name": (REJECTED, [IDENTIFICATION, with_errors(IDENTIFICATION, NO_SUCH)]),
            "wrong, combined": (REJECTED, [*SENT_TOGETHER, with_errors(COMBINED, NO_SUCH)]),
            "wrong": (REJECTED, [*SENT, with_errors(PASSWORD, WRONG)]),
            "wrong once too often": (REJECTED, [*SENT, DENIED]),
            "the same, combined": (REJECTED, [*SENT_TOGETHER, DENIED]),
            "restarted": (RESTARTED, [*ACCEPTED, IDENTIFICATION]),
            "restarted at once": (RESTARTED, [*SENT, IDENTIFICATION]),
            "restarted, combined": (RESTARTED, [*ACCEPTED_TOGETHER, COMBINED]),
            "restarted after the login stage": (RESTARTED, [*PASSED, IDENTIFICATION]),
            "denied after the name": (DENIED_BY_POLICY, [*IDENTIFIED, DENIED]),
            "denied after the password": (DENIED_BY_POLICY, [*ACCEPTED, DENIED]),
            "denied after the login": (DENIED_BY_POLICY, [*PASSED, DENIED]),
            "ended without a login": (DENIED_BY_POLICY, [*ACCEPTED, END]),
            "ended at once without a login": (DENIED_BY_POLICY, [*SENT, END]),
            "flow denied": (unverifiable(Reason.FLOW_DENIED), [DENIED]),
            "no stage at all": (unverifiable(Reason.FLOW_ENDED_EARLY), [END]),
            "no password stage": (unverifiable(Reason.FLOW_ENDED_EARLY), [*IDENTIFIED, END]),
            "password first": (unverifiable(Reason.FLOW_NOT_HEADLESS), [PASSWORD]),
            "a password twice": (unverifiable(Reason.FLOW_NOT_HEADLESS), [*ACCEPTED, PASSWORD]),
            "a password again at once": (unverifiable(Reason.FLOW_NOT_HEADLESS), [*SENT, PASSWORD]),
            "a password after a combined one": (
                unverifiable(Reason.FLOW_NOT_HEADLESS),
                [*ACCEPTED_TOGETHER, PASSWORD],
            ),
            "captcha beside the name": (
                unverifiable(Reason.FLOW_NOT_HEADLESS),
                [challenge("ak-stage-identification", captcha_stage={"site_key": "x"})],
            ),
            "password errors to the name": (
                unverifiable(Reason.FLOW_ERROR),
                [IDENTIFICATION, with_errors(PASSWORD, WRONG)],
            ),
            "session lost before the password": (
                unverifiable(Reason.SESSION_LOST),
                [*IDENTIFIED, IDENTIFICATION],
            ),
            "session lost at the password": (
                unverifiable(Reason.SESSION_LOST),
                [*SENT, with_errors(IDENTIFICATION, NO_SUCH)],
            ),
            "login stage twice": (unverifiable(Reason.FLOW_ERROR), [*PASSED, USER_LOGIN]),
            "login stage refuses the answer": (
                unverifiable(Reason.FLOW_ERROR),
                [*PASSED, with_errors(USER_LOGIN, NO_SUCH)],
            ),
            "errors out of nowhere": (
                unverifiable(Reason.FLOW_ERROR),
                [with_errors(IDENTIFICATION, NO_SUCH)],
            ),
            "redirect to the executor": (
                unverifiable(Reason.FLOW_LOOP),
                [*ACCEPTED, challenge("xak-flow-redirect", to="/api/v3/flows/executor/x/?query=")],
            ),
            "redirect that is not the final one": (
                unverifiable(Reason.UPSTREAM_REDIRECT),
                [*ACCEPTED, challenge("xak-flow-redirect", to="/", final_redirect=False)],
            ),
            "redirect to nowhere": (
                unverifiable(Reason.FLOW_ERROR),
                [*ACCEPTED, challenge("xak-flow-redirect")],
            ),
            "redirect to no URL": (
                unverifiable(Reason.FLOW_ERROR),
                [*ACCEPTED, challenge("xak-flow-redirect", to="http://[")],
            ),
        }
    )
    def test_verdict(self, expected: tuple[Verdict, Reason], received: list[Received]) -> None:
        """Each challenge, at each point of a login, leads to its verdict."""
        self.assertEqual(after(*received), expected)

    def test_a_flow_that_restarts_is_never_believed(self) -> None:
        """No answer proves anything about the password if a refusal looks like an acceptance."""
        for received in (
            [IDENTIFICATION, with_errors(IDENTIFICATION, NO_SUCH)],
            [*IDENTIFIED, DENIED],
            [*SENT_TOGETHER, with_errors(COMBINED, NO_SUCH)],
            [*SENT, with_errors(PASSWORD, WRONG)],
            [*SENT, DENIED],
            [*SENT, END],
            [*SENT, MFA],
            [*SENT, MOVED],
            [*SENT_TOGETHER, MOVED],
        ):
            for session in (ANONYMOUS, LOGGED_IN):
                for login_stage in (True, False):
                    found = after(
                        *received,
                        session=session,
                        evidence=Evidence.RESTARTS,
                        login_stage=login_stage,
                    )
                    self.assertEqual(found, RESTARTED, received)

    @parametrize(
        {
            "unknown name": (REJECTED, [IDENTIFICATION, with_errors(IDENTIFICATION, NO_SUCH)]),
            "wrong, combined": (REJECTED, [*SENT_TOGETHER, with_errors(COMBINED, NO_SUCH)]),
            "wrong": (REJECTED, [*SENT, with_errors(PASSWORD, WRONG)]),
            "wrong once too often": (REJECTED, [*SENT, DENIED]),
            "denied after the name": (DENIED_BY_POLICY, [*IDENTIFIED, DENIED]),
            "denied after the password": (UNPROVEN, [*ACCEPTED, DENIED]),
            "denied after the login": (UNPROVEN, [*PASSED, DENIED]),
            "ended after the password": (UNPROVEN, [*ACCEPTED, END]),
            "ended at once": (UNPROVEN, [*SENT, END]),
            "second factor": (UNPROVEN, [*ACCEPTED, MFA]),
            "second factor at once": (UNPROVEN, [*SENT, MFA]),
            "consent": (UNPROVEN, [*ACCEPTED, challenge("ak-stage-consent")]),
            "redirect elsewhere": (
                UNPROVEN,
                [*ACCEPTED, challenge("xak-flow-redirect", to="https://a.invalid/")],
            ),
            "restarted": (RESTARTED, [*ACCEPTED, IDENTIFICATION]),
            "flow error": (
                unverifiable(Reason.FLOW_ERROR),
                [*ACCEPTED, challenge("ak-stage-flow-error")],
            ),
        }
    )
    def test_unproven_flow(
        self, expected: tuple[Verdict, Reason], received: list[Received]
    ) -> None:
        """Refusals and an authenticated session count; what else follows a 302 does not."""
        self.assertEqual(after(*received, evidence=Evidence.UNKNOWN), expected)

    def test_an_unproven_flow_needs_an_authenticated_session(self) -> None:
        """The end of the flow alone proves nothing; with an authenticated session it does."""
        unproven: dict[str, Any] = {"evidence": Evidence.UNKNOWN}
        for path in (SENT, ACCEPTED, SENT_TOGETHER, ACCEPTED_TOGETHER, PASSED):
            self.assertEqual(after(*path, END, session=LOGGED_IN, **unproven), VERIFIED)
            self.assertEqual(after(*path, END, login_stage=False, **unproven), UNPROVEN)

    def test_a_code_does_not_prove_the_password_before_it(self) -> None:
        """A wrong code is told only of a flow whose refusal has been seen."""
        wrong = {"code": [{"string": "Invalid Token.", "code": "invalid"}]}
        for evidence, expected in (
            (Evidence.IN_PLACE, (Verdict.REJECTED, Reason.WRONG_CODE)),
            (Evidence.UNKNOWN, UNPROVEN),
        ):
            conversation = make_conversation(
                LoginAttempt("bob", "secret", code="123456"), evidence=evidence
            )
            for item in (*ACCEPTED, DEVICES):
                conversation.receive(item, ANONYMOUS)
            step = conversation.receive(with_errors(DEVICES, wrong), ANONYMOUS)
            self.assertEqual(step, Outcome(*expected))

    @parametrize(
        {
            "unknown name": (None, [IDENTIFICATION, with_errors(IDENTIFICATION, NO_SUCH)]),
            "denied after the name": (None, [*IDENTIFIED, DENIED]),
            "no response yet": (None, SENT),
            "wrong": (True, [*SENT, with_errors(PASSWORD, WRONG)]),
            "wrong, combined": (True, [*SENT_TOGETHER, with_errors(COMBINED, NO_SUCH)]),
            "denied": (True, [*SENT, DENIED]),
            "a missing password": (None, [*SENT, with_errors(PASSWORD, REQUIRED)]),
            "the name again": (None, [*SENT, with_errors(IDENTIFICATION, NO_SUCH)]),
            "accepted": (False, [*SENT, MOVED]),
            "denied after the password": (False, [*ACCEPTED, DENIED]),
            "ended": (False, [*SENT, END]),
            "second factor": (False, [*SENT, MFA]),
            "restarted": (False, [*SENT, IDENTIFICATION]),
            "a second password stage": (False, [*SENT, PASSWORD]),
            "flow error": (False, [*SENT, challenge("ak-stage-flow-error")]),
        }
    )
    def test_refused_in_place(self, expected: bool | None, received: list[Received]) -> None:
        """A conversation knows whether the flow refused the password in place."""
        for evidence in Evidence:
            conversation = make_conversation(evidence=evidence)
            for item in received:
                if isinstance(conversation.receive(item, ANONYMOUS), Outcome):
                    break
            self.assertIs(conversation.refused_in_place, expected)

    def test_another_session_says_nothing_of_the_refusal(self) -> None:
        """A first stage in another session is about neither."""
        conversation = make_conversation()
        for item in SENT:
            conversation.receive(item, ANONYMOUS)
        conversation.receive(IDENTIFICATION, SessionCookie("another"))
        self.assertIsNone(conversation.refused_in_place)

    @parametrize(
        {
            "name after the password": (True, [*ACCEPTED, IDENTIFICATION]),
            "password after the password": (True, [*ACCEPTED, PASSWORD]),
            "combined": (True, [*ACCEPTED_TOGETHER, COMBINED]),
            "name after the name": (False, [*IDENTIFIED, IDENTIFICATION]),
            "wrong": (False, [*SENT, with_errors(PASSWORD, WRONG)]),
            "second factor": (False, [*ACCEPTED, MFA]),
            "ended": (False, [*ACCEPTED, END]),
        }
    )
    def test_a_restart_is_noticed(self, expected: bool, received: list[Received]) -> None:
        """A flow that asks for name or password again after the password has restarted."""
        conversation = make_conversation()
        for item in received:
            conversation.receive(item, ANONYMOUS)
        self.assertIs(conversation.restarted, expected)

    def test_what_errors_say_counts_and_not_that_there_are_some(self) -> None:
        """Errors are a refusal only of fields that were sent, and not for want of a field."""
        wrong: list[Any] = [
            {"password": [{"string": "This field is required.", "code": "required"}]},
            {"captcha_token": [{"string": "Invalid captcha response.", "code": "invalid"}]},
            {"password": [{"string": "no code"}]},
            {"password": []},
            {"password": "no"},
            ["password"],
            {**WRONG, "captcha_token": [{"string": "x", "code": "invalid"}]},
        ]
        for errors in wrong:
            self.assertEqual(
                after(*SENT, with_errors(PASSWORD, errors)),
                unverifiable(Reason.FLOW_ERROR),
                repr(errors),
            )

    def test_a_restart_in_another_session_is_a_lost_session(self) -> None:
        """A fresh identification stage is a restart only if the session is still the same."""
        for session in (SessionCookie("another"), SessionCookie(None)):
            self.assertEqual(
                after(*ACCEPTED, IDENTIFICATION, session=session),
                unverifiable(Reason.SESSION_LOST),
            )

    def test_no_session_twice_is_not_the_same_session(self) -> None:
        """Two answers without a session cookie say nothing of a restart."""
        conversation = make_conversation()
        for item in ACCEPTED:
            conversation.receive(item, SessionCookie())
        step = conversation.receive(IDENTIFICATION, SessionCookie())
        self.assertEqual(step, Outcome(*unverifiable(Reason.SESSION_LOST)))

    def test_only_true_is_true(self) -> None:
        """A field that merely looks set does not bring the password into the first form."""
        for value in ("yes", 1, [1], "true", "false"):
            form = challenge("ak-stage-identification", password_fields=value)
            step = make_conversation().receive(form, ANONYMOUS)
            self.assertEqual(
                step,
                ChallengeResponse({"component": "ak-stage-identification", "uid_field": "alice"}),
            )

    def test_errors_behind_a_302_are_no_answer_to_the_password(self) -> None:
        """A password stage that comes with errors on its own is not a refusal."""
        self.assertEqual(
            after(*ACCEPTED, with_errors(PASSWORD, WRONG)), unverifiable(Reason.FLOW_ERROR)
        )

    def test_the_executor_may_be_named_by_a_relative_redirect(self) -> None:
        """A redirect into the executor is a loop, however its address is written."""
        for to in ("x/?query=", "./x/", "/api/v3/flows/executor/x/", "../executor/x/"):
            conversation = make_conversation(root="https://example.com/api/v3/flows/executor/")
            for item in ACCEPTED:
                conversation.receive(item, ANONYMOUS)
            step = conversation.receive(challenge("xak-flow-redirect", to=to), LOGGED_IN)
            self.assertEqual(step, Outcome(*unverifiable(Reason.FLOW_LOOP)), to)

    def test_the_end_with_an_authenticated_session_is_the_proof(self) -> None:
        """An accepted password, the end of the flow and a session that is logged in: verified."""
        for path in (SENT, ACCEPTED, SENT_TOGETHER, ACCEPTED_TOGETHER, PASSED):
            self.assertEqual(after(*path, END, session=LOGGED_IN), VERIFIED)

    def test_an_authenticated_session_alone_proves_nothing(self) -> None:
        """A flow that skips its password stage logs anybody in."""
        for path in (IDENTIFIED[:0], IDENTIFIED[:1], IDENTIFIED):
            self.assertEqual(
                after(*path, END, session=LOGGED_IN), unverifiable(Reason.FLOW_ENDED_EARLY)
            )

    def test_without_a_login_stage_the_end_is_enough(self) -> None:
        """An accepted password and the end of the flow verify if the operator says so."""
        self.assertEqual(after(*SENT, END, login_stage=False), VERIFIED)
        self.assertEqual(
            after(*IDENTIFIED, END, login_stage=False), unverifiable(Reason.FLOW_ENDED_EARLY)
        )

    def test_a_redirect_elsewhere_is_for_a_person(self) -> None:
        """A flow that goes on at another place is not over."""
        for to, expected in (
            ("https://example.invalid/elsewhere", INTERACTION),
            ("/if/flow/another/", INTERACTION),
            ("/", DENIED_BY_POLICY),
            ("https://authentik.example.com", DENIED_BY_POLICY),
            ("", DENIED_BY_POLICY),
        ):
            self.assertEqual(
                after(*ACCEPTED, challenge("xak-flow-redirect", to=to)), expected, repr(to)
            )

    def test_the_root_may_be_a_prefix(self) -> None:
        """Authentik under a path has its root there."""
        conversation = make_conversation(root="https://example.com/auth/")
        for item in ACCEPTED:
            conversation.receive(item, ANONYMOUS)
        step = conversation.receive(challenge("xak-flow-redirect", to="/auth/"), ANONYMOUS)
        self.assertEqual(step, Outcome(*DENIED_BY_POLICY))

    def test_every_component_before_the_password(self) -> None:
        """Before the password, no component but the two that ask leads on, or to a verdict."""
        for component in [*KNOWN_STAGES, *OTHER_COMPONENTS, *FROM_THE_FUTURE]:
            verdict, _ = after(*IDENTIFIED, challenge(component, to="/"))
            expected = {
                "ak-stage-password": None,
                "ak-stage-access-denied": Verdict.DENIED,
            }.get(component, Verdict.UNVERIFIABLE)
            self.assertEqual(verdict, expected, component)

    def test_every_component_after_the_password(self) -> None:
        """After the password, each stage that Authentik knows has its verdict; others have none."""
        special = {
            "ak-stage-access-denied": Verdict.DENIED,
            "ak-stage-flow-error": Verdict.UNVERIFIABLE,
            "ak-stage-identification": Verdict.UNVERIFIABLE,
            "ak-stage-password": Verdict.UNVERIFIABLE,
            "ak-stage-user-login": None,
            "xak-flow-redirect": Verdict.DENIED,
        }
        for component in KNOWN_STAGES:
            verdict, reason = after(*ACCEPTED, challenge(component))
            expected = special.get(component, Verdict.INTERACTION_REQUIRED)
            self.assertEqual(verdict, expected, component)
            self.assertEqual(
                reason is Reason.MFA, component.startswith("ak-stage-authenticator-"), component
            )
        for component in [*OTHER_COMPONENTS, *FROM_THE_FUTURE]:
            verdict, _ = after(*ACCEPTED, challenge(component, to="/"))
            self.assertEqual(verdict, special.get(component, Verdict.UNVERIFIABLE), component)

    def test_a_second_factor_before_the_password_says_nothing(self) -> None:
        """A code asked for before the password looks the same for a right and a wrong one."""
        self.assertEqual(after(*IDENTIFIED, MFA), unverifiable(Reason.FLOW_NOT_HEADLESS))

    def test_steps_are_bounded(self) -> None:
        """A flow that never ends is given up."""
        received = [*IDENTIFIED, *([MOVED] * (MAX_STEPS - 2)), MOVED]
        self.assertEqual(after(*received), unverifiable(Reason.FLOW_LOOP))
