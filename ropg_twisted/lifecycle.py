"""What starts and stops with the daemon: its listeners, and the work under way."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Site

from ropg_twisted.authentik.readiness import ReadinessProbe
from ropg_twisted.authentik.sessions import SessionRemover
from ropg_twisted.errors import ListenError, SettingError
from ropg_twisted.guard.shared_store import SharedStore
from ropg_twisted.server.site import BoundedSite
from ropg_twisted.server.tls import listening_endpoint


class Listener(Service):
    """Serves a site at an endpoint; ``setting`` is what named it.

    Raises :exc:`SettingError` for an endpoint that cannot be understood.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(self, setting: str, where: str, site: Site, reactor: Any) -> None:
        self._setting = setting
        self._where = where
        self._site = site
        self._port: Any = None
        try:
            self._endpoint = listening_endpoint(reactor, where)
        except Exception as error:
            raise self._unusable(SettingError, error) from None

    def privilegedStartService(self) -> None:
        """Listen, while the process may still bind any port.

        Raises :exc:`ListenError` if the system does not let it, and :exc:`SettingError` for an
        endpoint that it can never listen at.
        """
        failures: list[Failure] = []
        self._endpoint.listen(self._site).addCallbacks(self._listening, failures.append)
        for failure in failures:
            by_system = failure.check(CannotListenError, OSError)
            raise self._unusable(ListenError if by_system else SettingError, failure.value)

    def stopService(self) -> Deferred[None] | None:
        """Take no more connections; those that are there stay."""
        super().stopService()
        stopped: Deferred[None] | None = self._port and self._port.stopListening()
        return stopped

    def _listening(self, port: Any) -> None:
        self._port = port
        # Twisted closes a port whose socket has failed, and tells nobody.
        port.connectionLost = self._connection_lost
        self.log.info("listening at {endpoint}", endpoint=self._where)

    def _connection_lost(self, reason: Failure) -> None:
        port = self._port
        if self.running:
            self.log.critical("no longer listening at {endpoint}", endpoint=self._where)
        type(port).connectionLost(port, reason)

    def _unusable(self, kind: type[SettingError], error: BaseException | None) -> SettingError:
        cause = getattr(error, "socketError", error)
        return kind(self._setting, f"cannot listen at {self._where} ({cause})", "tcp:8580")


class Lifecycle(Service):
    """What the daemon looks at when it starts, and finishes before it ends.

    ``grace``: seconds for the checks that are under way at the end.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        site: BoundedSite,
        sessions: SessionRemover,
        readiness: ReadinessProbe,
        store: SharedStore | None,
        grace: float,
    ) -> None:
        self._site = site
        self._store = store
        self._grace = grace
        self._sessions = sessions
        self._readiness = readiness

    def startService(self) -> None:
        """Say in the log whether a password could be checked."""
        super().startService()
        if self._store is not None:
            self._store.start()
        Deferred.fromCoroutine(self._probe())

    def stopService(self) -> Deferred[None]:
        """Answer who waits, and remove the sessions that are left."""
        super().stopService()
        return Deferred.fromCoroutine(self._finish())

    async def _probe(self) -> None:
        now = await self._readiness.probe()
        if now.reason is not None:
            self.log.error("not ready: {reason}", reason=now.reason.value)
        elif now.warning is not None:
            self.log.warn("ready, but: {reason}", reason=now.warning.value)
        else:
            self.log.info("ready: Authentik answers, and the flow asks for a name")

    async def _finish(self) -> None:
        await self._site.drain(self._grace)
        await self._sessions.finished()
        if self._store is not None:
            self._store.stop()
