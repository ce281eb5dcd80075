"""Notifications to systemd: the protocol of sd_notify(3), one datagram for each.

The libraries for it on PyPI only send the datagram, which is the short part.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import ClassVar, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ropg_twisted.interfaces import IReadinessProbe, Readiness

STATUS_SECONDS: Final = 60
"""Seconds between readiness probes for the status that ``systemctl status`` shows."""


class ServiceManager:
    """Tells the service manager when the daemon is ready, reloads, stops, and that it lives.

    Does nothing if there is no ``NOTIFY_SOCKET`` in ``environ``. With ``WATCHDOG_USEC`` it sends a
    sign of life in half of that time, from the reactor: a reactor that hangs sends none.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self, environ: Mapping[str, str], readiness: IReadinessProbe, clock: IReactorTime
    ) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._watchdog_seconds = _watchdog_seconds(environ)
        self._readiness = readiness
        self._clock = clock

    def started(self) -> None:
        """Tell that the daemon accepts requests. From now on, send signs of life and the status."""
        if self._address is None:
            return
        self.ready()
        if self._watchdog_seconds is not None:
            self._repeat(lambda: self._send("WATCHDOG=1"), self._watchdog_seconds / 2)
        self._repeat(lambda: Deferred.fromCoroutine(self._send_status()), STATUS_SECONDS)

    def ready(self) -> None:
        """Tell that the daemon accepts requests, or that a reload has ended."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Tell that a reload has begun."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={microseconds}")

    def stopping(self) -> None:
        """Tell that the stop has begun."""
        self._send("STOPPING=1", "STATUS=finishing the checks in progress")

    async def _send_status(self) -> None:
        self._send(f"STATUS={_words(await self._readiness.probe())}")

    def _repeat(self, call: Callable[[], object], seconds: float) -> None:
        loop = LoopingCall(call)
        loop.clock = self._clock
        loop.start(seconds)

    def _send(self, *assignments: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto("\n".join(assignments).encode("ascii"), self._address)
        except OSError as error:
            self.log.error("cannot notify systemd ({cause})", cause=error.strerror)


def _address(name: str) -> str | None:
    """Return the address of the socket. A name that begins with ``@`` is in no file system."""
    return name.replace("@", "\0", 1) if name.startswith("@") else name or None


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    """Return the time in which systemd wants a sign of life; ``None`` if it wants none from us."""
    pid = environ.get("WATCHDOG_PID")
    if "WATCHDOG_USEC" not in environ or (pid is not None and pid != str(os.getpid())):
        return None
    return int(environ["WATCHDOG_USEC"]) / 1_000_000


def _words(readiness: Readiness) -> str:
    if readiness.reason is not None:
        return f"not ready: {readiness.reason.value}"
    if readiness.warning is not None:
        return f"ready, but: {readiness.warning.value}"
    return "ready"
