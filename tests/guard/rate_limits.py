"""Both rate limits on their own."""

from __future__ import annotations

from ipaddress import ip_address

from limits import parse
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from ropg_twisted.guard.accepted_logins import AcceptedLogins
from ropg_twisted.guard.rate_limiter import RateLimiter
from ropg_twisted.guard.rate_limits import AddressRateLimit, UserRateLimit
from ropg_twisted.interfaces import CheckResult, IPasswordVerifier, LoginAttempt, Rates
from ropg_twisted.verdict import Reason, Verdict

USER = Rates(user=parse("3 per 15 minutes"))
ADDRESS = Rates(address=parse("3 per minute"))
BOTH = Rates(USER.user, ADDRESS.address)
OFF = Rates()
ALLOWED = 3
HOME, OFFICE, STRANGER = "198.51.100.1", "2001:db8::1", "192.0.2.7"


def limited(verifier: IPasswordVerifier, clock: Clock) -> IPasswordVerifier:
    """A verifier behind both limits."""
    limiter = RateLimiter(None, clock)
    user = UserRateLimit(verifier, limiter, AcceptedLogins(None, clock))
    return AddressRateLimit(user, limiter)


class BothRateLimits:
    """Both limits on their own, and their answers to one login after the other."""

    def __init__(self, verifier: IPasswordVerifier, rates: Rates) -> None:
        self.clock = Clock()
        self._limited = limited(verifier, self.clock)
        self._rates = rates

    def ask(
        self,
        username: str = "alice",
        address: str | None = STRANGER,
        code: str | None = None,
        password: str = "typed",
    ) -> Deferred[CheckResult]:
        """The result of a login."""
        client = None if address is None else ip_address(address)
        login = LoginAttempt(username, password, client, code, rates=self._rates)
        return Deferred.fromCoroutine(self._limited.verify(login))

    def admits(
        self, username: str = "alice", address: str | None = STRANGER, code: str | None = None
    ) -> bool:
        """Return whether a login is let in; it is answered at once."""
        answers: list[object] = []
        self.ask(username, address, code).addBoth(answers.append)
        [answer] = answers
        return not is_throttled(answer)


def is_throttled(answer: object) -> bool:
    """Return whether a result is that of a rate limit, which says when to come again."""
    if not isinstance(answer, CheckResult) or answer.outcome.reason is not Reason.THROTTLED:
        return False
    assert answer.outcome.verdict is Verdict.UNVERIFIABLE
    assert answer.retry_after is not None
    assert answer.retry_after >= 1
    return True
