"""A sandbox that serves one flow of the test's own."""

from __future__ import annotations

from ropg_twisted.sandbox.flow.flows import (
    Binding,
    DeniedAction,
    Dummy,
    Flow,
    Identification,
    InvalidResponseAction,
    Login,
    Password,
    Requirement,
    Stage,
)
from ropg_twisted.sandbox.flow.policies import (
    Policy,
    ReputationPolicy,
)
from ropg_twisted.sandbox.http.app import Sandbox
from tests.flows import SLUG
from tests.sandbox_browser import Answer, Browser, SandboxTestCase

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
