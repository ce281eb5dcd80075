"""Provider metadata of an application of Authentik: discovery document and keys, cached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from jwt import PyJWK, PyJWKSet
from jwt.exceptions import PyJWTError
from twisted.internet.interfaces import IReactorTime

from ropg_twisted.authentik.application import Application
from ropg_twisted.authentik.client import AuthentikClient, FlowSession, with_deadline
from ropg_twisted.singleflight import SingleFlight
from ropg_twisted.types import DeferredCoroutine, JSONObject
from ropg_twisted.verdict import Reason, UpstreamError

T = TypeVar("T")

FRESH_SECONDS: Final = 300
"""Maximum age of a copy that is used without a new request."""

STALE_SECONDS: Final = 86400
"""Maximum age of a copy while Authentik is down."""

RETRY_SECONDS: Final = 30
"""Minimum time between two requests to an Authentik that does not respond."""

REFETCH_SECONDS: Final = 5
"""Minimum time between two requests for an unknown key."""


@dataclass(frozen=True, slots=True)
class _Copy(Generic[T]):
    value: T
    fetched: float


class StaleIfErrorCache(Generic[T]):
    """Caches a fetched value, and serves a stale one while fetching fails (RFC 5861)."""

    def __init__(self, fetch: Callable[[], DeferredCoroutine[T]], clock: IReactorTime) -> None:
        self._fetch = fetch
        self._clock = clock
        self._fetching: SingleFlight[None, T] = SingleFlight()
        self._copy: _Copy[T] | None = None
        self._next_try = 0.0
        self._next_refetch = 0.0

    async def refetch(self) -> T:
        """Return a new copy even if there is a fresh one, unless this was called just before."""
        now = self._clock.seconds()
        if now < self._next_refetch:
            return await self.get()
        self._next_refetch = now + REFETCH_SECONDS
        return await self._get(fresh=0)

    async def get(self) -> T:
        """Return a fresh copy, or a stale one if fetching fails.

        Raises :exc:`UpstreamError` if there is no usable copy.
        """
        return await self._get(fresh=FRESH_SECONDS)

    async def _get(self, *, fresh: float) -> T:
        now = self._clock.seconds()
        copy = self._copy
        if copy is not None and now - copy.fetched >= STALE_SECONDS:
            copy = None
        if copy is not None and (now - copy.fetched < fresh or now < self._next_try):
            return copy.value
        try:
            value = await self._fetching.join(None, self._fetch)
        except UpstreamError:
            self._next_try = self._clock.seconds() + RETRY_SECONDS
            if copy is None:
                raise
            return copy.value
        self._copy = _Copy(value, self._clock.seconds())
        return value


class ProviderMetadata:
    """The published metadata of one application.

    ``deadline``: seconds for one request. Every method raises :exc:`UpstreamError`.
    """

    def __init__(
        self,
        application: Application,
        client: AuthentikClient,
        deadline: float,
        clock: IReactorTime,
    ) -> None:
        self.application = application
        self._client = client
        self._deadline = deadline
        self._clock = clock
        self._discovery: StaleIfErrorCache[JSONObject | None] = StaleIfErrorCache(
            self._fetch_discovery, clock
        )
        self._jwks: StaleIfErrorCache[JSONObject] = StaleIfErrorCache(self._fetch_jwks, clock)

    async def discovery(self) -> JSONObject | None:
        """Return the discovery document; ``None`` without an application that need not exist."""
        return await self._discovery.get()

    async def lacks_key(self) -> bool:
        """Return whether the application exists and its provider publishes no key."""
        return await self.discovery() is not None and not await self.jwks()

    async def jwks(self) -> list[JSONObject]:
        """Return the published keys as JWKs; none without an application or a key."""
        if await self.discovery() is None:
            return []
        keys = (await self._jwks.get()).get("keys", [])
        return [key for key in keys if isinstance(key, dict)] if isinstance(keys, list) else []

    async def key(self, kid: str | None) -> PyJWK:
        """Return the key with the id ``kid``. Fetches the keys again if it is unknown."""
        for fetch in (self._jwks.get, self._jwks.refetch):
            published = await fetch()
            if not published.get("keys"):
                raise UpstreamError(Reason.PROVIDER_WITHOUT_KEY)
            try:
                keys = PyJWKSet.from_dict(published).keys
            except (PyJWTError, AttributeError, LookupError, TypeError, ValueError):
                break
            for key in keys:
                if key.key_id == kid:
                    return key
        raise UpstreamError(Reason.PROVIDER_TOKEN)

    async def _fetch_discovery(self) -> JSONObject | None:
        return await self._fetch(self.application.discovery)

    async def _fetch_jwks(self) -> JSONObject:
        return await self._fetch(self.application.jwks)

    async def _fetch(self, request: Callable[[FlowSession], DeferredCoroutine[T]]) -> T:
        session = self._client.session(None, fresh=True)
        return await with_deadline(request(session), self._deadline, self._clock)
