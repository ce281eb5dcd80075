"""The history: sums that agree, in bounded memory, whatever the clock does."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from ropg_twisted.context import RequestContext
from ropg_twisted.errors import InvalidClientError
from ropg_twisted.interfaces import (
    CheckTrace,
    IReadinessProbe,
    Readiness,
    RequestKind,
    UpstreamRequest,
)
from ropg_twisted.telemetry import history
from ropg_twisted.telemetry.history import (
    DAY,
    HOUR,
    STAGES,
    History,
    Interval,
    Period,
    ReadinessHistory,
    total,
)
from ropg_twisted.telemetry.observers import CheckRecord
from ropg_twisted.trace_context import new_trace_context
from ropg_twisted.verdict import Outcome, Reason, Verdict
from tests.fakes import FakeReadiness

VERIFIED = Outcome(Verdict.VERIFIED, Reason.VERIFIED)
WRONG = Outcome(Verdict.REJECTED, Reason.WRONG_CREDENTIALS)
STALE = Outcome(Verdict.REJECTED, Reason.STALE_PASSWORD)
DOWN = Outcome(Verdict.UNVERIFIABLE, Reason.UPSTREAM_CONNECTION)
NAME = "a-user-name"


@dataclass(frozen=True, slots=True)
class Event:
    """A check, and the seconds that the clock jumps before it."""

    jump: float
    outcome: Outcome
    client: str
    trace: CheckTrace | None


def check(
    outcome: Outcome = VERIFIED,
    client: str = "mac",
    trace: CheckTrace | None = None,
    signing_seconds: float | None = None,
) -> CheckRecord:
    """The record of a check."""
    context = RequestContext("1", client, None)
    return CheckRecord(context, NAME, outcome, 1.0, trace, signing_seconds)


requests = st.builds(
    UpstreamRequest, st.sampled_from(RequestKind), st.just(200), st.floats(0, 30, width=16)
)
events = st.builds(
    Event,
    st.floats(-100_000, 100_000) | st.floats(0, 100),
    st.builds(Outcome, st.sampled_from(Verdict), st.sampled_from(Reason)),
    st.sampled_from(("mac", "fleet")),
    st.none() | st.builds(CheckTrace, st.floats(0, 30, width=16), requests=st.lists(requests)),
)


class HistoryTests(SynchronousTestCase):
    """Checks at times that Hypothesis chooses."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.history = History(self.clock)

    def record(self, event: Event) -> None:
        """Move the clock, and record a check."""
        self.clock.rightNow += event.jump
        self.history.check(check(event.outcome, event.client, event.trace))

    @given(st.lists(events))
    def test_its_sums_agree_and_its_bounds_hold(self, events: list[Event]) -> None:
        """Also when the clock jumps back or ahead."""
        self.setUp()
        for event in events:
            self.record(event)
        for period, (seconds, length) in ((self.history.hour, HOUR), (self.history.day, DAY)):
            self.assertLessEqual(len(period.intervals), length)
            self.assertTrue(0 <= period.elapsed < seconds)
            for interval in [*period.intervals, total(period.intervals)]:
                checks = interval.checks
                self.assertEqual(sum(map(interval.verdict, Verdict)), checks)
                self.assertEqual(sum(map(interval.reason, Reason)), checks)
                self.assertEqual(interval.clients.total(), checks)
                self.assertLessEqual(interval.traced, checks)
        self.assertEqual(self.history.hour.intervals[-1].checks > 0, bool(events))

    @given(st.lists(events), st.floats(0, 10_000))
    def test_each_check_is_counted_until_its_period_is_over(
        self, events: list[Event], later: float
    ) -> None:
        """Compared with the list of all checks, by a clock that only goes ahead."""
        self.setUp()
        times: list[tuple[float, Event]] = []
        for event in events:
            self.record(Event(abs(event.jump), event.outcome, event.client, event.trace))
            times.append((self.clock.seconds(), event))
        self.clock.advance(later)
        now = self.clock.seconds()
        for period, (seconds, length) in ((self.history.hour, HOUR), (self.history.day, DAY)):
            first = now // seconds - length + 1
            kept = [event for at, event in times if at // seconds >= first]
            found = total(period.intervals)
            self.assertEqual(found.outcomes, Counter(event.outcome for event in kept))
            traces = [event.trace for event in kept if event.trace is not None]
            self.assertEqual(found.traced, len(traces))
            queued = sum(trace.queue_seconds for trace in traces)
            self.assertAlmostEqual(found.seconds["queue"], queued)
            for kind in RequestKind:
                spent = sum(r.seconds for t in traces for r in t.requests if r.kind is kind)
                counted = found.seconds.get(kind, spent)
                self.assertAlmostEqual(counted, spent)

    def test_a_clock_that_jumps_back_loses_nothing(self) -> None:
        """The latest interval goes on, and time goes on from there."""
        self.record(Event(3000, WRONG, "mac", None))
        self.record(Event(-2000, VERIFIED, "mac", None))
        self.record(Event(60, VERIFIED, "mac", None))
        self.assertEqual([i.checks for i in self.history.hour.intervals[-2:]], [2, 1])

    def test_a_jump_by_years_costs_no_more_than_a_day(self) -> None:
        """All intervals are empty then."""
        self.record(Event(0, VERIFIED, "mac", None))
        made: list[Interval] = []

        def make() -> Interval:
            made.append(Interval())
            self.assertLessEqual(len(made), 60 + 48)
            return made[-1]

        self.patch(history, "Interval", make)
        self.clock.advance(10**9)
        self.assertEqual(self.history.day.intervals, tuple(made))
        self.assertEqual(len(made), 48)

    def test_the_stages_of_a_check_are_the_queue_the_requests_and_the_tokens(self) -> None:
        """Means over the checks that asked Authentik."""
        trace = CheckTrace(
            2.0,
            requests=[
                UpstreamRequest(RequestKind.FLOW, 200, 0.25),
                UpstreamRequest(RequestKind.FLOW, 200, 0.75),
                UpstreamRequest(RequestKind.PASSWORD, None, 4.0),
                UpstreamRequest(RequestKind.REMOVAL, 200, 9.0),
            ],
        )
        self.history.check(check(trace=trace, signing_seconds=0.5))
        self.history.check(check(trace=CheckTrace()))
        self.history.check(check(STALE))
        found = total(self.history.hour.intervals)
        self.assertEqual(
            {stage: found.mean(stage) for stage in STAGES if found.mean(stage)},
            {"queue": 1.0, "flow": 0.5, "password": 2.0, "signing": 0.25},
        )
        self.assertEqual(Interval().mean("flow"), 0.0)

    def test_other_requests_are_counted_by_error_and_result(self) -> None:
        """Those refused before a check, and those that Authentik answers."""
        self.history.refused(new_trace_context(), None, InvalidClientError())
        context = RequestContext("1", "mac", None)
        self.history.relay(context, "refresh_token", "tokens")
        self.history.introspection(context, "inactive")
        found = total(self.history.day.intervals)
        self.assertEqual(found.refused, {"invalid_client": 1})
        self.assertEqual(found.relayed, {"tokens": 1})
        self.assertEqual(found.introspected, {"inactive": 1})

    def test_it_knows_no_user(self) -> None:
        """The name of a record is not kept."""
        self.history.check(check(trace=CheckTrace()))
        self.assertNotIn(NAME, repr(self.history.hour))

    def test_the_latest_intervals_are_those_of_the_last_seconds(self) -> None:
        """At least one interval, at most all."""
        one, two, three = (Interval(outcomes=Counter({VERIFIED: n})) for n in (1, 10, 100))
        period = Period(60, 60, 30.0, (one, two, three))
        sums = [period.latest(seconds).checks for seconds in (0, 60, 120, 6000)]
        self.assertEqual(sums, [100, 100, 110, 111])
        self.assertEqual([period.age(n) for n in range(3)], [150, 90, 30])


class OutageTests(SynchronousTestCase):
    """The time since when Authentik fails."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.history = History(self.clock)

    def record(self, outcome: Outcome, *, asked: bool = True) -> None:
        """Record a check ten seconds later."""
        self.clock.advance(10)
        self.history.check(check(outcome, trace=CheckTrace() if asked else None))

    def test_an_outage_lasts_from_the_first_failure_to_an_answer(self) -> None:
        """A verdict that did not come from Authentik ends nothing."""
        self.record(DOWN)
        self.record(DOWN)
        self.record(STALE, asked=False)
        self.assertEqual((self.history.failing_since, self.history.recovered), (10, None))
        self.record(WRONG)
        self.assertEqual((self.history.failing_since, self.history.recovered), (None, 40))

    def test_a_failure_of_one_user_is_no_outage(self) -> None:
        """Limits, and what a flow does with single users."""
        self.record(Outcome(Verdict.UNVERIFIABLE, Reason.THROTTLED))
        self.record(Outcome(Verdict.UNVERIFIABLE, Reason.FLOW_UNKNOWN_STAGE))
        self.assertIsNone(self.history.failing_since)

    def test_the_last_verified_check_is_remembered(self) -> None:
        """Its time only."""
        self.record(VERIFIED)
        self.record(WRONG)
        self.assertEqual(self.history.last_verified, 10)


@implementer(IReadinessProbe)
class SlowReadiness:
    """A readiness probe whose result the test gives."""

    def __init__(self) -> None:
        self.answer: Deferred[Readiness] = Deferred()

    async def probe(self) -> Readiness:
        """See :class:`IReadinessProbe`."""
        return await self.answer


class ReadinessHistoryTests(SynchronousTestCase):
    """Since when the readiness is what it is."""

    def test_the_time_is_that_of_the_first_probe_with_the_latest_result(self) -> None:
        """Before the first probe it is the start."""
        clock = Clock()
        clock.advance(5)
        fake = FakeReadiness()
        readiness = ReadinessHistory(fake, clock)
        times = [readiness.since]
        for reason in (None, None, Reason.FLOW_RESTARTS, Reason.FLOW_RESTARTS, None):
            clock.advance(10)
            fake.now = Readiness(reason)
            self.assertEqual(self.successResultOf(readiness.probe()), fake.now)
            times.append(readiness.since)
        self.assertEqual(times, [5, 15, 15, 35, 35, 55])

    def test_a_slow_probe_is_not_waited_for(self) -> None:
        """It goes on, and its result is remembered."""
        clock, slow = Clock(), SlowReadiness()
        readiness = ReadinessHistory(slow, clock)
        waiting = Deferred.fromCoroutine(readiness.probe_for(3))
        clock.advance(2.9)
        self.assertNoResult(waiting)
        clock.advance(0.1)
        self.assertIsNone(self.successResultOf(waiting))
        clock.advance(7)
        slow.answer.callback(Readiness(Reason.FLOW_MISSING))
        self.assertEqual(readiness.since, 10)

    def test_a_probe_that_ends_leaves_no_call(self) -> None:
        """Its result is returned at once."""
        clock = Clock()
        readiness = ReadinessHistory(FakeReadiness(Reason.FLOW_MISSING), clock)
        result = self.successResultOf(readiness.probe_for(3))
        self.assertEqual((result, clock.calls), (Readiness(Reason.FLOW_MISSING), []))

    def test_a_reader_who_leaves_does_not_end_the_probe(self) -> None:
        """Others may wait for it."""
        clock, slow = Clock(), SlowReadiness()
        readiness = ReadinessHistory(slow, clock)
        waiting = Deferred.fromCoroutine(readiness.probe_for(3))
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        clock.advance(5)
        slow.answer.callback(Readiness(Reason.FLOW_MISSING))
        self.assertEqual(readiness.since, 5)
