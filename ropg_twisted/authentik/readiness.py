"""Looking at Authentik: does it answer, take our token, and refuse a wrong password in place?"""

from __future__ import annotations

from typing import ClassVar, Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from ropg_twisted.authentik.canary import Canary
from ropg_twisted.authentik.client import Transport, in_time
from ropg_twisted.authentik.executor import Flow
from ropg_twisted.authentik.metadata import Documents
from ropg_twisted.interfaces import IReadiness, Readiness
from ropg_twisted.singleflight import Shared
from ropg_twisted.verdict import OUTAGES, Reason, Unverifiable

OWN_ADDRESS: Final = "127.0.0.1"
"""Whose looks these are, where Authentik is told an address."""


@implementer(IReadiness)
class Lookout:
    """Looks whether a login could begin now.

    The same browsers, which never log in, serve all looks: each new one would leave a session of a
    day in Authentik. Looks at the same moment are one. A look walks the ``canary`` only if one is
    due. ``deadline``: seconds for a look.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        flow: Flow,
        canary: Canary,
        transport: Transport,
        documents: Documents,
        deadline: float,
        clock: IReactorTime,
    ) -> None:
        self._canary = canary
        self._documents = documents
        self._flow = flow
        self._introduction = transport.introduction
        self._deadline = deadline
        self._clock = clock
        self._looks: Shared[None, Readiness] = Shared()
        self._browser = transport.browser(None, fresh=True)
        self._introduced = transport.browser(OWN_ADDRESS, fresh=True, insist=True)

    async def look(self) -> Readiness:
        """See :class:`IReadiness`."""
        return await self._looks.join(None, self._look_in_time)

    async def _look_in_time(self) -> Readiness:
        try:
            return await in_time(self._look(), self._deadline, self._clock)
        except Unverifiable as unverifiable:
            return Readiness(unverifiable.reason)

    async def _look(self) -> Readiness:
        obstacle, token_refused = await self._look_at_flow()
        obstacle = obstacle or await self._canary.obstacle()
        if obstacle is not None:
            return Readiness(obstacle)
        without_key = await self._documents.lacks_key()
        if token_refused:
            return Readiness(warning=Reason.OUTPOST_TOKEN_REFUSED)
        if not self._canary.proven:
            return Readiness(warning=Reason.FLOW_UNPROVEN)
        return Readiness(warning=Reason.PROVIDER_WITHOUT_KEY if without_key else None)

    async def _look_at_flow(self) -> tuple[Reason | None, bool]:
        """What is in the way, and whether it is our token: with one of no outpost, all is 500.

        A look that brings no answer says nothing of the token.
        """
        if self._introduction.outpost_token is None:
            return await self._flow.obstacle(self._browser), False
        obstacle = await self._flow.obstacle(self._introduced)
        if obstacle is not Reason.UPSTREAM_STATUS:
            if obstacle not in OUTAGES:
                self._introduction.refused = False
            return obstacle, False
        without = await self._flow.obstacle(self._browser)
        if without is not None:
            return without, False
        if not self._introduction.refused:
            self.log.error("Authentik refuses ROPG_OUTPOST_TOKEN: it is not used")
        self._introduction.refused = True
        return None, True
