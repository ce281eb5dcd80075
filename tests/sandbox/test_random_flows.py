"""Random flows, walked by people with right and wrong passwords: the sandbox never breaks."""

from __future__ import annotations

from authentik_client import models
from hypothesis import given
from hypothesis import strategies as st

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.sandbox.flow.flows import Flow, InvalidResponseAction
from ropg_twisted.sandbox.flow.sessions import Clock
from ropg_twisted.sandbox.http.app import Sandbox
from tests.flows import SLUG, flows
from tests.sandbox.test_vendor_models import MODELS
from tests.sandbox_browser import EXECUTOR, Answer, Browser, SandboxTestCase

ANSWERABLE = {
    "ak-stage-authenticator-validate",
    "ak-stage-captcha",
    "ak-stage-consent",
    "ak-stage-dummy",
    "ak-stage-identification",
    "ak-stage-password",
    "ak-stage-prompt",
    "ak-stage-user-login",
}
"""The components that a random walk has an answer for."""


class BestEffortLogin:
    """A login through any flow, which answers each challenge as well as it can.

    ``answers``: all that came. ``refused_in_place``: the answers to passwords that were refused
    at a binding that does not restart.
    """

    def __init__(self, clock: Clock, flow: Flow, name: str, password: str, code: str) -> None:
        self.sandbox = Sandbox(clock, [flow])
        self.browser = Browser(self.sandbox)
        self.fields: dict[str, object] = {
            "uid_field": name,
            "password": password,
            "code": code,
            "remember_me": False,
            "favourite": "blue",
        }
        self.answers: list[Answer] = []
        self.refused_in_place: list[Answer] = []

    def go(self, steps: int) -> None:
        """Take so many steps at most, until there is nothing left to answer."""
        answer = self.browser.get(SLUG)
        self.answers.append(answer)
        for _ in range(steps):
            if answer.status == 302:
                answer = self.browser.get(SLUG)
            elif answer.component in ANSWERABLE:
                answer = self._post(answer)
            else:
                break
            self.answers.append(answer)

    def _post(self, shown: Answer) -> Answer:
        """Answer what is shown; a token that came with it goes back."""
        judged = len(self.sandbox.authentications)
        restarts = self._restarts()
        answer = self.browser.post(SLUG, **self.fields, token=shown.json.get("token", "x"))
        refused = [one for one in self.sandbox.authentications[judged:] if not one.accepted]
        if refused and not restarts:
            self.refused_in_place.append(answer)
        return answer

    def _restarts(self) -> bool:
        """Tell whether the binding that the session stands at restarts the flow."""
        [row] = self.sandbox.sessions.anonymous + self.sandbox.sessions.authenticated
        assert row.plan is not None
        return row.plan.bindings[0].invalid_response_action is not InvalidResponseAction.RETRY


class RandomFlowTests(SandboxTestCase):
    """Properties of every flow."""

    @given(
        flow=flows(),
        name=st.sampled_from(("alice", "bob", "frank", "carol", "heidi", "nobody")),
        password=st.sampled_from((USUAL_PASSWORD, "wrong")),
    )
    def test_no_flow_breaks_the_sandbox(self, flow: Flow, name: str, password: str) -> None:
        """Every answer is a 302 to itself, or a challenge as the vendor's models know it."""
        walk = BestEffortLogin(self.clock, flow, name, password, self.code("bob"))
        walk.go(25)
        for answer in walk.answers:
            if answer.status == 302:
                self.assertEqual(answer.values("location"), [f"{EXECUTOR}{SLUG}/?query="])
                continue
            self.assertEqual((answer.status, answer.component in MODELS), (200, True))
            model = getattr(models, MODELS[answer.json["component"]])
            self.assertEqual(set(answer.json) - set(model.model_fields), set())
            self.assertEqual(model.from_dict(answer.json).component, answer.component)

    @given(flow=flows(), password=st.sampled_from((USUAL_PASSWORD, "wrong")))
    def test_a_refusal_is_seen_unless_the_binding_restarts(self, flow: Flow, password: str) -> None:
        """It is the same component with errors, or access denied."""
        walk = BestEffortLogin(self.clock, flow, "alice", password, "000000")
        walk.go(25)
        for answer in walk.refused_in_place:
            self.assertEqual(answer.status, 200)
            if answer.component != "ak-stage-access-denied":
                self.assertEqual(len(answer.error_codes), 1)

    @given(flow=flows(), password=st.sampled_from((USUAL_PASSWORD, "wrong")))
    def test_the_record_tells_right_from_wrong(self, flow: Flow, password: str) -> None:
        """However a flow looks from outside, only the right password is ever accepted."""
        walk = BestEffortLogin(self.clock, flow, "alice", password, "000000")
        walk.go(25)
        verdicts = {authentication.accepted for authentication in walk.sandbox.authentications}
        self.assertLessEqual(verdicts, {password == USUAL_PASSWORD})
