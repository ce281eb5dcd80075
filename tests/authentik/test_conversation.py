"""A conversation with the flow executor: what is sent, and when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.authentik.challenges import Challenge, Redirect, SessionCookie
from ropg_twisted.authentik.conversation import (
    MAX_STEPS,
    ChallengeResponse,
    Conversation,
    Step,
)
from ropg_twisted.authentik.evidence import Evidence
from ropg_twisted.interfaces import LoginAttempt
from ropg_twisted.verdict import Outcome, Reason, Verdict
from tests.authentik.conversations import (
    ACCEPTED,
    ANONYMOUS,
    COMBINED,
    DEVICES,
    END,
    FROM_THE_FUTURE,
    IDENTIFICATION,
    IDENTIFIED,
    KNOWN_STAGES,
    LOGGED_IN,
    MFA,
    MOVED,
    OTHER_COMPONENTS,
    PASSWORD,
    RESTARTED,
    USER_LOGIN,
    Received,
    challenge,
    make_conversation,
    unverifiable,
    with_errors,
)


class AnswerTests(SynchronousTestCase):
    """Inputs, and when they are sent."""

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

    def receive(
        self, *received: Received, code: str | None = "123456"
    ) -> tuple[list[Step], Conversation]:
        """All steps of a conversation with a code."""
        conversation = make_conversation(LoginAttempt("bob", "secret", code=code))
        return [conversation.receive(item, ANONYMOUS) for item in received], conversation

    def test_the_code_is_the_answer(self) -> None:
        """A stage that takes codes gets it, and the login goes on to its end."""
        steps, conversation = self.receive(*ACCEPTED, DEVICES, MOVED, USER_LOGIN)
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
        steps, _ = self.receive(*ACCEPTED, DEVICES, with_errors(DEVICES, wrong))
        self.assertEqual(steps[-1], Outcome(Verdict.REJECTED, Reason.WRONG_CODE))
        empty = {"non_field_errors": [{"string": "Empty response", "code": "invalid"}]}
        steps, _ = self.receive(*ACCEPTED, DEVICES, with_errors(DEVICES, empty))
        self.assertEqual(steps[-1], Outcome(*unverifiable(Reason.FLOW_ERROR)))

    def test_the_code_is_sent_once(self) -> None:
        """A second stage of that kind is for the person."""
        steps, _ = self.receive(*ACCEPTED, DEVICES, MOVED, DEVICES)
        self.assertEqual(steps[-1], Outcome(Verdict.INTERACTION_REQUIRED, Reason.MFA))

    def test_devices_that_take_no_code_are_for_the_person(self) -> None:
        """Without a code, or with devices that want something else, interaction is required."""
        for devices in ([{"device_class": "duo"}, {"device_class": "webauthn"}], [], None, ["x"]):
            stage = challenge("ak-stage-authenticator-validate", device_challenges=devices)
            steps, _ = self.receive(*ACCEPTED, stage)
            self.assertEqual(steps[-1], Outcome(Verdict.INTERACTION_REQUIRED, Reason.MFA), devices)
        steps, _ = self.receive(*ACCEPTED, DEVICES, code=None)
        self.assertEqual(steps[-1], Outcome(Verdict.INTERACTION_REQUIRED, Reason.MFA))

    def test_a_flow_that_begins_anew_says_nothing_of_the_password(self) -> None:
        """After a code, an identification stage may answer the code: no verdict."""
        steps, _ = self.receive(*ACCEPTED, DEVICES, MOVED, IDENTIFICATION)
        self.assertEqual(steps[-1], Outcome(*RESTARTED))

    def test_a_code_is_never_sent_before_the_password(self) -> None:
        """A second factor that comes first gets nothing."""
        steps, _ = self.receive(*IDENTIFIED, DEVICES)
        self.assertEqual(steps[-1], Outcome(*unverifiable(Reason.FLOW_NOT_HEADLESS)))


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
    """Properties that hold whatever Authentik answers."""

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
