"""The order of the guards around a password verifier."""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from ropg_twisted.guard.accepted_logins import AcceptedLogins
from ropg_twisted.guard.accepted_passwords import AcceptedPasswords
from ropg_twisted.guard.bulkhead import Bulkhead
from ropg_twisted.guard.circuit_breaker import CircuitBreaker
from ropg_twisted.guard.coalesce import CoalescedChecks
from ropg_twisted.guard.concurrency import ConcurrencyLimit
from ropg_twisted.guard.implausible_refusals import ImplausibleRefusals
from ropg_twisted.guard.plausibility import Plausibility
from ropg_twisted.guard.rate_limiter import RateLimiter
from ropg_twisted.guard.rate_limits import AddressRateLimit, UserRateLimit
from ropg_twisted.guard.rejected_passwords import RejectedPasswords
from ropg_twisted.guard.shared_store import SharedStore
from ropg_twisted.interfaces import CheckResult, IPasswordVerifier, LoginAttempt


@implementer(IPasswordVerifier)
@dataclass(frozen=True, slots=True)
class Guards:
    """The guards around a verifier that count what they do, from the outside in."""

    address_limit: AddressRateLimit
    coalesced: CoalescedChecks
    user_limit: UserRateLimit
    rejected: RejectedPasswords
    breaker: CircuitBreaker
    concurrency: ConcurrencyLimit

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`."""
        return await self.address_limit.verify(login)


def guarded(
    verifier: IPasswordVerifier,
    max_checks: int,
    deadline: float,
    clock: IReactorTime,
    plausibility: Plausibility,
    store: SharedStore | None = None,
    hash_key: bytes | None = None,
) -> Guards:
    """Wrap ``verifier`` in all guards.

    A login attempt passes them from the outside in:

    1. the rate limit of its address;
    2. coalescing: it joins an identical check;
    3. the rate limit of its user;
    4. the cache of rejected passwords;
    5. the plausibility of refusals: an outage behind Authentik is no wrong password;
    6. the circuit breaker, which asks no Authentik that is down;
    7. the bulkhead: checks that are likely to hang;
    8. the concurrency limit.

    Everything inside the coalescing runs once for all checks that have joined, and is not cut short
    when a client hangs up.

    Args:
        max_checks: checks at Authentik at a time.
        deadline: seconds for one check.
        plausibility: judges whether refusals are plausible.
        store: counts shared with other daemons, if any.
        hash_key: shares the hashes of accepted passwords with the daemons that have the same key.
    """
    concurrency = ConcurrencyLimit(verifier, max_checks, deadline, clock)
    accepted = AcceptedPasswords(clock, store if hash_key else None, hash_key)
    breaker = CircuitBreaker(Bulkhead(concurrency, max_checks, clock), clock)
    rejected = RejectedPasswords(ImplausibleRefusals(breaker, accepted, plausibility), clock)
    limiter = RateLimiter(store, clock)
    user_limit = UserRateLimit(rejected, limiter, AcceptedLogins(store, clock))
    coalesced = CoalescedChecks(user_limit)
    address_limit = AddressRateLimit(coalesced, limiter)
    return Guards(address_limit, coalesced, user_limit, rejected, breaker, concurrency)
