"""The sandbox's policies on bindings and flows."""

from __future__ import annotations

from dataclasses import replace

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.sandbox.flow.flows import (
    Binding,
    Captcha,
    DeniedAction,
    Deny,
    Identification,
    Requirement,
)
from ropg_twisted.sandbox.flow.policies import (
    DenyAll,
    HasNoBackend,
    IsMember,
    Not,
    SetRedirect,
    UserIsPending,
)
from ropg_twisted.sandbox.flow.signals import Authentication
from tests.flows import SLUG
from tests.sandbox.flow_cases import (
    ADDRESS_BELOW_0,
    DUMMY,
    LOGIN,
    PASSWORD,
    RESTART_WITH_CONTEXT,
    USER_BELOW_0,
    WHO,
    FlowTestCase,
    restarting,
)
from tests.sandbox_browser import Browser


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
        """A failure and a login are a score of 0."""
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
