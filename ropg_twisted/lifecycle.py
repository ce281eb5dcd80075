"""Starts and stops the daemon: its listeners, and the work in progress."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.tcp import Port
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Site

from ropg_twisted.authentik.sessions import SessionRemover
from ropg_twisted.guard.concurrency import ConcurrencyLimit
from ropg_twisted.guard.shared_store import SharedStore
from ropg_twisted.interfaces import IReadinessProbe
from ropg_twisted.server.endpoints import listening_endpoint
from ropg_twisted.server.site import BoundedSite
from ropg_twisted.server.tls import TLSEndpoint
from ropg_twisted.settings.errors import ListenError, SettingError
from ropg_twisted.types import IReactor

BACKLOG: Final = 4096
"""Upper limit of the connections that can wait in a socket."""


class Listener(Service):
    """Serves a site at an endpoint string. ``setting``: the name of the setting that has it.

    Raises :exc:`SettingError` for an invalid endpoint string.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(self, setting: str, where: str, site: Site, reactor: IReactor) -> None:
        self._setting = setting
        self._where = where
        self._site = site
        self._port: IListeningPort | None = None
        try:
            self._endpoint = listening_endpoint(reactor, where)
        except Exception as error:
            raise self._unusable(SettingError, error) from None

    @property
    def endpoint(self) -> str:
        """The endpoint string without its named parts, such as the paths of certificates."""
        return ":".join(part for part in self._where.split(":") if "=" not in part)

    @property
    def certificate_expires(self) -> float | None:
        """The end of its certificate, in seconds since the epoch; ``None`` without TLS."""
        return self._endpoint.expires if isinstance(self._endpoint, TLSEndpoint) else None

    def reload_certificate(self) -> None:
        """Read the certificate now, if its files have changed. An unusable one is not used."""
        if isinstance(self._endpoint, TLSEndpoint):
            self._endpoint.reload()

    def privilegedStartService(self) -> None:
        """Listen, before the process drops the privilege to bind low ports.

        Raises :exc:`ListenError` if the system does not allow it, and :exc:`SettingError` for an
        endpoint that can never work.
        """
        failures: list[Failure] = []
        self._endpoint.listen(self._site).addCallbacks(self._listening, failures.append)
        for failure in failures:
            by_system = failure.check(CannotListenError, OSError)
            raise self._unusable(ListenError if by_system else SettingError, failure.value)

    def stopService(self) -> Deferred[None] | None:
        """Stop listening. Open connections stay open."""
        super().stopService()
        self._accept_waiting()
        return None if self._port is None else self._port.stopListening()

    def _listening(self, port: Any) -> None:  # IListeningPort does not declare connectionLost().
        self._port = port
        # Twisted closes a port whose socket has failed, and does not report it.
        port.connectionLost = self._connection_lost
        self.log.info("listening at {endpoint}", endpoint=self._where)

    def _connection_lost(self, reason: Failure) -> None:
        port: Any = self._port  # As in _listening().
        if self.running:
            self.log.critical("no longer listening at {endpoint}", endpoint=self._where)
        else:
            # Twisted closes the socket one turn of the reactor after the stop.
            self._accept_waiting()
        type(port).connectionLost(port, reason)

    def _accept_waiting(self) -> None:
        """Accept the connections that wait in the socket, which its close would reset.

        In a socket of systemd they wait for the next daemon.
        """
        if isinstance(self._port, Port) and "systemd:" not in self._where:
            self._port.numberAccepts = BACKLOG
            self._port.doRead()

    def _unusable(self, kind: type[SettingError], error: BaseException | None) -> SettingError:
        cause = getattr(error, "socketError", error)
        return kind(self._setting, f"cannot listen at {self._where} ({cause})", "tcp:8580")


class Lifecycle(Service):
    """Probes Authentik at the start, and finishes the work in progress at the end.

    ``grace``: the longest wait for checks in progress, in seconds.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        site: BoundedSite,
        checks: ConcurrencyLimit,
        sessions: SessionRemover,
        readiness: IReadinessProbe,
        store: SharedStore | None,
        grace: float,
    ) -> None:
        self._site = site
        self._checks = checks
        self._store = store
        self._grace = grace
        self._sessions = sessions
        self._readiness = readiness

    def startService(self) -> None:
        """Start, and log whether passwords can be checked."""
        super().startService()
        if self._store is not None:
            self._store.start()
        Deferred.fromCoroutine(self._probe())

    def stopService(self) -> Deferred[None]:
        """Answer pending requests, finish all checks, then remove the sessions at Authentik."""
        super().stopService()
        return Deferred.fromCoroutine(self._finish())

    async def _probe(self) -> None:
        readiness = await self._readiness.probe()
        if readiness.reason is not None:
            self.log.error("not ready: {reason}", reason=readiness.reason.value)
        elif readiness.warning is not None:
            self.log.warn("ready, but: {reason}", reason=readiness.warning.value)
        else:
            self.log.info("ready: Authentik answers, and the flow asks for a name")

    async def _finish(self) -> None:
        await self._site.drain(self._grace)
        # A check whose client has hung up goes on, and knows the session to remove.
        await self._checks.finished()
        await self._sessions.finished()
        if self._store is not None:
            self._store.stop()
