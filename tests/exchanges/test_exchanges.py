"""The recorded exchanges judge client and sandbox, without anything beside the checkout."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.verdict import Reason, Verdict
from tests.exchanges.files import FOLDER, RecordedCheck, RecordedFlow, recorded_flows
from tests.exchanges.replay import ClientReplay, SandboxReplay
from tests.exchanges.situations import SITUATIONS, FlowSituations, Situation
from tests.parametrize import parametrize

REASONS = {
    Reason.VERIFIED,
    Reason.VERIFIED_WITH_CODE,
    Reason.WRONG_CREDENTIALS,
    Reason.WRONG_CODE,
    Reason.MFA,
    Reason.INTERACTION,
    Reason.POLICY,
    Reason.FLOW_DENIED,
    Reason.FLOW_ENDED_EARLY,
    Reason.FLOW_ERROR,
    Reason.FLOW_MISSING,
    Reason.FLOW_NOT_HEADLESS,
    Reason.FLOW_RESTARTS,
    Reason.FLOW_UNPROVEN,
    Reason.SESSION_LOST,
    Reason.UPSTREAM_BODY,
    Reason.UPSTREAM_IDENTITY,
    Reason.UPSTREAM_REDIRECT,
    Reason.UPSTREAM_STATUS,
}
"""Every reason that a flow of the sandbox, or damage on the way to it, leads to."""


CHECKS = {
    f"{name}, {check.name}": (flow, check, SITUATIONS[name], situation)
    for name, flow in recorded_flows().items()
    for check in flow.checks
    for situation in SITUATIONS[name].situations
    if situation.name == check.name
}
"""Every recorded check, with its flow and the situation that it was recorded in."""


class ClientTests(SynchronousTestCase):
    """The client before recorded responses."""

    @parametrize(CHECKS)
    def test_every_check_leads_to_its_verdict(
        self, flow: RecordedFlow, check: RecordedCheck, situations: FlowSituations, _: Situation
    ) -> None:
        """The client sends the recorded requests, and the responses mean to it what is recorded."""
        replay = ClientReplay(flow, check, situations)
        self.assertEqual(replay.outcome(), check.outcome)
        self.assertEqual(replay.evidence, flow.evidence)
        self.assertEqual(replay.differences, [])


class SandboxTests(SynchronousTestCase):
    """The sandbox, asked the recorded requests."""

    @parametrize(CHECKS)
    def test_every_request_is_answered_and_decided_alike(
        self, flow: RecordedFlow, check: RecordedCheck, _: FlowSituations, situation: Situation
    ) -> None:
        """Bytes, headers and cookies are the recorded ones, and so is what was decided."""
        replay = SandboxReplay(flow, check, situation)
        self.assertEqual([*replay.differences()], [])


class RecordedTests(SynchronousTestCase):
    """The files by themselves."""

    @parametrize(CHECKS)
    def test_no_verdict_lies(
        self, _: RecordedFlow, check: RecordedCheck, situations: FlowSituations, __: Situation
    ) -> None:
        """The verdict agrees with the sandbox's own record of what it has decided."""
        self.assertTrue(_is_true(check, situations.login_stage), f"{check.decided}")

    def test_every_verdict_and_reason_is_there(self) -> None:
        """The situations lead to each that a flow can lead to, and to no other."""
        outcomes = [check.outcome for _, check, _, _ in CHECKS.values()]
        self.assertEqual({outcome.verdict for outcome in outcomes}, set(Verdict))
        self.assertEqual({outcome.reason for outcome in outcomes}, REASONS)

    def test_every_situation_is_recorded(self) -> None:
        """Files and situations are the same: ``make exchanges`` was run after a change."""
        recorded = {
            (name, check.name, check.username, check.password, check.code)
            for name, flow in recorded_flows().items()
            for check in flow.checks
        }
        situations = {
            (name, one.name, one.username, one.password, one.code)
            for name, flow in SITUATIONS.items()
            for one in flow.situations
        }
        self.assertEqual(recorded, situations)

    def test_the_files_stay_small(self) -> None:
        """A reader can look through them: 300 kB at most."""
        self.assertLess(sum(path.stat().st_size for path in FOLDER.iterdir()), 300_000)


def _is_true(check: RecordedCheck, login_stage: bool) -> bool:
    """Return whether the sandbox has decided what the verdict says."""
    decided, outcome = check.decided, check.outcome
    logged_in = any(event.startswith("login ") for event in decided.events)
    unknown = any(event.startswith("identification_failed ") for event in decided.events)
    accepted = bool(decided.accepted)
    match outcome.verdict:
        case Verdict.VERIFIED:
            return accepted and not decided.refused and (logged_in or not login_stage)
        case Verdict.INTERACTION_REQUIRED:
            return accepted and not decided.refused and not logged_in
        case Verdict.REJECTED if outcome.reason is Reason.WRONG_CODE:
            return accepted and "login_failed " + check.username in decided.events
        case Verdict.REJECTED:
            return not accepted and (bool(decided.refused) or unknown)
        case Verdict.DENIED:
            return not decided.refused
        case Verdict.UNVERIFIABLE:
            return True
