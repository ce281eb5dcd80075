"""Refusals that take so long that a directory may have timed out."""

from __future__ import annotations

from math import inf

from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.authentik.conversation import Conversation
from ropg_twisted.authentik.evidence import Evidence
from ropg_twisted.verdict import Outcome, Reason, Verdict
from tests.authentik.conversations import (
    ALICE,
    ANONYMOUS,
    COMBINED,
    DENIED,
    IDENTIFICATION,
    MOVED,
    NO_SUCH,
    PASSWORD,
    ROOT,
    WRONG,
    Received,
    challenge,
)
from tests.parametrize import parametrize

REFUSED = challenge("ak-stage-password", response_errors=WRONG)
REFUSED_TOGETHER = challenge("ak-stage-identification", response_errors=NO_SUCH)
BEFORE = (IDENTIFICATION, MOVED, PASSWORD)


class SlowRefusalTests(SynchronousTestCase):
    """A refusal is believed only if it came in time."""

    def check(
        self, *received: Received, seconds: float, limit: float = 5, before: float = 0
    ) -> Outcome:
        """Return the outcome if the last response takes ``seconds``, others ``before``."""
        login = Conversation(ALICE, root=ROOT, evidence=Evidence.IN_PLACE, slow_refusal=limit)
        for item in received[:-1]:
            login.receive(item, ANONYMOUS, before)
        outcome = login.receive(received[-1], ANONYMOUS, seconds)
        assert isinstance(outcome, Outcome)
        return outcome

    @parametrize(
        {
            "errors": ((*BEFORE, REFUSED),),
            "denied": ((*BEFORE, DENIED),),
            "errors of a combined stage": ((COMBINED, REFUSED_TOGETHER),),
        }
    )
    def test_a_slow_refusal_is_not_believed(self, received: tuple[Received, ...]) -> None:
        """In any form of the flow."""
        slow = Outcome(Verdict.UNVERIFIABLE, Reason.REFUSAL_TOO_SLOW)
        self.assertEqual(self.check(*received, seconds=5.1), slow)

    def test_a_refusal_in_time_is_believed(self) -> None:
        """Up to the limit, and however slow the steps before it were."""
        for seconds in (0, 5):
            outcome = self.check(*BEFORE, REFUSED, seconds=seconds, before=60)
            self.assertEqual(outcome.reason, Reason.WRONG_CREDENTIALS)

    def test_without_a_limit_every_refusal_is_believed(self) -> None:
        """However long it took."""
        outcome = self.check(*BEFORE, REFUSED, seconds=1000, limit=inf)
        self.assertEqual(outcome.reason, Reason.WRONG_CREDENTIALS)

    def test_a_slow_acceptance_is_an_acceptance(self) -> None:
        """The directory took its time, and accepted the password."""
        mfa = challenge("ak-stage-authenticator-validate", device_challenges=[])
        outcome = self.check(*BEFORE, mfa, seconds=60)
        self.assertEqual(outcome.reason, Reason.MFA)
