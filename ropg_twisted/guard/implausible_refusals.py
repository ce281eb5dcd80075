"""Implausible refusals: during an outage behind Authentik a refusal is no wrong password."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Final

from twisted.logger import Logger
from zope.interface import implementer

from ropg_twisted.guard.accepted_passwords import AcceptedPasswords
from ropg_twisted.guard.plausibility import Plausibility
from ropg_twisted.interfaces import CheckResult, IPasswordVerifier, LoginAttempt
from ropg_twisted.usernames import fold
from ropg_twisted.verdict import Outcome, Reason, Verdict

_IMPLAUSIBLE: Final = Outcome(Verdict.UNVERIFIABLE, Reason.REFUSALS_IMPLAUSIBLE)


@implementer(IPasswordVerifier)
class ImplausibleRefusals:
    """Makes refusals unverifiable while they are implausible. Acceptances pass at any time.

    Marks a refusal of the password that was last accepted for the user: it is no guess.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self, verifier: IPasswordVerifier, accepted: AcceptedPasswords, plausibility: Plausibility
    ) -> None:
        self._verifier = verifier
        self._accepted = accepted
        self._plausibility = plausibility
        self._implausible = False

    async def verify(self, login: LoginAttempt) -> CheckResult:
        """See :class:`IPasswordVerifier`."""
        check = await self._verifier.verify(login)
        if check.outcome.accepts_password:
            await self._accept(login, check)
        elif check.outcome.refuses_password:
            check = await self._judge(login, check)
        self._log_change()
        return check

    async def _accept(self, login: LoginAttempt, check: CheckResult) -> None:
        user = fold(login.username if check.user is None else check.user.username)
        changed = await self._accepted.remember(login, user)
        self._plausibility.accept(user, changed=changed)

    async def _judge(self, login: LoginAttempt, check: CheckResult) -> CheckResult:
        last = await self._accepted.find(login.username)
        was_accepted = last is not None and last.digest == self._accepted.digest(login)
        check = replace(check, was_accepted=was_accepted)
        if check.outcome.verdict is not Verdict.REJECTED:
            return check
        if last is not None and was_accepted:
            plausible = self._plausibility.refuse(last.user, len(self._accepted))
        else:
            plausible = not self._plausibility.implausible
        return check if plausible else replace(check, outcome=_IMPLAUSIBLE)

    def _log_change(self) -> None:
        if self._plausibility.implausible is self._implausible:
            return
        self._implausible = self._plausibility.implausible
        if self._implausible:
            self.log.error(
                "Authentik refuses passwords that it accepted before, of several users at once "
                "(refusals_implausible): no refusal is believed. Is the directory behind it down?"
            )
        else:
            self.log.info("refusals by Authentik are plausible again")
