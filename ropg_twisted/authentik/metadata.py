"""What Authentik publishes of an application, kept: its discovery document and its keys."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

from jwt import PyJWK, PyJWKSet
from jwt.exceptions import PyJWTError
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ropg_twisted.authentik.application import Application
from ropg_twisted.authentik.challenges import JSONObject
from ropg_twisted.authentik.client import AuthentikClient, FlowSession, in_time
from ropg_twisted.singleflight import SingleFlight
from ropg_twisted.verdict import Reason, UnverifiableError

T = TypeVar("T")

FRESH_SECONDS: Final = 300
STALE_SECONDS: Final = 86400
"""For how long an old copy counts while Authentik is down."""

RETRY_SECONDS: Final = 30
"""Between two looks at an Authentik that does not answer."""

REFETCH_SECONDS: Final = 5
"""Between two looks for a key that is not known."""


class StaleIfErrorCache(Generic[T]):
    """Something fetched, used while it is fresh, and for longer while it cannot be fetched."""

    def __init__(
        self, fetch: Callable[[], Coroutine[Deferred[Any], Any, T]], clock: IReactorTime
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._fetching: SingleFlight[None, T] = SingleFlight()
        self._copies: list[T] = []
        self._fetched = 0.0
        self._next_try = 0.0
        self._next_refetch = 0.0

    async def refetch(self) -> T:
        """A new copy, although there is a fresh one; that one, if it was asked for just now."""
        now = self._clock.seconds()
        if now < self._next_refetch:
            return await self.get()
        self._next_refetch = now + REFETCH_SECONDS
        return await self._get(fresh=0)

    async def get(self) -> T:
        """A fresh copy, or an older one if none is to be had.

        Raises :exc:`UnverifiableError` if there is none of that either.
        """
        return await self._get(fresh=FRESH_SECONDS)

    async def _get(self, *, fresh: float) -> T:
        age = self._clock.seconds() - self._fetched
        if self._copies and age < fresh:
            return self._copies[0]
        usable = bool(self._copies) and age < STALE_SECONDS
        if usable and self._clock.seconds() < self._next_try:
            return self._copies[0]
        try:
            copy = await self._fetching.join(None, self._fetch)
        except UnverifiableError:
            self._next_try = self._clock.seconds() + RETRY_SECONDS
            if usable:
                return self._copies[0]
            raise
        self._copies = [copy]
        self._fetched = self._clock.seconds()
        return copy


class ProviderMetadata:
    """The published documents of one application. ``deadline``: seconds for one fetch.

    Every method raises :exc:`UnverifiableError`.
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
        """The discovery document, ``None`` if there is no such application and need not be one."""
        return await self._discovery.get()

    async def lacks_key(self) -> bool:
        """Whether there is an application whose provider signs with a shared secret."""
        return await self.discovery() is not None and not await self.jwks()

    async def jwks(self) -> list[JSONObject]:
        """The published keys, as JWKs; none without an application, or if its provider has none."""
        if await self.discovery() is None:
            return []
        keys = (await self._jwks.get()).get("keys", [])
        return [key for key in keys if isinstance(key, dict)] if isinstance(keys, list) else []

    async def key(self, kid: str | None) -> PyJWK:
        """The key of that id; one that is not known is looked for anew, now and then."""
        for look in (self._jwks.get, self._jwks.refetch):
            published = await look()
            if not published.get("keys"):
                raise UnverifiableError(Reason.PROVIDER_WITHOUT_KEY)
            try:
                keys = PyJWKSet.from_dict(published).keys
            except (PyJWTError, AttributeError, LookupError, TypeError, ValueError):
                break
            for key in keys:
                if key.key_id == kid:
                    return key
        raise UnverifiableError(Reason.PROVIDER_TOKEN)

    async def _fetch_discovery(self) -> JSONObject | None:
        return await self._in_time(self.application.discovery)

    async def _fetch_jwks(self) -> JSONObject:
        return await self._in_time(self.application.jwks)

    async def _in_time(self, fetch: Callable[[FlowSession], Coroutine[Deferred[Any], Any, T]]) -> T:
        session = self._client.session(None, fresh=True)
        return await in_time(fetch(session), self._deadline, self._clock)
