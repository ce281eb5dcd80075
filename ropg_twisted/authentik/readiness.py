"""Readiness probe: Authentik answers, accepts our token and refuses a wrong password in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from ropg_twisted.authentik.canary import Canary
from ropg_twisted.authentik.client import AuthentikClient, with_deadline
from ropg_twisted.authentik.executor import FlowExecutor
from ropg_twisted.authentik.metadata import ProviderMetadata
from ropg_twisted.interfaces import IReadinessProbe, Readiness
from ropg_twisted.networks import LOOPBACK
from ropg_twisted.singleflight import SingleFlight
from ropg_twisted.verdict import OUTAGES, Reason, UpstreamError


@implementer(IReadinessProbe)
class ReadinessProbe:
    """Probes whether a login can start now.

    All probes share two sessions, which never log in: a new one each time would stay in Authentik
    for a day. Concurrent probes are one. A probe runs a canary only if one is due. If Authentik is
    told the address of its client, it is that of loopback.

    Args:
        refusals_implausible: returns whether no refusal is believed.
        deadline: seconds for one probe.

    Attributes:
        last: the result of the last probe, ``None`` before the first.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        flow: FlowExecutor,
        canary: Canary,
        client: AuthentikClient,
        metadata: ProviderMetadata,
        refusals_implausible: Callable[[], bool],
        deadline: float,
        clock: IReactorTime,
    ) -> None:
        self.last: Readiness | None = None
        self._canary = canary
        self._metadata = metadata
        self._refusals_implausible = refusals_implausible
        self._flow = flow
        self._client_ip = client.client_ip
        self._deadline = deadline
        self._clock = clock
        self._probes: SingleFlight[None, Readiness] = SingleFlight()
        self._session = client.session(None, fresh=True)
        self._token_session = client.session(LOOPBACK, fresh=True, force=True)

    async def probe(self) -> Readiness:
        """See :class:`IReadinessProbe`."""
        return await self._probes.join(None, self._probe_with_deadline)

    async def _probe_with_deadline(self) -> Readiness:
        try:
            self.last = await with_deadline(self._probe(), self._deadline, self._clock)
        except UpstreamError as error:
            self.last = Readiness(error.reason)
        return self.last

    async def _probe(self) -> Readiness:
        reason, token_refused = await self._probe_flow()
        reason = reason or await self._canary.prove()
        if reason is not None:
            return Readiness(reason)
        without_key = await self._metadata.lacks_key()
        if self._refusals_implausible():
            return Readiness(warning=Reason.REFUSALS_IMPLAUSIBLE)
        if token_refused:
            return Readiness(warning=Reason.OUTPOST_TOKEN_REFUSED)
        if not self._canary.proven:
            return Readiness(warning=Reason.FLOW_UNPROVEN)
        return Readiness(warning=Reason.PROVIDER_WITHOUT_KEY if without_key else None)

    async def _probe_flow(self) -> tuple[Reason | None, bool]:
        """Return why no login can start, and whether Authentik refuses our outpost token.

        It responds with a 500 to every request with a token that is not an outpost's. Without a
        response nothing is known about the token.
        """
        if self._client_ip.outpost_token is None:
            return await self._flow.probe(self._session), False
        reason = await self._flow.probe(self._token_session)
        if reason is not Reason.UPSTREAM_STATUS:
            if reason not in OUTAGES:
                self._client_ip.refused = False
            return reason, False
        reason = await self._flow.probe(self._session)
        if reason is not None:
            return reason, False
        if not self._client_ip.refused:
            self.log.error("Authentik refuses ROPG_OUTPOST_TOKEN: it is not used")
        self._client_ip.refused = True
        return None, True
