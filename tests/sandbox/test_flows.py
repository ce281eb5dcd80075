"""The sandbox's flows: restarts, policies on bindings and flows, and what it says it has judged."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.sandbox.flow.flows import (
    Binding,
    Captcha,
    Consent,
    DeniedAction,
    Deny,
    Dummy,
    Flow,
    Identification,
    InvalidResponseAction,
    Login,
    NotConfigured,
    Password,
    Prompt,
    PromptField,
    Requirement,
    SecondFactor,
    Stage,
    UserWrite,
)
from ropg_twisted.sandbox.flow.policies import (
    DenyAll,
    HasNoBackend,
    IsMember,
    Not,
    Policy,
    ReputationPolicy,
    SetRedirect,
    UserIsPending,
)
from ropg_twisted.sandbox.flow.signals import Authentication
from ropg_twisted.sandbox.http.app import Sandbox
from tests.flows import SLUG, Judgement
from tests.sandbox_browser import EXECUTOR, Answer, Browser, SandboxTestCase

RETRY = InvalidResponseAction.RETRY
RESTART = InvalidResponseAction.RESTART
RESTART_WITH_CONTEXT = InvalidResponseAction.RESTART_WITH_CONTEXT

WHO, PASSWORD, LOGIN, DUMMY = Identification(), Password(), Login(), Dummy()
HIDDEN = Identification(show_matched_user=False)
ADDRESS_BELOW_0 = ReputationPolicy(-1, check_ip=True)
USER_BELOW_0 = ReputationPolicy(-1, check_username=True)


def restarting(stage: Stage, action: InvalidResponseAction = RESTART) -> Binding:
    """Return a binding that restarts the flow where the stage refuses or denies."""
    return Binding(stage, invalid_response_action=action)


class FlowTestCase(SandboxTestCase):
    """A sandbox that serves one flow of the test's own."""

    def serve(
        self,
        *stages: Stage | Binding,
        policy: Policy | None = None,
        denied_action: DeniedAction = DeniedAction.MESSAGE_CONTINUE,
        requires: Requirement = Requirement.NONE,
    ) -> None:
        """Serve this flow from now on, to a new browser."""
        flow = Flow.of(SLUG, *stages, policy=policy, denied_action=denied_action, requires=requires)
        self.sandbox = Sandbox(self.clock, [flow])
        self.browser = Browser(self.sandbox)

    def get(self) -> Answer:
        """GET the flow, and follow 302s."""
        return self.browser.settle(SLUG, self.browser.get(SLUG))

    def post(self, **fields: object) -> Answer:
        """POST an answer, and follow 302s."""
        return self.browser.settle(SLUG, self.browser.post(SLUG, **fields))

    def come_to_the_password(self, name: str = "alice") -> None:
        """Begin, and give a name."""
        self.get()
        answer = self.post(uid_field=name)
        self.assertEqual(answer.component, "ak-stage-password")

    def components(self, count: int) -> list[str | None]:
        """The components of so many GETs, None for a 302."""
        return [self.browser.get(SLUG).component for _ in range(count)]


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
        """Who is denied by a stage with a restart meets the identification again."""
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
        """Who is logged in and then denied is asked for a name again, and is not pending."""
        pending = Binding(DUMMY, UserIsPending())
        self.serve(pending, WHO, PASSWORD, LOGIN, restarting(Deny()))
        self.come_to_the_password()
        answer = self.post(password=USUAL_PASSWORD)
        self.assertEqual(answer.component, "ak-stage-identification")
        self.assertTrue(self.browser.claims["authenticated"])

    def test_an_answer_with_a_login_is_forgery(self) -> None:
        """Whoever is logged in may look at a stage, and every answer is a flow error."""
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
        """Where passkeys are allowed one is asked for; else the stage is passed by a 302."""
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


class PolicyTests(FlowTestCase):
    """Policies on bindings: when they are evaluated, and what they look at."""

    def test_a_policy_is_evaluated_when_its_flags_say(self) -> None:
        """On the plan nobody is pending yet, at the stage somebody is; without flags it is open."""
        for on_plan, again, shown in (
            (False, True, True),
            (True, False, False),
            (True, True, False),
            (False, False, True),
        ):
            stage = Binding(
                DUMMY, UserIsPending(), evaluate_on_plan=on_plan, re_evaluate_policies=again
            )
            self.serve(WHO, stage, PASSWORD)
            self.get()
            component = self.post(uid_field="alice").component
            wanted = "ak-stage-dummy" if shown else "ak-stage-password"
            self.assertEqual(component, wanted, (on_plan, again))
        unbound = Binding(DUMMY, Not(UserIsPending()), re_evaluate_policies=False)
        self.serve(WHO, unbound, PASSWORD)
        self.get()
        self.assertEqual(self.post(uid_field="alice").component, "ak-stage-dummy")

    def test_a_restart_evaluates_on_plan_with_the_user_it_keeps(self) -> None:
        """Members of the group, by a child group too, meet a stage that they did not meet first."""
        bound = Binding(
            DUMMY, IsMember("mac-users"), evaluate_on_plan=True, re_evaluate_policies=False
        )
        for name, component in (
            ("alice", "ak-stage-dummy"),
            ("bob", "ak-stage-dummy"),
            ("victor", "ak-stage-identification"),
            ("nobody", "ak-stage-identification"),
        ):
            self.serve(bound, WHO, restarting(PASSWORD, RESTART_WITH_CONTEXT), LOGIN)
            self.come_to_the_password(name)
            self.assertEqual(self.post(password="wrong").component, component, name)

    def test_a_stage_that_was_left_out_does_not_come_back(self) -> None:
        """Its binding has left the plan when the policy would pass again."""
        self.serve(Binding(DUMMY, ADDRESS_BELOW_0), WHO, PASSWORD, LOGIN)
        self.assertEqual(self.get().component, "ak-stage-identification")
        self.sandbox.reputation["somebody", "127.0.0.1"] = -1
        self.assertEqual(self.get().component, "ak-stage-identification")
        self.assertEqual(Browser(self.sandbox).get(SLUG).component, "ak-stage-dummy")

    def test_a_failure_brings_the_stage_that_is_bound_to_the_address(self) -> None:
        """The captcha comes for everybody at the address, and at no other one."""
        self.serve(Binding(Captcha(), ADDRESS_BELOW_0), WHO, restarting(PASSWORD), LOGIN)
        self.come_to_the_password()
        self.assertEqual(self.post(password="wrong").component, "ak-stage-captcha")
        self.assertEqual(Browser(self.sandbox).get(SLUG).component, "ak-stage-captcha")
        elsewhere = Browser(self.sandbox).get(SLUG, **{"X-Forwarded-For": "203.0.113.12"})
        self.assertEqual(elsewhere.component, "ak-stage-identification")

    def test_a_login_mends_the_reputation(self) -> None:
        """One failure and one login are a score of 0."""
        self.serve(WHO, PASSWORD, LOGIN)
        self.come_to_the_password()
        self.post(password="wrong")
        self.assertEqual(self.sandbox.reputation["alice", "127.0.0.1"], -1)
        self.post(password=USUAL_PASSWORD)
        self.assertEqual(self.sandbox.reputation["alice", "127.0.0.1"], 0)

    def test_a_stage_may_be_bound_to_the_reputation_of_the_user(self) -> None:
        """It is that of the pending user, who need not exist."""
        self.serve(WHO, Binding(PASSWORD, Not(USER_BELOW_0)), DUMMY)
        self.sandbox.reputation["victor", "203.0.113.7"] = -1
        for name, component in (
            ("alice", "ak-stage-password"),
            ("victor", "ak-stage-dummy"),
            ("nobody", "ak-stage-dummy"),
        ):
            browser = Browser(self.sandbox)
            browser.get(SLUG)
            answer = browser.settle(SLUG, browser.post(SLUG, uid_field=name))
            self.assertEqual(answer.component, component, name)

    def test_a_policy_may_skip_the_password_the_second_time(self) -> None:
        """Then not even a session that is logged in proves a password."""
        self.serve(
            Binding(WHO, Not(UserIsPending())),
            Binding(PASSWORD, Not(USER_BELOW_0), RESTART_WITH_CONTEXT),
            LOGIN,
        )
        self.come_to_the_password()
        self.assert_redirect(self.post(password="wrong"))
        self.assertTrue(self.browser.claims["authenticated"])
        self.assertEqual(self.sandbox.authentications, [Authentication("alice", False)])

    def test_a_password_is_asked_for_once(self) -> None:
        """A stage that is bound to *no backend yet* is left out once a password was accepted."""
        bound = Binding(PASSWORD, HasNoBackend())
        self.serve(Identification(combined=True), bound, LOGIN)
        self.get()
        self.assert_redirect(self.post(uid_field="alice", password=USUAL_PASSWORD))
        self.serve(WHO, bound, bound, LOGIN)
        self.come_to_the_password()
        self.assert_redirect(self.post(password=USUAL_PASSWORD))

    def test_a_policy_may_lead_elsewhere_at_the_end(self) -> None:
        """The last redirect is the one that it has set."""
        bound = Binding(LOGIN, SetRedirect("https://elsewhere.example.com/"))
        self.serve(WHO, PASSWORD, bound)
        self.come_to_the_password()
        answer = self.post(password=USUAL_PASSWORD)
        self.assert_redirect(answer, "https://elsewhere.example.com/")
        self.assertTrue(self.browser.claims["authenticated"])


class FlowPolicyTests(FlowTestCase):
    """Policies and requirements of a whole flow, at its start and when it restarts."""

    def test_a_flow_that_is_not_for_the_user_does_what_it_is_set_to(self) -> None:
        """At the start it shows a message, or leads to the root."""
        for action, component in (
            (DeniedAction.MESSAGE_CONTINUE, "ak-stage-access-denied"),
            (DeniedAction.MESSAGE, "ak-stage-access-denied"),
            (DeniedAction.CONTINUE, "xak-flow-redirect"),
        ):
            self.serve(WHO, policy=DenyAll("not today"), denied_action=action)
            answer = self.get()
            self.assertEqual(answer.component, component)
            self.assertEqual(
                answer.json.get("error_message"), "not today" if "denied" in component else None
            )

    def test_a_restart_into_a_closed_flow_leads_to_the_root_or_breaks(self) -> None:
        """The refused password itself has closed it. The old plan stays where it was."""
        for action, component in (
            (DeniedAction.CONTINUE, "xak-flow-redirect"),
            (DeniedAction.MESSAGE, "ak-stage-flow-error"),
            (DeniedAction.MESSAGE_CONTINUE, "ak-stage-flow-error"),
        ):
            self.serve(WHO, restarting(PASSWORD), policy=Not(ADDRESS_BELOW_0), denied_action=action)
            self.come_to_the_password()
            answer = self.browser.post(SLUG, password="wrong")
            self.assertEqual((answer.status, answer.component), (200, component))
            self.assertEqual(self.get().component, "ak-stage-password")
            self.assertNotEqual(Browser(self.sandbox).get(SLUG).component, "ak-stage-password")

    def test_a_login_closes_a_flow_that_wants_nobody_logged_in(self) -> None:
        """A restart behind the login leads to the root, with a session."""
        self.serve(
            WHO,
            PASSWORD,
            LOGIN,
            restarting(Deny()),
            requires=Requirement.UNAUTHENTICATED,
            denied_action=DeniedAction.CONTINUE,
        )
        self.come_to_the_password()
        self.assert_redirect(self.post(password=USUAL_PASSWORD))
        self.assertTrue(self.browser.claims["authenticated"])

    def test_a_restart_may_leave_nothing_to_do(self) -> None:
        """A flow that is planned empty is an error then, and done at its start."""
        closed = Binding(
            WHO,
            Not(UserIsPending()),
            RESTART_WITH_CONTEXT,
            evaluate_on_plan=True,
        )
        self.serve(replace(closed, stage=Identification(pretend_user_exists=False)))
        self.get()
        answer = self.browser.post(SLUG, uid_field="nobody")
        self.assertEqual(answer.component, "ak-stage-flow-error")
        self.serve(replace(closed, policy=UserIsPending()))
        self.assert_redirect(self.get())


class JudgementTests(FlowTestCase):
    """The sandbox's own record of what it has judged."""

    def judgement(self) -> Judgement:
        """What it has made of all that it was asked."""
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
