"""Canary checks: evidence of how the flow refuses a password, before any verdict."""

from __future__ import annotations

import secrets
import string
from typing import ClassVar, Final

from twisted.logger import Logger
from zope.interface import implementer

from ropg_twisted.authentik.evidence import Evidence, FlowEvidence
from ropg_twisted.interfaces import CheckResult, IPasswordVerifier, LoginAttempt
from ropg_twisted.singleflight import SingleFlight
from ropg_twisted.verdict import Outcome, Reason, Verdict

PREFIX: Final = "ropg-canary-"
"""Prefix of the user names of canaries, to find them in Authentik's log."""


@implementer(IPasswordVerifier)
class Canary:
    """Gathers evidence of how the flow refuses a password before it lets checks through.

    A canary is a check of a random user name and password. It passes the same guards as every
    check. It runs when the ``evidence`` is due, and all other checks wait for it.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(self, verifier: IPasswordVerifier, evidence: FlowEvidence) -> None:
        self._verifier = verifier
        self._evidence = evidence
        self._canaries: SingleFlight[None, CheckResult] = SingleFlight()

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`."""
        reason = await self.prove()
        if reason is not None:
            return CheckResult(Outcome(Verdict.UNVERIFIABLE, reason))
        return await self._verifier.verify(login)

    async def prove(self) -> Reason | None:
        """Return why the flow cannot be trusted, or ``None``. Runs a canary if one is due."""
        if self._evidence.due:
            check = await self._canaries.join(None, self._check_canary)
            if self._evidence.due:
                return check.outcome.reason
        return Reason.FLOW_RESTARTS if self._evidence.current is Evidence.RESTARTS else None

    @property
    def proven(self) -> bool:
        """True if the flow is known to refuse a password in place."""
        return self._evidence.current is Evidence.IN_PLACE

    async def _check_canary(self) -> CheckResult:
        before = self._evidence.current
        check = await self._verifier.verify(_canary())
        if self._evidence.current is not before:
            self._log_evidence()
        return check

    def _log_evidence(self) -> None:
        match self._evidence.current:
            case Evidence.IN_PLACE:
                self.log.info("the flow refuses a wrong password in place")
            case Evidence.RESTARTS:
                self.log.error(
                    "the flow begins again after a wrong password, so its responses cannot be "
                    "trusted (flow_restarts): in Authentik, set Invalid response action of its "
                    "stage bindings to RETRY"
                )
            case Evidence.UNKNOWN:
                self.log.warn(
                    "the flow did not ask an unknown user for a password, so a right password "
                    "with a second factor is unverifiable until a wrong password has been "
                    "refused (flow_unproven)"
                )


def _canary() -> LoginAttempt:
    name = "".join(secrets.choice(string.ascii_lowercase) for _ in range(16))
    return LoginAttempt(PREFIX + name, secrets.token_urlsafe(32), canary=True)
