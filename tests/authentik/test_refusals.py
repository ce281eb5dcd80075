"""Flows whose refusal is not what it seems give no wrong answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.authentik.evidence import Evidence
from ropg_twisted.sandbox.accounts import ACCOUNTS, USUAL_PASSWORD
from ropg_twisted.sandbox.flow.flows import Flow
from ropg_twisted.verdict import Outcome, Reason, Verdict
from tests import FIRST_PYTHON_ONLY
from tests.authentik.checker import PasswordChecker
from tests.flows import SLUG, Judgement, flows
from tests.parametrize import parametrize
from tests.refusals import MISSING, RecordedCheck, recorded_flows

NEED_ACCEPTANCE = (Verdict.VERIFIED, Verdict.INTERACTION_REQUIRED)


@dataclass(frozen=True, slots=True)
class Checked:
    """A check with a flow: what we said, and what the sandbox itself made of the password."""

    outcome: Outcome
    judgement: Judgement

    @property
    def lies(self) -> bool:
        """Return whether it says right without an acceptance, or wrong without a refusal."""
        if self.outcome.verdict in NEED_ACCEPTANCE:
            return not self.judgement.accepted
        if self.outcome.verdict is Verdict.REJECTED:
            return not self.judgement.refused or self.judgement.accepted
        return False


def checked(checker: PasswordChecker, username: str, password: str) -> Checked:
    """Check a password; the canary before the first one is not counted."""
    checker.probe()
    sandbox = checker.sandbox
    before = len(sandbox.authentications), len(sandbox.events)
    outcome = checker.check(username, password)
    judgement = Judgement.of(sandbox.authentications[before[0] :], sandbox.events[before[1] :])
    return Checked(outcome, judgement)


@cache
def recorded_checks() -> tuple[tuple[str, RecordedCheck, Checked, Evidence | None], ...]:
    """Make every recorded check with a sandbox of its own."""
    found = []
    for flow in recorded_flows():
        for check in flow.checks:
            checker = PasswordChecker(flow.slug, login_stage=flow.login_stage == "required")
            password = USUAL_PASSWORD if check.password == "right" else "wrong"
            made = checked(checker, check.user, password)
            found.append((flow.slug, check, made, checker.evidence.current))
    return tuple(found)


SLUGS = {flow.slug: (flow.slug,) for flow in recorded_flows()} or {"no recordings": ("",)}


class RecordedRefusalTests(SynchronousTestCase):
    """The flows of a real Authentik, each with the checks that were made with it."""

    skip = FIRST_PYTHON_ONLY or MISSING

    def test_no_flow_makes_us_lie(self) -> None:
        """No right one without an acceptance, no wrong one without a refusal."""
        made = recorded_checks()
        self.assertGreater(len(made), 130)
        lies = [f"{slug}, {check.user}: {one}" for slug, check, one, _ in made if one.lies]
        self.assertEqual(lies, [])

    @parametrize(SLUGS)
    def test_evidence(self, slug: str) -> None:
        """The canary tells them from those that refuse in place, and from those that are closed."""
        found = {slug: evidence for slug, _, _, evidence in recorded_checks()}
        for flow in recorded_flows():
            if flow.slug != slug:
                continue
            restarts = any(
                stage.invalid_response_action != "retry"
                and (stage.stage.startswith("password") or "same form" in stage.stage)
                for stage in flow.stages
            )
            if not restarts:
                self.assertIsNot(found[slug], Evidence.RESTARTS)
            elif found[slug] is not Evidence.RESTARTS:
                self.assertIs(found[slug], Evidence.UNKNOWN)

    def test_a_restart_is_told_by_its_reason(self) -> None:
        """A verdict that was told and not true is *restarts* or *unproven* now."""
        reasons = {
            one.outcome.reason
            for _, check, one, _ in recorded_checks()
            if (check.answer.startswith("200") or "interaction" in check.answer)
            and not check.accepted
        }
        self.assertEqual(reasons, {Reason.FLOW_RESTARTS, Reason.FLOW_UNPROVEN})


NAMES = st.sampled_from(["alice", "bob", "carol", "ivan", "nosuch"])
PASSWORDS = st.sampled_from([USUAL_PASSWORD, "wrong"])


class RandomRefusalTests(SynchronousTestCase):
    """Any flow that an administrator may have clicked together."""

    @given(flows(), st.lists(st.tuples(NAMES, PASSWORDS), min_size=1, max_size=4), st.booleans())
    def test_no_flow_makes_us_lie(
        self, flow: Flow, checks: list[tuple[str, str]], login_stage: bool
    ) -> None:
        """After each check, the sandbox's own record of what it accepted decides."""
        checker = PasswordChecker(SLUG, flow, login_stage=login_stage)
        for username, password in checks:
            one = checked(checker, username, password)
            self.assertFalse(one.lies, f"{username} {password}: {one}")

    def test_people_of_these_tests_are_there(self) -> None:
        """All but one, of whom nobody knows."""
        names = {person.username for person in ACCOUNTS}
        self.assertEqual({"alice", "bob", "carol", "ivan", "nosuch"} - names, {"nosuch"})
