"""The faults that count as an outage."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.verdict import OUTAGES, Reason, UpstreamError


class WhoseFaultTests(SynchronousTestCase):
    """The faults that say that Authentik itself is down."""

    def test_before_the_name_every_outage_does_and_later_only_what_breaks(self) -> None:
        """A silence or an odd answer after the name may be about this user alone."""
        always = {Reason.UPSTREAM_CONNECTION: True, Reason.UPSTREAM_TLS: False}
        before = (Reason.UPSTREAM_BODY, Reason.UPSTREAM_STATUS, Reason.UPSTREAM_TIMEOUT)
        for reason, transient in always.items():
            for name_sent in (False, True):
                fault = UpstreamError(reason, transient=transient, name_sent=name_sent)
                self.assertTrue(fault.authentik_down, (reason, name_sent))
        for reason in before:
            self.assertTrue(UpstreamError(reason, name_sent=False).authentik_down, reason)
            self.assertFalse(UpstreamError(reason, name_sent=True).authentik_down, reason)
        self.assertTrue(UpstreamError(Reason.UPSTREAM_STATUS, transient=True).authentik_down)
        self.assertEqual(OUTAGES, {*always, *before})
        for reason in set(Reason) - OUTAGES:
            self.assertFalse(UpstreamError(reason, name_sent=False).authentik_down, reason)
