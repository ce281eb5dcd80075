"""The sandbox's flows: restarts, denials, and the record of what was judged."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.sandbox.flow.flows import (
    Binding,
    Captcha,
    Consent,
    Deny,
    Flow,
    Identification,
    NotConfigured,
    Password,
    Prompt,
    PromptField,
    SecondFactor,
    UserWrite,
)
from ropg_twisted.sandbox.flow.policies import (
    HasNoBackend,
    Not,
    UserIsPending,
)
from ropg_twisted.sandbox.flow.signals import Authentication
from ropg_twisted.sandbox.http.app import Sandbox
from tests.flows import SLUG, Judgement
from tests.sandbox.flow_cases import (
    DUMMY,
    HIDDEN,
    LOGIN,
    PASSWORD,
    RESTART,
    RESTART_WITH_CONTEXT,
    RETRY,
    WHO,
    FlowTestCase,
    restarting,
)
from tests.sandbox_browser import EXECUTOR, Browser, account


class InvalidResponseTests(FlowTestCase):
    """The invalid response action of a binding."""

    def test_a_refusal_in_place_keeps_the_stage(self) -> None:
        """``RETRY`` answers 200, the same component, with the errors of the field."""
        self.serve(WHO, PASSWORD, LOGIN)
        self.come_to_the_password()
        answer = self.browser.post(SLUG, password="wrong")
        self.assertEqual((answer.status, answer.component), (200, "ak-stage-password"))
        self.assertEqual(answer.error_codes, {"password": ["invalid"]})

    def test_a_restart_looks_like_an_acceptance(self) -> None:
        """A wrong and a right password are answered by the same 302 with the same Location."""
        for action in (RESTART, RESTART_WITH_CONTEXT):
            seen = []
            for password in ("wrong", USUAL_PASSWORD):
                self.serve(WHO, restarting(PASSWORD, action), LOGIN)
                self.come_to_the_password()
                answer = self.browser.post(SLUG, password=password)
                seen.append((answer.status, answer.values("location"), answer.body))
            self.assertEqual(seen[0], seen[1])
            self.assertEqual(seen[0], (302, [f"{EXECUTOR}{SLUG}/?query="], b""))

    def test_a_restart_begins_with_nobody_known(self) -> None:
        """Stages that want a pending user stay away, and the next challenge names nobody."""
        seen_again = Binding(Consent(), UserIsPending())
        self.serve(seen_again, WHO, restarting(PASSWORD), LOGIN)
        self.come_to_the_password()
        self.assertEqual(self.post(password="wrong").component, "ak-stage-identification")
        [row] = self.sandbox.sessions.anonymous
        assert row.plan is not None
        self.assertIsNone(row.plan.context.pending_user)

    def test_a_restart_with_context_knows_the_user(self) -> None:
        """A stage that was left out at first comes now, and names the user."""
        seen_again = Binding(Consent(), UserIsPending())
        self.serve(seen_again, WHO, restarting(PASSWORD, RESTART_WITH_CONTEXT), LOGIN)
        self.come_to_the_password()
        answer = self.post(password="wrong")
        self.assertEqual(answer.component, "ak-stage-consent")
        self.assertEqual(answer.json["pending_user"], "alice")

    def test_an_unknown_name_stays_in_the_context_as_well(self) -> None:
        """Even one that the identification itself has refused."""
        seen_again = Binding(Consent(), UserIsPending())
        refusing = Identification(pretend_user_exists=False)
        self.serve(seen_again, restarting(refusing, RESTART_WITH_CONTEXT), PASSWORD, LOGIN)
        self.get()
        answer = self.post(uid_field="nobody")
        self.assertEqual(answer.component, "ak-stage-consent")
        self.assertEqual(answer.json["pending_user"], "nobody")

    def test_a_refused_user_of_the_combined_form_is_not_pending(self) -> None:
        """A restart with context asks for the name again, and no stage before it knows it."""
        combined = restarting(Identification(combined=True), RESTART_WITH_CONTEXT)
        self.serve(Binding(Consent(), UserIsPending()), combined, LOGIN)
        self.get()
        answer = self.post(uid_field="alice", password="wrong")
        self.assertEqual(answer.component, "ak-stage-identification")
        self.assertNotIn("response_errors", answer.json)

    def test_a_hidden_user_is_identified_without_being_asked(self) -> None:
        """With context the identification is passed by a 302, for known and unknown names."""
        for name in ("alice@example.com", "nobody"):
            self.serve(HIDDEN, restarting(PASSWORD, RESTART_WITH_CONTEXT), LOGIN)
            self.come_to_the_password(name)
            self.assertEqual(self.browser.post(SLUG, password="wrong").status, 302)
            self.assertEqual(self.components(2), [None, "ak-stage-password"], name)
            self.assertEqual(self.get().json["pending_user"], name)
            self.assertEqual(len(self.sandbox.authentications), 1)
        self.come_to_the_password_again_and_log_in()

    def come_to_the_password_again_and_log_in(self) -> None:
        """Log in after a restart that has skipped the identification."""
        self.serve(HIDDEN, restarting(PASSWORD, RESTART_WITH_CONTEXT), LOGIN)
        self.come_to_the_password()
        self.post(password="wrong")
        self.assert_redirect(self.post(password=USUAL_PASSWORD))
        self.assertTrue(self.browser.claims["authenticated"])

    def test_only_a_plain_identification_is_skipped(self) -> None:
        """A combined form is filled in, one with a captcha or a policy is asked again."""
        for stage in (
            Binding(replace(HIDDEN, combined=True), invalid_response_action=RESTART_WITH_CONTEXT),
            Binding(replace(HIDDEN, captcha=True), invalid_response_action=RESTART_WITH_CONTEXT),
            Binding(HIDDEN, Not(HasNoBackend()), re_evaluate_policies=False),
        ):
            self.serve(stage, restarting(PASSWORD, RESTART_WITH_CONTEXT), LOGIN)
            self.get()
            self.post(uid_field="nobody", password="wrong")
            answer = self.post(password="wrong")
            self.assertEqual(answer.component, "ak-stage-identification", stage)
            self.assertEqual(answer.json["pending_user_identifier"], "nobody", stage)

    def test_attempts_are_counted_where_a_refusal_stays_in_place(self) -> None:
        """A restart comes at once, however many attempts there are."""
        for action, first in ((RETRY, "ak-stage-access-denied"), (RESTART, None)):
            self.serve(WHO, restarting(Password(attempts=0), action), LOGIN)
            self.come_to_the_password()
            self.assertEqual(self.browser.post(SLUG, password="wrong").component, first, action)

    def test_any_refused_answer_restarts(self) -> None:
        """So do a wrong code and a captcha that is not solved."""
        for stage, fields in (
            (SecondFactor(), {"code": "000000"}),
            (Captcha(), {"token": "x"}),
            (Consent(), {}),
        ):
            self.serve(WHO, PASSWORD, restarting(stage), LOGIN)
            self.come_to_the_password("bob")
            self.post(password=USUAL_PASSWORD)
            self.assertEqual(self.post(**fields).component, "ak-stage-identification", stage)


class DenialTests(FlowTestCase):
    """Stages that deny, behind a right password, and what a restart makes of it."""

    def test_a_denial_restarts(self) -> None:
        """A user who is denied by a stage with a restart meets the identification again."""
        for stage in (
            Deny(),
            UserWrite(),
            SecondFactor(NotConfigured.DENY),
            SecondFactor(NotConfigured.CONFIGURE),
        ):
            self.serve(WHO, PASSWORD, restarting(stage), LOGIN)
            self.come_to_the_password()
            self.assertEqual(self.browser.post(SLUG, password=USUAL_PASSWORD).status, 302)
            self.assertEqual(self.components(2), [None, "ak-stage-identification"], stage)
            self.assertFalse(self.browser.claims["authenticated"])

    def test_a_denial_without_a_restart_says_so(self) -> None:
        """It is access denied, and the plan is forgotten."""
        for stage, message in (
            (Deny("not you"), "not you"),
            (Deny(), "Unknown error"),
            (UserWrite(), "No Pending data."),
            (SecondFactor(NotConfigured.CONFIGURE), "Unknown error"),
        ):
            self.serve(WHO, PASSWORD, stage, LOGIN)
            self.come_to_the_password()
            answer = self.post(password=USUAL_PASSWORD)
            self.assertEqual(answer.component, "ak-stage-access-denied")
            self.assertEqual(answer.json["error_message"], message)
            self.assertEqual(self.get().component, "ak-stage-identification")

    def test_a_prompt_lets_the_write_stage_pass(self) -> None:
        """There is something to write then."""
        self.serve(WHO, PASSWORD, Prompt((PromptField("colour", "Colour"),)), UserWrite(), LOGIN)
        self.come_to_the_password()
        self.post(password=USUAL_PASSWORD)
        self.assert_redirect(self.post(colour="blue"))
        self.assertTrue(self.browser.claims["authenticated"])

    def test_a_flow_may_restart_without_end(self) -> None:
        """Each GET is a 302 to itself; the login page gives up, and says why."""
        self.serve(restarting(Deny()), WHO, PASSWORD, LOGIN)
        self.assertEqual([self.browser.get(SLUG).status for _ in range(20)], [302] * 20)
        form = urlencode({"uid_field": "alice", "password": USUAL_PASSWORD})
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        page = Browser(self.sandbox).ask("POST", f"/if/flow/{SLUG}/", form, kind)
        self.assertEqual(page.status, 200)
        self.assertIn("restarts without end", page.body.decode())

    def test_a_login_outlives_a_restart(self) -> None:
        """A user who is logged in and then denied is asked for a name again, and is not pending."""
        pending = Binding(DUMMY, UserIsPending())
        self.serve(pending, WHO, PASSWORD, LOGIN, restarting(Deny()))
        self.come_to_the_password()
        answer = self.post(password=USUAL_PASSWORD)
        self.assertEqual(answer.component, "ak-stage-identification")
        self.assertTrue(self.browser.claims["authenticated"])

    def test_an_answer_with_a_login_is_forgery(self) -> None:
        """A user who is logged in may look at a stage, and every answer is a flow error."""
        self.serve(WHO, LOGIN, PASSWORD)
        self.get()
        self.assertEqual(self.post(uid_field="alice").component, "ak-stage-password")
        answer = self.browser.post(SLUG, password=USUAL_PASSWORD)
        self.assertEqual(answer.component, "ak-stage-flow-error")
        self.assertEqual(self.sandbox.authentications, [])

    def test_nobody_logs_in_as_nobody(self) -> None:
        """Without a pending user a login denies; a pretended one breaks it."""
        self.serve(LOGIN, WHO)
        self.assertEqual(self.get().component, "ak-stage-access-denied")
        self.serve(WHO, LOGIN)
        self.get()
        self.assertEqual(self.post(uid_field="nobody").component, "ak-stage-flow-error")
        self.assertFalse(self.browser.claims["authenticated"])

    def test_a_password_stage_without_a_user_denies(self) -> None:
        """Nothing is judged then."""
        self.serve(PASSWORD, LOGIN)
        self.assertEqual(self.get().json["pending_user"], "")
        answer = self.browser.post(SLUG, password=USUAL_PASSWORD)
        self.assertEqual(answer.component, "ak-stage-access-denied")
        self.assertEqual(self.sandbox.authentications, [])


class SecondFactorTests(FlowTestCase):
    """Second-factor stages before anybody is known, and the classes of devices."""

    def test_a_user_who_is_not_known_may_have_a_passkey(self) -> None:
        """A passkey is asked for if it is allowed; else the stage is passed by a 302."""
        self.serve(SecondFactor(), WHO)
        answer = self.get()
        self.assertEqual(answer.component, "ak-stage-authenticator-validate")
        self.assertEqual(answer.json["device_challenges"][0]["device_class"], "webauthn")
        self.assertEqual(self.post(code="000000").error_codes, {"code": ["invalid"]})
        for not_configured in NotConfigured:
            self.serve(SecondFactor(not_configured, device_classes=("static", "totp")), WHO)
            self.assertEqual(self.components(2), [None, "ak-stage-identification"])

    def test_a_device_of_another_class_is_none(self) -> None:
        """Bob has no static token, frank has."""
        only_static = SecondFactor(device_classes=("static",))
        for name, component in (("bob", None), ("frank", "ak-stage-authenticator-validate")):
            self.serve(WHO, only_static, PASSWORD)
            self.get()
            self.browser.post(SLUG, uid_field=name)
            self.assertEqual(self.browser.get(SLUG).component, component, name)


class JudgementTests(FlowTestCase):
    """The sandbox's own record of what it has judged."""

    def judgement(self) -> Judgement:
        """The judgement of all credentials so far."""
        return Judgement.of(self.sandbox.authentications, self.sandbox.events)

    def test_every_password_that_is_judged_is_on_record(self) -> None:
        """Right and wrong, in both forms, for known and unknown names."""
        for name, password, accepted in (
            ("alice", USUAL_PASSWORD, True),
            ("Alice@example.com", "wrong", False),
            ("carol", USUAL_PASSWORD, False),
        ):
            username = name.casefold().removesuffix("@example.com")
            self.serve(WHO, PASSWORD, LOGIN)
            self.come_to_the_password(name)
            self.post(password=password)
            self.assertEqual(self.sandbox.authentications, [Authentication(username, accepted)])
            self.serve(Identification(combined=True), LOGIN)
            self.get()
            self.post(uid_field=name, password=password)
            self.assertEqual(self.sandbox.authentications, [Authentication(username, accepted)])

    def test_what_no_backend_was_asked_is_not_on_record(self) -> None:
        """No name, an empty password, a captcha in the way: nothing is judged."""
        self.serve(WHO, PASSWORD, LOGIN)
        self.get()
        self.post(uid_field=" ")
        self.come_to_the_password()
        self.post(password="")
        self.serve(Identification(combined=True, captcha=True), LOGIN)
        self.get()
        self.post(uid_field="alice", password=USUAL_PASSWORD)
        self.assertEqual(self.sandbox.authentications, [])
        self.assertEqual(
            Judgement.of(self.sandbox.authentications, self.sandbox.events),
            Judgement(False, False, False),
        )

    def test_a_name_that_nobody_has_is_judged_by_itself(self) -> None:
        """It is on record as a failed identification, and lowers the reputation."""
        self.serve(Identification(pretend_user_exists=False), PASSWORD)
        self.get()
        self.assertEqual(
            self.post(uid_field="nobody").error_codes, {"non_field_errors": ["invalid"]}
        )
        self.assertEqual(self.sandbox.authentications, [])
        kinds = [(event.kind, event.username) for event in self.sandbox.events]
        self.assertEqual(kinds, [("identification_failed", "nobody")])
        self.assertEqual(self.sandbox.reputation["nobody", "127.0.0.1"], -1)
        self.assertEqual(
            Judgement.of(self.sandbox.authentications, self.sandbox.events),
            Judgement(True, False, True),
        )


class BackendTests(FlowTestCase):
    """The backends of a password stage."""

    def test_a_stage_asks_its_own_backends_only(self) -> None:
        """Without ``InbuiltBackend`` the passwords that Authentik itself keeps are refused."""
        token = account("alice").app_password
        self.serve(WHO, Password(inbuilt=False, app_passwords=True, ldap=True), LOGIN)
        for name, password, passes in (
            ("alice", USUAL_PASSWORD, False),
            ("alice", token, True),
            ("lea", USUAL_PASSWORD, True),
        ):
            self.browser = Browser(self.sandbox)
            self.come_to_the_password(name)
            answer = self.post(password=password)
            self.assertEqual(answer.component == "xak-flow-redirect", passes, name)


class ServedFlowsTests(FlowTestCase):
    """Flows that are handed to a sandbox."""

    def test_they_stand_beside_the_built_in_ones(self) -> None:
        """They are served, shown on the front page, and replace one of the same slug."""
        mine = Flow.of("attempts-1", WHO)
        sandbox = Sandbox(self.clock, [mine, Flow.of(SLUG, WHO, restarting(PASSWORD))])
        browser = Browser(sandbox)
        self.assertEqual(browser.get(SLUG).component, "ak-stage-identification")
        self.assertEqual(browser.get("ropg-nologin").component, "ak-stage-identification")
        page = browser.ask("GET", "/").body.decode()
        self.assertIn(f"<code>{SLUG}</code>", page)
        self.assertIn("invalid response: restart", page)
        self.assertEqual(sandbox.flows["attempts-1"], mine)
        self.assertNotEqual(self.sandbox.flows["attempts-1"], mine)
