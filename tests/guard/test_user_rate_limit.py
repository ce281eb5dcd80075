"""The rate limit of a user: how often a password may be wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.guard import accepted_logins
from ropg_twisted.guard.accepted_logins import LIFETIME, MAX_NETWORKS, AcceptedLogins
from ropg_twisted.guard.rate_limiter import RateLimiter
from ropg_twisted.guard.rate_limits import UserRateLimit
from ropg_twisted.interfaces import CheckResult, LoginAttempt, User
from ropg_twisted.verdict import Reason, Verdict
from tests.fakes import ALICE, RIGHT, FailingVerifier, FixedVerifier, PendingVerifier, outcome
from tests.guard.fakes import MFA, WRONG, WRONG_CODE
from tests.guard.rate_limits import (
    ALLOWED,
    HOME,
    OFFICE,
    STRANGER,
    USER,
    BothRateLimits,
    is_throttled,
)
from tests.parametrize import parametrize


class UserRateTests(SynchronousTestCase):
    """Failed checks of one user name."""

    @parametrize(
        {
            "wrong password": (WRONG, True),
            "wrong code": (WRONG_CODE, True),
            "right": (RIGHT, False),
            "cached refusal": (outcome(Verdict.REJECTED, Reason.STALE_PASSWORD), False),
            "second factor": (MFA, False),
            "denied": (outcome(Verdict.DENIED, Reason.POLICY), False),
            "timeout": (outcome(Verdict.UNVERIFIABLE, Reason.UPSTREAM_TIMEOUT), False),
            "breaker open": (outcome(Verdict.UNVERIFIABLE, Reason.BREAKER_OPEN), False),
        }
    )
    def test_only_refusals_count(self, check: CheckResult, counted: bool) -> None:
        """No other answer than a refusal by Authentik uses up any of a user's attempts."""
        verifier = FixedVerifier(check)
        limits = BothRateLimits(verifier, USER)
        let_in = [limits.admits(code="123456") for _ in range(3 * ALLOWED)]
        expected = ALLOWED if counted else len(let_in)
        self.assertEqual(let_in.count(True), expected)
        self.assertEqual(len(verifier.asked), expected)
        self.assertEqual(all(let_in[:expected]), True)

    def test_a_mistake_of_ours_does_not_count(self) -> None:
        """A check that breaks inside leaves a user's attempts as they were."""
        limits = BothRateLimits(FailingVerifier(RIGHT), USER)
        for _ in range(3 * ALLOWED):
            self.failureResultOf(limits.ask(), ZeroDivisionError)

    def test_after_the_limit_a_right_password_waits_as_well(self) -> None:
        """A success does not show which of many guesses was right."""
        verifier = FixedVerifier(WRONG)
        limits = BothRateLimits(verifier, USER)
        for _ in range(ALLOWED):
            self.assertTrue(limits.admits())
        verifier.check = RIGHT
        self.assertFalse(limits.admits())
        self.assertTrue(limits.admits("bob"))

    def test_an_address_is_no_way_round(self) -> None:
        """Guesses at one user count from wherever they come."""
        limits = BothRateLimits(FixedVerifier(WRONG), USER)
        let_in = [limits.admits(address=f"192.0.2.{host}") for host in range(2 * ALLOWED)]
        self.assertEqual(let_in.count(True), ALLOWED)

    def test_spellings_of_a_name_are_one_name(self) -> None:
        """Names that Authentik may take for the same user share their attempts."""
        for name, *others in (
            ("alice", "ALICE", "Alice", "\uff41lice", "ⒶLICE"),
            ("josé", "jose\u0301", "JOSÉ"),
            ("straße", "STRASSE", "strasse", "STRAẞE"),
            ("οδυσσευς", "ΟΔΥΣΣΕΥΣ", "οδυσσευσ"),
            ("kim", "\u212aim"),
        ):
            for other in others:
                limits = BothRateLimits(FixedVerifier(WRONG), USER)
                for _ in range(ALLOWED):
                    self.assertTrue(limits.admits(name), other)
                self.assertFalse(limits.admits(other), other)

    def test_parallel_guesses_are_no_way_round(self) -> None:
        """A check under way counts as failed, until it turns out to be something else."""
        verifier = PendingVerifier()
        limits = BothRateLimits(verifier, USER)
        checks = [limits.ask(password=f"guess {n}") for n in range(3 * ALLOWED)]
        self.assertEqual(len(verifier.asked), ALLOWED)
        for check in checks[ALLOWED:]:
            self.assertTrue(is_throttled(self.successResultOf(check)))
        verifier.waiting.pop().callback(outcome(Verdict.DENIED, Reason.POLICY))
        verifier.waiting.pop().callback(WRONG)
        checks[0].addErrback(lambda _: None).cancel()
        self.assertEqual(verifier.waiting, [])
        more = [limits.ask(password=f"more {n}") for n in range(ALLOWED)]
        self.assertEqual(len(verifier.waiting), ALLOWED - 1)
        self.assertTrue(is_throttled(self.successResultOf(more[-1])))

    def test_nothing_stays_behind(self) -> None:
        """A check that has ended leaves nothing of those under way, whatever its result."""
        for verifier in (
            FixedVerifier(RIGHT),
            FixedVerifier(WRONG),
            FailingVerifier(RIGHT),
            PendingVerifier(),
        ):
            clock = Clock()
            accepted = AcceptedLogins(None, clock)
            limit = UserRateLimit(verifier, RateLimiter(None, clock), accepted)
            check = Deferred.fromCoroutine(limit.verify(LoginAttempt("alice", "x", rates=USER)))
            check.addErrback(lambda failure: failure.trap(CancelledError, ZeroDivisionError))
            check.cancel()
            self.assertFalse(vars(limit)["_running"])

    def test_a_check_that_is_given_up_counts_nothing(self) -> None:
        """A check that is cancelled has not been judged, and gives its attempt back."""
        verifier = PendingVerifier()
        limits = BothRateLimits(verifier, USER)
        for _ in range(3 * ALLOWED):
            check = limits.ask()
            check.cancel()
            self.failureResultOf(check, CancelledError)
        self.assertEqual(len(verifier.asked), 3 * ALLOWED)

    def test_attempts_come_back(self) -> None:
        """A client that waits as long and as often as the response says is let in in the end."""
        limits = BothRateLimits(FixedVerifier(WRONG), USER)
        for _ in range(ALLOWED):
            self.assertTrue(limits.admits())
        while is_throttled(answer := self.successResultOf(limits.ask())):
            assert answer.retry_after is not None
            limits.clock.advance(answer.retry_after)
            self.assertLess(limits.clock.seconds(), 2 * 900)
        self.assertGreater(limits.clock.seconds(), 800)

    def test_a_window_that_slides_leaves_no_gap(self) -> None:
        """Attempts at the end of one quarter of an hour count in the next."""
        limits = BothRateLimits(FixedVerifier(WRONG), USER)
        self.assertTrue(limits.admits())
        limits.clock.advance(895)
        self.assertEqual([limits.admits() for _ in range(ALLOWED)], [True, True, False])
        limits.clock.advance(10)
        self.assertEqual([limits.admits() for _ in range(ALLOWED)], [True, False, False])


class BudgetTests(SynchronousTestCase):
    """Failures that are counted together."""

    def setUp(self) -> None:
        """A user at home, and strangers."""
        self.verifier = FixedVerifier(WRONG)
        self.limits = BothRateLimits(self.verifier, USER)

    def answer(
        self, check: CheckResult, username: str, address: str | None, code: str | None = None
    ) -> bool:
        """Return whether a login is let in, if Authentik would say ``check``."""
        self.verifier.check = check
        return self.limits.admits(username, address, code)

    def use_up(self, username: str, address: str | None) -> int:
        """The number of wrong guesses that are let in until no more are."""
        let_in = [self.answer(WRONG, username, address) for _ in range(3 * ALLOWED)]
        self.assertEqual(let_in, sorted(let_in, reverse=True))
        return let_in.count(True)

    def test_strangers_lock_nobody_out_at_home(self) -> None:
        """A password that was right gives its network a budget of its own."""
        for username, accepted in (("alice", RIGHT), ("bob", MFA)):
            self.answer(accepted, username, HOME)
            self.use_up(username, "192.0.2.1")
            self.assertEqual(self.use_up(username, "192.0.2.2"), 0)
            self.assertFalse(self.answer(accepted, username, OFFICE))
            self.assertTrue(self.answer(accepted, username, HOME))
            self.assertEqual(self.use_up(username, HOME), ALLOWED)
            self.assertFalse(self.answer(accepted, username, HOME))

    def test_home_locks_nobody_else_out(self) -> None:
        """Each network that is known, and all others together, fail for themselves."""
        for address in (HOME, OFFICE):
            self.answer(RIGHT, "alice", address)
        for address in (HOME, OFFICE, "192.0.2.1"):
            self.assertEqual(self.use_up("alice", address), ALLOWED, address)
        self.assertEqual(self.use_up("alice", "192.0.2.2"), 0)

    def test_only_an_accepted_password_makes_a_network_known(self) -> None:
        """Guessing from many networks is no way to many budgets, whatever else is answered."""
        for reason in (Reason.POLICY, Reason.UPSTREAM_TIMEOUT, Reason.FLOW_ENDED_EARLY):
            check = outcome(Verdict.UNVERIFIABLE, reason)
            for host in range(4):
                self.answer(check, "alice", f"192.0.2.{host}")
        self.answer(MFA, "bob", "192.0.2.1")
        self.assertEqual(sum(self.use_up("alice", f"192.0.2.{host}") for host in range(4)), ALLOWED)

    def test_a_network_is_that_of_one_user(self) -> None:
        """An IPv6 address stands for its /64, another one beside it is a stranger's."""
        self.answer(RIGHT, "alice", "2001:db8::1")
        self.assertEqual(self.use_up("alice", "2001:db8::2:3:4:5"), ALLOWED)
        self.assertEqual(self.use_up("alice", "2001:db8::1"), 0)
        self.assertEqual(self.use_up("alice", "2001:db8:0:1::1"), ALLOWED)

    def test_no_address(self) -> None:
        """Clients whose address nobody knows are strangers, even where a password was right."""
        self.answer(RIGHT, "alice", None)
        self.assertEqual(self.use_up("alice", None), ALLOWED)
        self.assertEqual(self.use_up("alice", HOME), 0)

    def test_thirty_days(self) -> None:
        """A network is known for that long after the last password that was accepted there."""
        self.assertEqual(LIFETIME, 30 * 24 * 3600)
        self.answer(RIGHT, "alice", HOME)
        self.limits.clock.advance(LIFETIME - 1)
        self.answer(RIGHT, "alice", HOME)
        self.limits.clock.advance(LIFETIME - 1)
        self.use_up("alice", "192.0.2.1")
        self.assertTrue(self.answer(WRONG, "alice", HOME))
        self.limits.clock.advance(1)
        self.use_up("alice", "192.0.2.1")
        self.assertFalse(self.answer(WRONG, "alice", HOME))

    def test_no_name_stands_for_the_budget_of_another(self) -> None:
        """A typed name that looks like a key of ours fails for itself alone."""
        network = "2001:db8::/64"
        self.answer(RIGHT, "alice", OFFICE)
        for name in (
            f"{network}/alice",
            f"network/{network}/alice",
            f"alice/{network}",
            f"../network/{network}/alice",
            "strangers/alice",
            "alice/3/15/minute",
        ):
            self.use_up(name, "192.0.2.1")
        self.assertEqual(self.use_up("alice", OFFICE), ALLOWED)
        self.assertEqual(self.use_up("alice", "192.0.2.1"), ALLOWED)

    def test_codes_are_guesses_of_their_own(self) -> None:
        """With the password known, no number of networks is a way to more codes."""
        let_in = []
        for host in range(10):
            self.answer(MFA, "alice", f"192.0.2.{host}")
            code = f"{host:06}"
            let_in.append(self.answer(WRONG_CODE, "alice", f"192.0.2.{host}", code))
        self.assertEqual(let_in.count(True), ALLOWED)
        self.assertFalse(self.answer(RIGHT, "alice", HOME, "123456"))
        self.assertTrue(self.answer(MFA, "alice", HOME))

    def test_codes_at_the_same_moment(self) -> None:
        """Codes that are being looked at count over all networks as well."""
        for host in range(3 * ALLOWED):
            self.answer(MFA, "alice", f"192.0.2.{host}")
        verifier = PendingVerifier()
        self.verifier.verify = verifier.verify  # type: ignore[method-assign]
        for host in range(3 * ALLOWED):
            self.limits.ask("alice", f"192.0.2.{host}", f"{host:06}")
        self.assertEqual(len(verifier.waiting), ALLOWED)

    def test_wrong_passwords_do_not_use_up_the_codes(self) -> None:
        """A stranger without the password cannot keep a person's codes from being looked at."""
        self.answer(RIGHT, "alice", HOME)
        for number in range(3 * ALLOWED):
            self.answer(WRONG, "alice", "192.0.2.1", f"{number:06}")
        self.assertTrue(self.answer(RIGHT, "alice", HOME, "123456"))

    def test_the_names_of_one_user(self) -> None:
        """A name that was accepted for a user shares the budgets of that user from then on."""
        mail = "Alice@Example.com"
        right = replace(RIGHT, user=replace(ALICE, username="Alice"))
        self.assertTrue(self.answer(right, mail, HOME))
        self.use_up("alice", "192.0.2.1")
        self.assertEqual(self.use_up("alice@example.com", "192.0.2.1"), 0)
        for name in ("alice", mail):
            self.assertTrue(self.answer(RIGHT, name, HOME), name)
        self.assertEqual(self.use_up(mail, HOME), ALLOWED)
        self.assertEqual(self.use_up("alice", HOME), 0)

    def test_what_a_user_may_set_is_no_name(self) -> None:
        """The e-mail address of an account opens nobody's budget until Authentik has taken it."""
        mallory = User("5ub", "mallory", "alice", "alice", ("alice",))
        self.answer(replace(RIGHT, user=mallory), "mallory", HOME)
        self.use_up("mallory", "192.0.2.1")
        self.assertEqual(self.use_up("alice", "192.0.2.1"), ALLOWED)
        self.use_up("alice", HOME)
        self.assertEqual(self.use_up("mallory", HOME), ALLOWED)

    def test_a_name_is_remembered_for_thirty_days(self) -> None:
        """Then it stands for itself again, until it is accepted once more."""
        mail = ALICE.email
        self.answer(RIGHT, mail, HOME)
        self.limits.clock.advance(LIFETIME)
        self.use_up("alice", HOME)
        self.assertEqual(self.use_up(mail, HOME), ALLOWED)

    def test_memory_is_bounded(self) -> None:
        """Networks, users and names that were accepted longest ago are forgotten first."""
        for host in (0, 1, 0, *range(2, MAX_NETWORKS + 1)):
            self.answer(MFA, "alice", f"198.51.100.{host}")
        self.use_up("alice", STRANGER)
        for host in range(MAX_NETWORKS + 1):
            expected = 0 if host == 1 else ALLOWED
            self.assertEqual(self.use_up("alice", f"198.51.100.{host}"), expected, host)
        self.patch(accepted_logins, "MAX_USERS", 2)
        self.patch(accepted_logins, "MAX_NAMES", 2)
        self.setUp()
        for username in ("bob", "carol", "bob", "dave"):
            self.answer(MFA, username, HOME)
        for username, known in (("bob", True), ("carol", False), ("dave", True)):
            self.use_up(username, "192.0.2.1")
            self.assertEqual(self.use_up(username, HOME), ALLOWED if known else 0, username)
        for name in ("a", "b", "a", "c"):
            self.answer(replace(RIGHT, user=replace(ALICE, username=f"_{name}")), name, None)
        for name, shared in (("a", True), ("b", False), ("c", True)):
            self.use_up(f"_{name}", HOME)
            self.assertEqual(self.use_up(name, HOME), 0 if shared else ALLOWED, name)


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("ask"),
            st.sampled_from(("alice", "ALICE", "bob")),
            st.sampled_from((HOME, OFFICE, None)),
            st.sampled_from((None, "123456")),
        ),
        st.tuples(
            st.just("end"), st.integers(0, 9), st.sampled_from((WRONG, WRONG, MFA, WRONG_CODE))
        ),
        st.tuples(st.just("give up"), st.integers(0, 9)),
    ),
    min_size=30,
    max_size=80,
)


class UserRateLimitModel:
    """A model of guesses, responses and hang-ups in any order, while time stands still."""

    def __init__(self, test: SynchronousTestCase) -> None:
        self.test = test
        self.verifier = PendingVerifier()
        self.limits = BothRateLimits(self.verifier, USER)
        self.known: set[tuple[str, str]] = set()
        self.failed: list[str] = []
        self.walks: list[tuple[Deferred[CheckResult], list[str], tuple[str, str | None]]] = []

    def step(self, kind: str, *what: Any) -> None:
        """Do one thing."""
        match kind:
            case "ask":
                self.ask(*what)
            case "end" if self.walks:
                self.end(what[0] % len(self.walks), what[1])
            case "give up" if self.walks:
                check, _, _ = self.walks.pop(what[0] % len(self.walks))
                check.cancel()
                self.test.failureResultOf(check, CancelledError)

    def ask(self, username: str, address: str | None, code: str | None) -> None:
        """A login is let in if, and only if, its budgets have room beside all under way."""
        user = username.lower()
        budgets = [f"{user} at {address}" if (user, address) in self.known else user]
        if code is not None:
            budgets.append(f"codes of {user}")
        used = self.failed + [budget for _, walk, _ in self.walks for budget in walk]
        check = self.limits.ask(username, address, code)
        if all(used.count(budget) < ALLOWED for budget in budgets):
            self.test.assertNoResult(check)
            self.walks.append((check, budgets, (user, address)))
        else:
            self.test.assertTrue(is_throttled(self.test.successResultOf(check)))

    def end(self, number: int, answer: CheckResult) -> None:
        """A login comes to its end, and to a wrong code only if it had one."""
        check, budgets, (user, address) = self.walks.pop(number)
        if answer is WRONG_CODE and len(budgets) == 1:
            answer = WRONG
        self.verifier.waiting[number].callback(answer)
        del self.verifier.waiting[number]
        self.test.assertEqual(self.test.successResultOf(check), answer)
        if answer is WRONG:
            self.failed.append(budgets[0])
        elif answer is WRONG_CODE:
            self.failed += budgets
        if answer is not WRONG and address is not None:
            self.known.add((user, address))


class AnyOrderTests(SynchronousTestCase):
    """The limit of a user under random logins."""

    @given(STEPS)
    def test_any_order_of_things(self, steps: list[tuple[Any, ...]]) -> None:
        """Every login is let in if, and only if, there is room."""
        model = UserRateLimitModel(self)
        for step in steps:
            model.step(*step)
