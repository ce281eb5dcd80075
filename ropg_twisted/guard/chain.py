"""The order of the guards around a password verifier."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from ropg_twisted.guard.accepted_logins import AcceptedLogins
from ropg_twisted.guard.circuit_breaker import CircuitBreaker
from ropg_twisted.guard.coalesce import CoalescedChecks
from ropg_twisted.guard.concurrency import ConcurrencyLimit
from ropg_twisted.guard.rate_limiter import RateLimiter
from ropg_twisted.guard.rate_limits import AddressRateLimit, UserRateLimit
from ropg_twisted.guard.rejected_passwords import RejectedPasswords
from ropg_twisted.guard.shared_store import SharedStore
from ropg_twisted.interfaces import IPasswordVerifier


def guarded(
    verifier: IPasswordVerifier,
    max_checks: int,
    deadline: float,
    clock: IReactorTime,
    store: SharedStore | None = None,
) -> IPasswordVerifier:
    """Wrap ``verifier`` in all guards.

    A login attempt passes them from the outside in:

    1. the rate limit of its address;
    2. coalescing: it joins an identical check;
    3. the rate limit of its user;
    4. the cache of rejected passwords;
    5. the circuit breaker, which asks no Authentik that is down;
    6. the concurrency limit.

    Everything inside the coalescing runs once for all checks that have joined, and is not cut short
    when a client hangs up.

    Args:
        max_checks: checks at Authentik at a time.
        deadline: seconds for one check.
        store: counts shared with other daemons, if any.
    """
    concurrent = ConcurrencyLimit(verifier, max_checks, deadline, clock)
    rejected = RejectedPasswords(CircuitBreaker(concurrent, clock), clock)
    limiter = RateLimiter(store, clock)
    limited = UserRateLimit(rejected, limiter, AcceptedLogins(store, clock))
    return AddressRateLimit(CoalescedChecks(limited), limiter)
