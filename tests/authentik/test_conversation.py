"""The decision rules, row by row and by random conversations."""

from __future__ import annotations

from typing import Any, TypeAlias, cast

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.authentik.challenges import Challenge, Redirect, SessionCookie
from ropg_twisted.authentik.conversation import (
    MAX_STEPS,
    ChallengeResponse,
    Conversation,
    FollowRedirect,
    Step,
)
from ropg_twisted.authentik.evidence import Evidence
from ropg_twisted.interfaces import LoginAttempt
from ropg_twisted.verdict import Outcome, Reason, Verdict
from tests.rows import Rows

Received: TypeAlias = Redirect | Challenge

ROOT = "https://authentik.example.com/"
ALICE = LoginAttempt("alice", "secret")
ANONYMOUS = SessionCookie("first")
LOGGED_IN = SessionCookie("second", authenticated=True)

MOVED = Redirect()
WRONG = {"password": [{"string": "Ungültiges Passwort", "code": "invalid"}]}
NO_SUCH = {"non_field_errors": [{"string": "Failed to authenticate.", "code": "invalid"}]}

KNOWN_STAGES = [
    "ak-stage-access-denied",
    "ak-stage-authenticator-duo",
    "ak-stage-authenticator-email",
    "ak-stage-authenticator-sms",
    "ak-stage-authenticator-static",
    "ak-stage-authenticator-totp",
    "ak-stage-authenticator-validate",
    "ak-stage-authenticator-webauthn",
    "ak-stage-autosubmit",
    "ak-stage-captcha",
    "ak-stage-consent",
    "ak-stage-dummy",
    "ak-stage-email",
    "ak-stage-endpoint-agent",
    "ak-stage-flow-error",
    "ak-stage-identification",
    "ak-stage-password",
    "ak-stage-prompt",
    "ak-stage-session-end",
    "ak-stage-user-login",
]
OTHER_COMPONENTS = [
    "xak-flow-frame",
    "xak-flow-redirect",
    "xak-flow-shell",
    "ak-source-oauth-apple",
    "ak-source-plex",
    "ak-source-telegram",
    "ak-provider-iframe-logout",
    "ak-provider-oauth2-device-code",
    "ak-provider-oauth2-device-code-finish",
    "ak-provider-saml-native-logout",
]
FROM_THE_FUTURE = ["ak-stage-hologram", "xak-flow-portal", "", "password"]


def challenge(component: str, **fields: Any) -> Challenge:
    """A challenge as the executor sends it."""
    return Challenge(component, cast(Any, fields))


IDENTIFICATION = challenge("ak-stage-identification", password_fields=False, captcha_stage=None)
COMBINED = challenge("ak-stage-identification", password_fields=True, captcha_stage=None)
PASSWORD = challenge("ak-stage-password", pending_user="alice")
DENIED = challenge("ak-stage-access-denied", error_message="no")
USER_LOGIN = challenge("ak-stage-user-login")
MFA = challenge("ak-stage-authenticator-validate", device_challenges=[])
END = challenge("xak-flow-redirect", to="/")

IDENTIFIED: list[Received] = [IDENTIFICATION, MOVED]
SENT: list[Received] = [*IDENTIFIED, PASSWORD]
ACCEPTED: list[Received] = [*SENT, MOVED]
SENT_TOGETHER: list[Received] = [COMBINED]
ACCEPTED_TOGETHER: list[Received] = [*SENT_TOGETHER, MOVED]
PASSED: list[Received] = [*ACCEPTED, USER_LOGIN]


def make_conversation(
    login: LoginAttempt = ALICE,
    *,
    root: str = ROOT,
    evidence: Evidence = Evidence.IN_PLACE,
    login_stage: bool = True,
) -> Conversation:
    """A conversation with a flow that has been seen to refuse in place, if not said otherwise."""
    return Conversation(login, root=root, evidence=evidence, login_stage=login_stage)


def after(
    *received: Received, session: SessionCookie = ANONYMOUS, **options: Any
) -> tuple[Verdict | None, Reason | None]:
    """What a conversation comes to that hears all this; ``session`` counts for the last of it."""
    conversation = make_conversation(**options)
    step: Step = FollowRedirect()
    for item in received[:-1]:
        step = conversation.receive(item, ANONYMOUS)
        assert not isinstance(step, Outcome), f"{step} at {item}"
    step = conversation.receive(received[-1], session)
    return (step.verdict, step.reason) if isinstance(step, Outcome) else (None, None)


VERIFIED = (Verdict.VERIFIED, Reason.VERIFIED)
REJECTED = (Verdict.REJECTED, Reason.WRONG_CREDENTIALS)
DENIED_BY_POLICY = (Verdict.DENIED, Reason.POLICY)
INTERACTION = (Verdict.INTERACTION_REQUIRED, Reason.INTERACTION)


def unverifiable(reason: Reason) -> tuple[Verdict, Reason]:
    """An outcome that says nothing about the password."""
    return Verdict.UNVERIFIABLE, reason


RESTARTED = unverifiable(Reason.FLOW_RESTARTS)
UNPROVEN = unverifiable(Reason.FLOW_UNPROVEN)


class AnswerTests(SynchronousTestCase):
    """What is sent, and when."""

    def test_the_name_goes_first_and_alone(self) -> None:
        """A plain identification stage gets the user name, and no password."""
        step = make_conversation().receive(IDENTIFICATION, ANONYMOUS)
        self.assertEqual(
            step, ChallengeResponse({"component": "ak-stage-identification", "uid_field": "alice"})
        )

    def test_a_combined_stage_gets_both(self) -> None:
        """An identification stage with a password field gets name and password at once."""
        step = make_conversation().receive(COMBINED, ANONYMOUS)
        self.assertEqual(
            step,
            ChallengeResponse(
                {
                    "component": "ak-stage-identification",
                    "uid_field": "alice",
                    "password": "secret",
                }
            ),
        )

    def test_the_password_goes_to_the_password_stage(self) -> None:
        """The password stage gets the password."""
        conversation = make_conversation()
        for item in IDENTIFIED:
            conversation.receive(item, ANONYMOUS)
        self.assertFalse(conversation.password_sent)
        step = conversation.receive(PASSWORD, ANONYMOUS)
        self.assertEqual(
            step, ChallengeResponse({"component": "ak-stage-password", "password": "secret"})
        )
        self.assertTrue(conversation.password_sent)

    def test_nobody_is_remembered(self) -> None:
        """A user-login stage that asks is told not to remember the login."""
        conversation = make_conversation()
        for item in ACCEPTED:
            conversation.receive(item, ANONYMOUS)
        self.assertEqual(
            conversation.receive(USER_LOGIN, ANONYMOUS),
            ChallengeResponse({"component": "ak-stage-user-login", "remember_me": False}),
        )

    def test_secrets_do_not_show(self) -> None:
        """No representation of an answer or of credentials holds the password."""
        step = make_conversation().receive(COMBINED, ANONYMOUS)
        self.assertNotIn("secret", repr(step))
        self.assertNotIn("secret", repr(LoginAttempt("alice", "secret")))


class CodeTests(SynchronousTestCase):
    """A code of a second factor that came with the password."""

    DEVICES = challenge(
        "ak-stage-authenticator-validate",
        device_challenges=[{"device_class": "webauthn"}, {"device_class": "totp"}],
    )

    def receive(
        self, *received: Received, code: str | None = "123456"
    ) -> tuple[list[Step], Conversation]:
        """All steps of a conversation with a code."""
        conversation = make_conversation(LoginAttempt("bob", "secret", code=code))
        return [conversation.receive(item, ANONYMOUS) for item in received], conversation

    def test_the_code_is_the_answer(self) -> None:
        """A stage that takes codes gets it, and the login goes on to its end."""
        steps, conversation = self.receive(*ACCEPTED, self.DEVICES, MOVED, USER_LOGIN)
        self.assertEqual(
            steps[len(ACCEPTED)],
            ChallengeResponse({"component": "ak-stage-authenticator-validate", "code": "123456"}),
        )
        self.assertEqual(
            conversation.receive(END, LOGGED_IN),
            Outcome(Verdict.VERIFIED, Reason.VERIFIED_WITH_CODE),
        )

    def test_a_wrong_code_is_refused_by_a_word_of_its_own(self) -> None:
        """Errors of the code reject, but do not say that the password is wrong."""
        wrong = {"code": [{"string": "Invalid Token.", "code": "invalid"}]}
        steps, _ = self.receive(*ACCEPTED, self.DEVICES, _errors(self.DEVICES, wrong))
        self.assertEqual(steps[-1], Outcome(Verdict.REJECTED, Reason.WRONG_CODE))
        empty = {"non_field_errors": [{"string": "Empty response", "code": "invalid"}]}
        steps, _ = self.receive(*ACCEPTED, self.DEVICES, _errors(self.DEVICES, empty))
        self.assertEqual(steps[-1], Outcome(*unverifiable(Reason.FLOW_ERROR)))

    def test_the_code_is_sent_once(self) -> None:
        """A second stage of that kind is for the person."""
        steps, _ = self.receive(*ACCEPTED, self.DEVICES, MOVED, self.DEVICES)
        self.assertEqual(steps[-1], Outcome(Verdict.INTERACTION_REQUIRED, Reason.MFA))

    def test_devices_that_take_no_code_are_for_the_person(self) -> None:
        """Without a code, or with devices that want something else, interaction is required."""
        for devices in ([{"device_class": "duo"}, {"device_class": "webauthn"}], [], None, ["x"]):
            stage = challenge("ak-stage-authenticator-validate", device_challenges=devices)
            steps, _ = self.receive(*ACCEPTED, stage)
            self.assertEqual(steps[-1], Outcome(Verdict.INTERACTION_REQUIRED, Reason.MFA), devices)
        steps, _ = self.receive(*ACCEPTED, self.DEVICES, code=None)
        self.assertEqual(steps[-1], Outcome(Verdict.INTERACTION_REQUIRED, Reason.MFA))

    def test_a_flow_that_begins_anew_says_nothing_of_the_password(self) -> None:
        """After a code, an identification stage may answer the code: no verdict."""
        steps, _ = self.receive(*ACCEPTED, self.DEVICES, MOVED, IDENTIFICATION)
        self.assertEqual(steps[-1], Outcome(*RESTARTED))

    def test_a_code_is_never_sent_before_the_password(self) -> None:
        """A second factor that comes first gets nothing."""
        steps, _ = self.receive(*IDENTIFIED, self.DEVICES)
        self.assertEqual(steps[-1], Outcome(*unverifiable(Reason.FLOW_NOT_HEADLESS)))


class VerdictTests(SynchronousTestCase):
    """The table, row by row."""

    def test_the_table(self) -> None:
        """Each challenge, at each point of a login, leads to its verdict."""
        rows = Rows(self)
        table: list[tuple[str, tuple[Any, Any], list[Any]]] = [
            ("unknown name", REJECTED, [IDENTIFICATION, _errors(IDENTIFICATION, NO_SUCH)]),
            ("wrong, combined", REJECTED, [*SENT_TOGETHER, _errors(COMBINED, NO_SUCH)]),
            ("wrong", REJECTED, [*SENT, _errors(PASSWORD, WRONG)]),
            ("wrong once too often", REJECTED, [*SENT, DENIED]),
            ("the same, combined", REJECTED, [*SENT_TOGETHER, DENIED]),
            ("restarted", RESTARTED, [*ACCEPTED, IDENTIFICATION]),
            ("restarted at once", RESTARTED, [*SENT, IDENTIFICATION]),
            ("restarted, combined", RESTARTED, [*ACCEPTED_TOGETHER, COMBINED]),
            ("restarted after the login stage", RESTARTED, [*PASSED, IDENTIFICATION]),
            ("denied after the name", DENIED_BY_POLICY, [*IDENTIFIED, DENIED]),
            ("denied after the password", DENIED_BY_POLICY, [*ACCEPTED, DENIED]),
            ("denied after the login", DENIED_BY_POLICY, [*PASSED, DENIED]),
            ("ended without a login", DENIED_BY_POLICY, [*ACCEPTED, END]),
            ("ended at once without a login", DENIED_BY_POLICY, [*SENT, END]),
            ("flow denied", unverifiable(Reason.FLOW_DENIED), [DENIED]),
            ("no stage at all", unverifiable(Reason.FLOW_ENDED_EARLY), [END]),
            ("no password stage", unverifiable(Reason.FLOW_ENDED_EARLY), [*IDENTIFIED, END]),
            ("password first", unverifiable(Reason.FLOW_NOT_HEADLESS), [PASSWORD]),
            (
                "a password twice",
                unverifiable(Reason.FLOW_NOT_HEADLESS),
                [*ACCEPTED, PASSWORD],
            ),
            (
                "a password again at once",
                unverifiable(Reason.FLOW_NOT_HEADLESS),
                [*SENT, PASSWORD],
            ),
            (
                "a password after a combined one",
                unverifiable(Reason.FLOW_NOT_HEADLESS),
                [*ACCEPTED_TOGETHER, PASSWORD],
            ),
            (
                "captcha beside the name",
                unverifiable(Reason.FLOW_NOT_HEADLESS),
                [challenge("ak-stage-identification", captcha_stage={"site_key": "x"})],
            ),
            (
                "password errors to the name",
                unverifiable(Reason.FLOW_ERROR),
                [IDENTIFICATION, _errors(PASSWORD, WRONG)],
            ),
            (
                "session lost before the password",
                unverifiable(Reason.SESSION_LOST),
                [*IDENTIFIED, IDENTIFICATION],
            ),
            (
                "session lost at the password",
                unverifiable(Reason.SESSION_LOST),
                [*SENT, _errors(IDENTIFICATION, NO_SUCH)],
            ),
            (
                "login stage twice",
                unverifiable(Reason.FLOW_ERROR),
                [*PASSED, USER_LOGIN],
            ),
            (
                "login stage refuses the answer",
                unverifiable(Reason.FLOW_ERROR),
                [*PASSED, _errors(USER_LOGIN, NO_SUCH)],
            ),
            (
                "errors out of nowhere",
                unverifiable(Reason.FLOW_ERROR),
                [_errors(IDENTIFICATION, NO_SUCH)],
            ),
            (
                "redirect to the executor",
                unverifiable(Reason.FLOW_LOOP),
                [*ACCEPTED, challenge("xak-flow-redirect", to="/api/v3/flows/executor/x/?query=")],
            ),
            (
                "redirect that is not the final one",
                unverifiable(Reason.UPSTREAM_REDIRECT),
                [*ACCEPTED, challenge("xak-flow-redirect", to="/", final_redirect=False)],
            ),
            (
                "redirect to nowhere",
                unverifiable(Reason.FLOW_ERROR),
                [*ACCEPTED, challenge("xak-flow-redirect")],
            ),
            (
                "redirect to no URL",
                unverifiable(Reason.FLOW_ERROR),
                [*ACCEPTED, challenge("xak-flow-redirect", to="http://[")],
            ),
        ]
        for name, expected, received in table:
            with rows.row(name):
                self.assertEqual(after(*received), expected, name)

    def test_a_flow_that_restarts_is_never_believed(self) -> None:
        """Where a refusal looks like an acceptance, no answer says anything of the password."""
        for received in (
            [IDENTIFICATION, _errors(IDENTIFICATION, NO_SUCH)],
            [*IDENTIFIED, DENIED],
            [*SENT_TOGETHER, _errors(COMBINED, NO_SUCH)],
            [*SENT, _errors(PASSWORD, WRONG)],
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

    def test_an_unproven_flow_is_believed_as_far_as_no_302_carries_it(self) -> None:
        """Refusals and an authenticated session count; what else follows a 302 does not."""
        unproven: dict[str, Any] = {"evidence": Evidence.UNKNOWN}
        for expected, received in (
            (REJECTED, [IDENTIFICATION, _errors(IDENTIFICATION, NO_SUCH)]),
            (REJECTED, [*SENT_TOGETHER, _errors(COMBINED, NO_SUCH)]),
            (REJECTED, [*SENT, _errors(PASSWORD, WRONG)]),
            (REJECTED, [*SENT, DENIED]),
            (DENIED_BY_POLICY, [*IDENTIFIED, DENIED]),
            (UNPROVEN, [*ACCEPTED, DENIED]),
            (UNPROVEN, [*PASSED, DENIED]),
            (UNPROVEN, [*ACCEPTED, END]),
            (UNPROVEN, [*SENT, END]),
            (UNPROVEN, [*ACCEPTED, MFA]),
            (UNPROVEN, [*SENT, MFA]),
            (UNPROVEN, [*ACCEPTED, challenge("ak-stage-consent")]),
            (UNPROVEN, [*ACCEPTED, challenge("xak-flow-redirect", to="https://a.invalid/")]),
            (RESTARTED, [*ACCEPTED, IDENTIFICATION]),
            (unverifiable(Reason.FLOW_ERROR), [*ACCEPTED, challenge("ak-stage-flow-error")]),
        ):
            self.assertEqual(after(*received, **unproven), expected, received)
        for path in (SENT, ACCEPTED, SENT_TOGETHER, ACCEPTED_TOGETHER, PASSED):
            self.assertEqual(after(*path, END, session=LOGGED_IN, **unproven), VERIFIED)
            self.assertEqual(after(*path, END, login_stage=False, **unproven), UNPROVEN)

    def test_a_code_does_not_prove_the_password_before_it(self) -> None:
        """Whether a code is wrong is told only of a flow whose refusal has been seen."""
        wrong = {"code": [{"string": "Invalid Token.", "code": "invalid"}]}
        for evidence, expected in (
            (Evidence.IN_PLACE, (Verdict.REJECTED, Reason.WRONG_CODE)),
            (Evidence.UNKNOWN, UNPROVEN),
        ):
            conversation = make_conversation(
                LoginAttempt("bob", "secret", code="123456"), evidence=evidence
            )
            for item in (*ACCEPTED, CodeTests.DEVICES):
                conversation.receive(item, ANONYMOUS)
            step = conversation.receive(_errors(CodeTests.DEVICES, wrong), ANONYMOUS)
            self.assertEqual(step, Outcome(*expected))

    def test_what_a_conversation_says_of_the_refusal(self) -> None:
        """The answer to the password is a refusal in place, another answer, or about neither."""
        required = {"password": [{"string": "This field is required.", "code": "required"}]}
        for expected, received in (
            (None, [IDENTIFICATION, _errors(IDENTIFICATION, NO_SUCH)]),
            (None, [*IDENTIFIED, DENIED]),
            (None, SENT),
            (True, [*SENT, _errors(PASSWORD, WRONG)]),
            (True, [*SENT_TOGETHER, _errors(COMBINED, NO_SUCH)]),
            (True, [*SENT, DENIED]),
            (None, [*SENT, _errors(PASSWORD, required)]),
            (None, [*SENT, _errors(IDENTIFICATION, NO_SUCH)]),
            (False, [*SENT, MOVED]),
            (False, [*ACCEPTED, DENIED]),
            (False, [*SENT, END]),
            (False, [*SENT, MFA]),
            (False, [*SENT, IDENTIFICATION]),
            (False, [*SENT, PASSWORD]),
            (False, [*SENT, challenge("ak-stage-flow-error")]),
        ):
            for evidence in Evidence:
                conversation = make_conversation(evidence=evidence)
                for item in received:
                    if isinstance(conversation.receive(item, ANONYMOUS), Outcome):
                        break
                self.assertIs(conversation.refused_in_place, expected, received)
        conversation = make_conversation()
        for item in SENT:
            conversation.receive(item, ANONYMOUS)
        conversation.receive(IDENTIFICATION, SessionCookie("another"))
        self.assertIsNone(conversation.refused_in_place)

    def test_a_restart_is_noticed(self) -> None:
        """A flow that asks for name or password again after the password has restarted."""
        for expected, received in (
            (True, [*ACCEPTED, IDENTIFICATION]),
            (True, [*ACCEPTED, PASSWORD]),
            (True, [*ACCEPTED_TOGETHER, COMBINED]),
            (False, [*IDENTIFIED, IDENTIFICATION]),
            (False, [*SENT, _errors(PASSWORD, WRONG)]),
            (False, [*ACCEPTED, MFA]),
            (False, [*ACCEPTED, END]),
        ):
            conversation = make_conversation()
            for item in received:
                conversation.receive(item, ANONYMOUS)
            self.assertIs(conversation.restarted, expected, received)

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
                after(*SENT, _errors(PASSWORD, errors)),
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
            after(*ACCEPTED, _errors(PASSWORD, WRONG)), unverifiable(Reason.FLOW_ERROR)
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
        """Where the operator says so, an accepted password and the end of the flow verify."""
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


def _errors(item: Challenge, errors: Any) -> Challenge:
    return Challenge(item.component, {**item.fields, "response_errors": errors})


def _random_challenges() -> SearchStrategy[Challenge]:
    code = st.sampled_from(["invalid", "required", "blank"])
    errors = st.dictionaries(
        st.sampled_from(["password", "uid_field", "non_field_errors", "captcha_token"]),
        st.lists(st.fixed_dictionaries({"string": st.just("text"), "code": code}), max_size=2),
        max_size=2,
    )
    fields = st.fixed_dictionaries(
        {},
        optional={
            "password_fields": st.booleans(),
            "captcha_stage": st.sampled_from([None, {"site_key": "x"}]),
            "response_errors": st.one_of(errors, st.none(), st.just("text")),
            "to": st.sampled_from(["/", "/api/v3/flows/executor/x/", "https://a.invalid/", None]),
        },
    )
    components = st.sampled_from([*KNOWN_STAGES, *OTHER_COMPONENTS, *FROM_THE_FUTURE])
    return st.builds(lambda name, more: challenge(name, **more), components, fields)


RECEIVED = st.lists(
    st.tuples(
        st.one_of(
            st.just(MOVED),
            st.sampled_from([IDENTIFICATION, COMBINED, PASSWORD, USER_LOGIN, END, MFA]),
            _random_challenges(),
        ),
        st.sampled_from([ANONYMOUS, LOGGED_IN, SessionCookie()]),
    ),
    max_size=MAX_STEPS + 3,
)


class RandomConversationTests(SynchronousTestCase):
    """What holds whatever Authentik answers."""

    @given(RECEIVED, st.booleans(), st.sampled_from([None, "123456"]), st.sampled_from(Evidence))
    def test_no_success_without_an_accepted_password(
        self,
        received: list[tuple[Received, SessionCookie]],
        login_stage: bool,
        code: str | None,
        evidence: Evidence,
    ) -> None:
        """Verified and interaction_required follow only upon a password, sent once and accepted.

        Accepted means here, told independently of the code: the very next thing heard after it was
        sent is a 302, or a component other than the one that it was sent to, and without errors.
        Without evidence of how the flow refuses, only an authenticated session makes it a success.
        """
        login = LoginAttempt("alice", "secret", code=code)
        conversation = make_conversation(login, evidence=evidence, login_stage=login_stage)
        passwords = 0
        accepted: bool | None = None
        asked_by = ""
        for item, session in received:
            if passwords and accepted is None:
                accepted = isinstance(item, Redirect) or (
                    item.component != asked_by and not item.fields.get("response_errors")
                )
            step = conversation.receive(item, session)
            if isinstance(step, ChallengeResponse) and "password" in step.body:
                assert isinstance(item, Challenge)
                assert step.body["password"] == "secret"
                asked_by = item.component
                passwords += 1
            if isinstance(step, Outcome):
                break
        else:
            return
        self.assertLessEqual(passwords, 1)
        if step.verdict in (Verdict.VERIFIED, Verdict.INTERACTION_REQUIRED):
            self.assertEqual((passwords, accepted), (1, True))
        if step.verdict is Verdict.VERIFIED and login_stage:
            self.assertTrue(session.authenticated)
        if evidence is Evidence.UNKNOWN and accepted and step.verdict is not Verdict.UNVERIFIABLE:
            self.assertTrue(step.verdict is Verdict.VERIFIED and session.authenticated)
        if evidence is Evidence.RESTARTS:
            self.assertIs(step.verdict, Verdict.UNVERIFIABLE)
        if step.verdict is Verdict.REJECTED:
            self.assertGreater(len(received), 1)

    @given(RECEIVED)
    def test_the_password_goes_into_one_answer_at_most(
        self, received: list[tuple[Received, SessionCookie]]
    ) -> None:
        """Even a conversation that is kept going past its outcome sends the password once."""
        conversation = make_conversation()
        steps = [conversation.receive(item, session) for item, session in received]
        holding = [
            step
            for step in steps
            if isinstance(step, ChallengeResponse) and "password" in step.body
        ]
        self.assertLessEqual(len(holding), 1)
