"""The sandbox against flows of a real Authentik whose refusal is not what it seems."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.sandbox.flow import flows, policies
from ropg_twisted.sandbox.flow.refusing_flows import REFUSING_FLOWS
from ropg_twisted.sandbox.http.app import Sandbox
from tests.flows import Judgement
from tests.refusals import (
    MISSING,
    RecordedCheck,
    RecordedFlow,
    RecordedStage,
    RecordedStep,
    recorded_flows,
)
from tests.sandbox_browser import START, Answer, Browser

ADDRESS = "127.0.0.1"

BEGUN_TWICE = {
    "t-flowrep-restart-msg": "the policy of the flow looks at the reputation of the address",
    "t-deny-rep-first-restart": "a stage before the first one looks at it",
}
"""Flows whose first check met ``ak-stage-access-denied`` in place of the identification.

It was begun while the reputation of the address was still what an earlier flow had left: below 0.
The reputation was reset then, and the check was made anew with a fresh session; the recording has
the exchanges of both in one list.
"""

STAGES: dict[str, flows.Stage] = {
    "authenticator validate (not configured: configure, no stages to configure with)": (
        flows.SecondFactor(flows.NotConfigured.CONFIGURE)
    ),
    "authenticator validate (not configured: deny)": flows.SecondFactor(flows.NotConfigured.DENY),
    "authenticator validate (not configured: skip)": flows.SecondFactor(),
    "authenticator validate (not configured: skip; static and totp only)": (
        flows.SecondFactor(device_classes=("static", "totp"))
    ),
    "captcha": flows.Captcha(),
    "consent": flows.Consent(),
    "deny": flows.Deny(),
    "dummy": flows.Dummy(),
    "identification": flows.Identification(),
    "identification with the password in the same form": flows.Identification(combined=True),
    "identification, matched user not shown": flows.Identification(show_matched_user=False),
    "identification, unknown names refused at once": (
        flows.Identification(pretend_user_exists=False)
    ),
    "password": flows.Password(),
    "password (0 failed attempts before cancel)": flows.Password(attempts=0),
    "prompt": flows.Prompt(
        (flows.PromptField("favourite", "Favourite colour", placeholder="blue"),)
    ),
    "user login": flows.Login(),
    "user write": flows.UserWrite(),
}
"""Names of the stages in the recordings. They do not say what a prompt asks for."""

POLICIES: dict[str, policies.Policy] = {
    "a user is pending in the plan": policies.UserIsPending(),
    "reputation of the address below 0": policies.ReputationPolicy(-1, check_ip=True),
    "reputation of the user below 0": policies.ReputationPolicy(-1, check_username=True),
    "sets a redirect in the context, passes": (
        policies.SetRedirect("https://elsewhere.example.com/y")
    ),
    "the pending user has no backend yet": policies.HasNoBackend(),
    "the user is in the group mac-users": policies.IsMember("mac-users"),
}
"""Names of the policies in the recordings. ``not: `` before it negates one."""

REQUIREMENTS = {
    "none": flows.Requirement.NONE,
    "require_unauthenticated": flows.Requirement.UNAUTHENTICATED,
}


class CheckReplay:
    """A recorded check, made with a sandbox in which nobody has a reputation yet.

    That is how they were made: one after the other, and the reputation reset before each. A user
    who logs in has +1 and a failure takes 1, but right after a login of the same user and address
    (alice and bob in t-captcha-rep-first) one refused password brings the captcha that is bound
    to *below 0*, and the check after it does not meet that captcha.
    """

    def __init__(self, flow: RecordedFlow, number: int) -> None:
        clock = Clock()
        clock.advance(START)
        self.flow = flow
        self.check: RecordedCheck = flow.checks[number]
        self.sandbox = Sandbox(clock)
        self.browser = Browser(self.sandbox)
        self.begun_twice = flow.slug in BEGUN_TWICE and number == 0

    def differences(self) -> list[str]:
        """Walk the check, and tell all that did not come as recorded."""
        found = []
        shown: Answer | None = None
        if self.begun_twice:
            self.sandbox.reputation["somebody", ADDRESS] = -1
        for number, step in enumerate(self.check.steps):
            if self.begun_twice and number == 1:
                self.sandbox.reputation.clear()
                self.browser = Browser(self.sandbox)
            shown = self._ask(step, shown)
            if (mine := came(shown)) != (theirs := recorded(step)):
                found.append(f"exchange {number}: {mine}, recorded {theirs}")
        judgement = Judgement.of(self.sandbox.authentications, self.sandbox.events)
        if judgement.judged != self.check.judged or judgement.accepted != self.check.accepted:
            found.append(f"{judgement}, recorded {self.check}")
        name = f"{self.flow.slug}, {self.check.user} {self.check.password}"
        return [f"{name}: {line}" for line in found]

    def _ask(self, step: RecordedStep, shown: Answer | None) -> Answer:
        """Send a recorded request: the answer to what was shown, or a GET."""
        if step.method == "GET":
            return self.browser.get(self.flow.slug)
        password = USUAL_PASSWORD if self.check.password == "right" else "wrong"
        fields: dict[str, object] = {"component": step.sent}
        if step.sent == "ak-stage-identification":
            fields["uid_field"] = self.check.user
        if step.sent == "ak-stage-password" or (shown and shown.json.get("password_fields")):
            fields["password"] = password
        return self.browser.post(self.flow.slug, **fields)


def came(answer: Answer) -> tuple[object, ...]:
    """Return what the recordings say of an answer: status, target or component, errors."""
    if answer.status == 302:
        return (302, *answer.values("location"), None, ())
    errors = answer.json.get("response_errors", {})
    return (answer.status, answer.component, answer.json.get("to"), tuple(errors))


def recorded(step: RecordedStep) -> tuple[object, ...]:
    """Return the same of a recorded step."""
    return (step.status, step.came, step.to, step.errors_of)


def as_flow(flow: RecordedFlow) -> flows.Flow:
    """Return a recorded flow as one of the sandbox."""
    return flows.Flow(
        flow.slug,
        tuple(as_binding(stage) for stage in flow.stages),
        requires=REQUIREMENTS[flow.authentication],
        policy=as_policy(flow.bound_if),
        denied_action=flows.DeniedAction[flow.denied_action.upper()],
    )


def as_binding(stage: RecordedStage) -> flows.Binding:
    """Return a recorded binding as one of the sandbox."""
    return flows.Binding(
        STAGES[stage.stage],
        as_policy(stage.bound_if),
        flows.InvalidResponseAction[stage.invalid_response_action.upper()],
        stage.evaluate_on_plan,
        stage.re_evaluate_policies,
    )


def as_policy(words: str | None) -> policies.Policy | None:
    """Return a policy of the recordings as one of the sandbox."""
    if words is None:
        return None
    bare = words.removeprefix("not: ")
    return POLICIES[bare] if bare == words else policies.Not(POLICIES[bare])


class RefusalsTests(SynchronousTestCase):
    """Every recorded flow: as it was set up, exchange by exchange, and what was judged."""

    skip = MISSING

    def test_the_flows_of_the_sandbox_are_the_recorded_ones(self) -> None:
        """Each is set up as the recording says, and there is no other."""
        theirs = {flow.slug: as_flow(flow) for flow in recorded_flows()}
        self.assertEqual({flow.slug: flow for flow in REFUSING_FLOWS}, theirs)
        self.assertEqual(len(theirs), 26)

    def test_every_exchange_and_judgement_is_the_recorded_one(self) -> None:
        """Status, component or target, fields with errors, and whether a password was accepted."""
        found = []
        for flow in recorded_flows():
            for number in range(len(flow.checks)):
                found += CheckReplay(flow, number).differences()
        self.assertEqual(found, [], "\n".join(found))

    def test_only_listed_flows_were_begun_twice(self) -> None:
        """The first check of each, and no other one, met a refusal before anything was sent."""
        denied = {
            (flow.slug, number)
            for flow in recorded_flows()
            for number, check in enumerate(flow.checks)
            if check.steps[0].came == "ak-stage-access-denied"
        }
        self.assertEqual(denied, {(slug, 0) for slug in BEGUN_TWICE})
