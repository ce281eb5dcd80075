"""Problems: which state of the daemon is one, and what to do about it."""

from __future__ import annotations

from math import inf

from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.oauth.keys import KeyRing, SigningKey
from ropg_twisted.remedies import REMEDIES
from ropg_twisted.settings.model import MAX_TOKEN_LIFETIME
from ropg_twisted.status.problems import Severity, find_problems
from ropg_twisted.status.state import Certificate, State
from ropg_twisted.telemetry.history import Interval
from ropg_twisted.verdict import Reason
from tests.parametrize import parametrize
from tests.status.states import NOW, hour, interval, make_state

DAY = 86400.0


def checks(*minutes: Interval) -> State:
    """The state of a daemon that is ready, after these minutes."""
    return make_state(hour=hour(*minutes))


def with_keys(*keys: SigningKey) -> State:
    """The state of a daemon with these published keys, the first of which signs."""
    return make_state(keys=KeyRing(keys[0], keys))


def key(kid: str, signs_from: float = 0, days: float = inf, algorithm: str = "ES256") -> SigningKey:
    """A signing key that may sign for so many more days."""
    end = NOW + MAX_TOKEN_LIFETIME + days * DAY
    return SigningKey(algorithm, None, kid, signs_from=signs_from, published_until=end)


class ProblemTests(SynchronousTestCase):
    """States that are problems, and states that are none."""

    @parametrize(
        {
            "nothing has happened": (make_state(),),
            "verified": (checks(interval(verified=5)),),
            "one stale password": (checks(interval(wrong_credentials=2, stale_password=50)),),
            "one user locked out": (checks(interval(verified=3, throttled=40)),),
            "limits alone": (checks(interval(throttled=40, client_gone=3)),),
            "a second factor for all": (checks(interval(mfa=50, interaction=3)),),
            "denied and verified": (checks(interval(policy=50, verified=1)),),
            "wrong and verified": (checks(interval(wrong_credentials=50, verified=1)),),
            "two turned away": (checks(interval(policy=2)),),
            "nine wrong passwords": (checks(interval(wrong_credentials=9)),),
            "an outage eleven minutes ago": (
                checks(interval(upstream_connection=9), *[Interval()] * 10),
            ),
            "a certificate for fifteen days": (
                make_state(certificates=(Certificate("ssl:443", NOW + 15 * DAY),)),
            ),
            "a key without an end": (with_keys(key("a")),),
            "a key with a successor": (with_keys(key("a", days=1), key("b", signs_from=NOW + 60)),),
            "a key for fifteen days": (with_keys(key("a", days=15)),),
        }
    )
    def test_it_is_well(self, state: State) -> None:
        """No problem is found."""
        self.assertEqual(find_problems(state), [])

    @parametrize(
        {
            "not ready": (
                make_state(Reason.FLOW_RESTARTS),
                Severity.DOWN,
                "No password can be checked",
                REMEDIES[Reason.FLOW_RESTARTS].remedy,
            ),
            "ready with a warning": (
                make_state(warning=Reason.REFUSALS_IMPLAUSIBLE),
                Severity.ATTENTION,
                "Passwords are checked, with a restriction",
                REMEDIES[Reason.REFUSALS_IMPLAUSIBLE].remedy,
            ),
            "no answer yet": (
                make_state(readiness=None),
                Severity.ATTENTION,
                "Authentik does not answer",
                REMEDIES[Reason.UPSTREAM_TIMEOUT].remedy,
            ),
            "saturated": (
                checks(interval(verified=5, overloaded=1), *[Interval()] * 9),
                Severity.ATTENTION,
                "Too many checks at a time",
                REMEDIES[Reason.OVERLOADED].remedy,
            ),
            "some checks without a verdict": (
                checks(interval(verified=5, upstream_timeout=2, upstream_body=1)),
                Severity.ATTENTION,
                "Some checks end without a verdict",
                REMEDIES[Reason.UPSTREAM_TIMEOUT].remedy,
            ),
            "a captcha after the password": (
                checks(interval(flow_unknown_stage=3)),
                Severity.DOWN,
                "Checks end without a verdict",
                REMEDIES[Reason.FLOW_UNKNOWN_STAGE].remedy,
            ),
            "an application for nobody": (
                checks(interval(policy=3), *[Interval()] * 59),
                Severity.ATTENTION,
                "Nobody is let in",
                REMEDIES[Reason.POLICY].remedy,
            ),
            "a stage for all": (
                checks(interval(interaction=3, wrong_credentials=20)),
                Severity.ATTENTION,
                "Nobody is let in",
                REMEDIES[Reason.INTERACTION].remedy,
            ),
            "everybody refused": (
                checks(interval(wrong_credentials=10)),
                Severity.ATTENTION,
                "No password is right",
                REMEDIES[Reason.WRONG_CREDENTIALS].remedy,
            ),
            "no shared store": (
                make_state(store_failing=True),
                Severity.ATTENTION,
                "The shared counts cannot be reached",
                "See that the Redis runs, and that this machine reaches it.",
            ),
            "a certificate for thirteen days": (
                make_state(certificates=(Certificate("ssl:443", NOW + 13 * DAY),)),
                Severity.ATTENTION,
                "A certificate is about to end",
                "Renew the certificate; the daemon takes the new file into use by itself.",
            ),
            "a certificate that has ended": (
                make_state(certificates=(Certificate("ssl:443", NOW - 1),)),
                Severity.DOWN,
                "A certificate has ended",
                "Renew the certificate; the daemon takes the new file into use by itself.",
            ),
            "a key for thirteen days": (
                with_keys(key("a", days=13), key("b", signs_from=inf)),
                Severity.ATTENTION,
                "The signing key is about to end",
                "Make a new one with: ropg keys rotate",
            ),
            "a key that may sign no more": (
                with_keys(key("a", days=-1), key("b", algorithm="RS256")),
                Severity.ATTENTION,
                "No signing key may sign any more",
                "Make a new one with: ropg keys rotate",
            ),
        }
    )
    def test_it_is_a_problem(
        self, state: State, severity: Severity, title: str, remedy: str
    ) -> None:
        """One problem is found, with what to do."""
        [problem] = find_problems(state)
        found = problem.severity, problem.title, problem.remedy
        self.assertEqual(found, (severity, title, remedy))
        self.assertTrue(problem.meaning)

    def test_checks_repeat_no_problem_that_the_probe_has_seen(self) -> None:
        """The readiness is said once, whatever the checks ended with."""
        period = hour(interval(upstream_connection=9, breaker_open=9))
        [problem] = find_problems(make_state(Reason.UPSTREAM_CONNECTION, hour=period))
        self.assertEqual(problem.help_text, "upstream_connection")
        period = hour(interval(refusals_implausible=9))
        [problem] = find_problems(make_state(warning=Reason.REFUSALS_IMPLAUSIBLE, hour=period))
        self.assertEqual(problem.help_text, "refusals_implausible")

    def test_the_worst_comes_first(self) -> None:
        """The others stay in their order."""
        ended = Certificate("ssl:443", NOW - 1)
        state = make_state(warning=Reason.FLOW_UNPROVEN, store_failing=True, certificates=(ended,))
        titles = [problem.title for problem in find_problems(state)]
        self.assertEqual(
            titles,
            [
                "A certificate has ended",
                "Passwords are checked, with a restriction",
                "The shared counts cannot be reached",
            ],
        )

    def test_counts_are_said_in_numbers(self) -> None:
        """How many of how many checks."""
        [problem] = find_problems(checks(interval(verified=1199, overloaded=1)))
        expected = "In the last ten minutes 1 of 1,200 checks were turned away."
        self.assertTrue(problem.meaning.startswith(expected), problem.meaning)
