"""What starts and stops with the daemon: its listeners, and the work under way."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Site

from ropg_twisted.authentik.lookout import Lookout
from ropg_twisted.authentik.session import SessionRemover
from ropg_twisted.errors import SettingError
from ropg_twisted.guard.shared_store import SharedStore
from ropg_twisted.web.site import BoundedSite
from ropg_twisted.web.tls import listening_endpoint


class Listener(Service):
    """Serves a site at an endpoint; ``setting`` is what named it."""

    log: ClassVar[Logger] = Logger()

    def __init__(self, setting: str, where: str, site: Site, reactor: Any) -> None:
        self._setting = setting
        self._where = where
        self._site = site
        self._port: IListeningPort | None = None
        try:
            self._endpoint = listening_endpoint(reactor, where)
        except Exception as error:
            raise self._unusable(error) from None

    def privilegedStartService(self) -> None:
        """Listen, while the process may still bind any port. Raises :exc:`SettingError`."""
        failures: list[Failure] = []
        self._endpoint.listen(self._site).addCallbacks(self._listening, failures.append)
        for failure in failures:
            raise self._unusable(failure.value)

    def stopService(self) -> Deferred[None] | None:
        """Take no more connections; those that are there stay."""
        super().stopService()
        return None if self._port is None else self._port.stopListening()

    def _listening(self, port: IListeningPort) -> None:
        self._port = port
        self.log.info("listening at {endpoint}", endpoint=self._where)

    def _unusable(self, error: BaseException | None) -> SettingError:
        cause = getattr(error, "socketError", error)
        return SettingError(self._setting, f"cannot listen at {self._where} ({cause})", "tcp:8580")


class Work(Service):
    """What the daemon looks at when it starts, and finishes before it ends.

    ``grace``: seconds for the checks that are under way at the end.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        site: BoundedSite,
        sessions: SessionRemover,
        lookout: Lookout,
        store: SharedStore | None,
        grace: float,
    ) -> None:
        self._site = site
        self._store = store
        self._grace = grace
        self._sessions = sessions
        self._lookout = lookout

    def startService(self) -> None:
        """Say in the log whether a password could be checked."""
        super().startService()
        if self._store is not None:
            self._store.start()
        Deferred.fromCoroutine(self._look())

    def stopService(self) -> Deferred[None]:
        """Answer who waits, and remove the sessions that are left."""
        super().stopService()
        return Deferred.fromCoroutine(self._finish())

    async def _look(self) -> None:
        now = await self._lookout.look()
        if now.obstacle is not None:
            self.log.error("not ready: {reason}", reason=now.obstacle.value)
        elif now.warning is not None:
            self.log.warn("ready, but: {reason}", reason=now.warning.value)
        else:
            self.log.info("ready: Authentik answers, and the flow asks for a name")

    async def _finish(self) -> None:
        await self._site.drain(self._grace)
        await self._sessions.finished()
        if self._store is not None:
            self._store.stop()
