"""Looking at Authentik: does it answer, take our token, and refuse a wrong password in place?"""

from __future__ import annotations

from typing import ClassVar, Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from ropg_twisted.authentik.canary import Canary
from ropg_twisted.authentik.client import AuthentikClient, in_time
from ropg_twisted.authentik.executor import FlowExecutor
from ropg_twisted.authentik.metadata import ProviderMetadata
from ropg_twisted.interfaces import IReadinessProbe, Readiness
from ropg_twisted.singleflight import SingleFlight
from ropg_twisted.verdict import OUTAGES, Reason, UnverifiableError

OWN_ADDRESS: Final = "127.0.0.1"
"""Whose looks these are, where Authentik is told an address."""


@implementer(IReadinessProbe)
class ReadinessProbe:
    """Looks whether a login could begin now.

    The same browsers, which never log in, serve all looks: each new one would leave a session of a
    day in Authentik. Looks at the same moment are one. A look walks the ``canary`` only if one is
    due. ``deadline``: seconds for a look.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        flow: FlowExecutor,
        canary: Canary,
        client: AuthentikClient,
        metadata: ProviderMetadata,
        deadline: float,
        clock: IReactorTime,
    ) -> None:
        self._canary = canary
        self._metadata = metadata
        self._flow = flow
        self._client_ip = client.client_ip
        self._deadline = deadline
        self._clock = clock
        self._probes: SingleFlight[None, Readiness] = SingleFlight()
        self._session = client.session(None, fresh=True)
        self._introduced_session = client.session(OWN_ADDRESS, fresh=True, force=True)

    async def probe(self) -> Readiness:
        """See :class:`IReadinessProbe`."""
        return await self._probes.join(None, self._probe_in_time)

    async def _probe_in_time(self) -> Readiness:
        try:
            return await in_time(self._probe(), self._deadline, self._clock)
        except UnverifiableError as unverifiable:
            return Readiness(unverifiable.reason)

    async def _probe(self) -> Readiness:
        reason, token_refused = await self._probe_flow()
        reason = reason or await self._canary.prove()
        if reason is not None:
            return Readiness(reason)
        without_key = await self._metadata.lacks_key()
        if token_refused:
            return Readiness(warning=Reason.OUTPOST_TOKEN_REFUSED)
        if not self._canary.proven:
            return Readiness(warning=Reason.FLOW_UNPROVEN)
        return Readiness(warning=Reason.PROVIDER_WITHOUT_KEY if without_key else None)

    async def _probe_flow(self) -> tuple[Reason | None, bool]:
        """What is in the way, and whether it is our token: with one of no outpost, all is 500.

        A look that brings no answer says nothing of the token.
        """
        if self._client_ip.outpost_token is None:
            return await self._flow.probe(self._session), False
        reason = await self._flow.probe(self._introduced_session)
        if reason is not Reason.UPSTREAM_STATUS:
            if reason not in OUTAGES:
                self._client_ip.refused = False
            return reason, False
        without = await self._flow.probe(self._session)
        if without is not None:
            return without, False
        if not self._client_ip.refused:
            self.log.error("Authentik refuses ROPG_OUTPOST_TOKEN: it is not used")
        self._client_ip.refused = True
        return None, True
