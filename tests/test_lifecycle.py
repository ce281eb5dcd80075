"""The start of the daemon: what the log says of Authentik."""

from __future__ import annotations

from typing import Any

from twisted.logger import formatEvent
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.lifecycle import Lifecycle
from ropg_twisted.verdict import Reason
from tests.fakes import CapturedLog, FakeReadiness
from tests.parametrize import parametrize


class StartTests(SynchronousTestCase):
    """The readiness probe at the start."""

    @parametrize(
        {
            "ready": (FakeReadiness(), "info", "ready: Authentik answers"),
            "with a warning": (
                FakeReadiness(warning=Reason.FLOW_UNPROVEN),
                "warn",
                "ready, but: flow_unproven",
            ),
            "not ready": (FakeReadiness(Reason.FLOW_MISSING), "error", "not ready: flow_missing"),
        }
    )
    def test_the_log_says_whether_passwords_can_be_checked(
        self, probe: Any, level: str, words: str
    ) -> None:
        """Ready is information, a warning is one, and everything else is an error."""
        unused: Any = None
        events = CapturedLog(self).events
        Lifecycle(unused, unused, unused, probe, None, 0).startService()
        [event] = events
        self.assertEqual(event["log_level"].name, level)
        self.assertIn(words, formatEvent(event))
