"""The way to Authentik in a soak: a proxy before the sandbox that injects faults."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from random import Random
from typing import Any, Final

from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from ropg_twisted.authentik.challenges import read_session_cookie
from ropg_twisted.sandbox.flow.sessions import LIFETIME, Session


class Fault(StrEnum):
    """Faults of the proxy, instead of passing a request on and its answer back."""

    REFUSE = "refuses connections"
    RESET_BEFORE = "resets before the request"
    RESET_AFTER = "resets after the request"
    SILENCE = "is silent"
    ERROR = "answers 500"
    TRUNCATED = "truncates the answer"
    DELAY = "delays the answer"


SESSION: Final = re.compile(rb"authentik_session=([^;\r\n]+)")
ERROR: Final = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Content-Length: 21\r\n\r\nInternal Server Error"
)


class Proxy(Factory):
    """Stands before the sandbox at ``target``; honest, but for the fault of the hour.

    A fault hits ``deadline`` seconds at most. ``slowness``: seconds, at most, by which every answer
    takes longer, which is no fault. ``foul``: from when to when there were faults, and
    which. ``hurt``: sessions whose login or removal a fault has hit. ``known``: sessions that the
    daemon has used.
    """

    noisy = False

    def __init__(self, reactor: Any, target: int, deadline: float, chance: Random) -> None:
        self.reactor = reactor
        self.deadline = deadline
        self.slowness = 0.0
        self.foul: list[tuple[float, float, Fault | None]] = []
        self.hurt: set[str] = set()
        self.known: set[str] = set()
        self.counts: Counter[Fault] = Counter()
        self.links: set[ProxiedConnection] = set()
        self.chance = chance
        self._target = target
        self._fault: Fault | None = None
        self._share = 0.0
        self._since = 0.0
        self._port = reactor.listenTCP(0, self, interface="127.0.0.1")
        self.port: int = self._port.getHost().port

    def buildProtocol(self, addr: object) -> ProxiedConnection:
        """See :class:`Factory`."""
        return ProxiedConnection(self)

    def far_end(self, link: ProxiedConnection) -> None:
        """Connect to the sandbox for a link."""
        factory = Factory.forProtocol(lambda: SandboxConnection(link))
        factory.noisy = False
        endpoint = TCP4ClientEndpoint(self.reactor, "127.0.0.1", self._target)
        endpoint.connect(factory).addErrback(lambda _: link.far_end_lost())

    def draw(self) -> Fault | None:
        """The fault of the next request."""
        if self._fault is None or self.chance.random() > self._share:
            return None
        self.counts[self._fault] += 1
        return self._fault

    async def begin(self, fault: Fault, share: float) -> None:
        """From now on, ``share`` of all requests meet a fault."""
        self._fault, self._share, self._since = fault, share, self.reactor.seconds()
        if fault is Fault.REFUSE:
            self.counts[fault] += 1
            await self._port.stopListening()
            for link in list(self.links):
                link.reset()

    def end(self) -> None:
        """Be honest again."""
        if self._fault is None:
            return
        self.foul.append((self._since, self.reactor.seconds(), self._fault))
        if self._fault is Fault.REFUSE:
            self._port = self.reactor.listenTCP(self.port, self, interface="127.0.0.1")
        self._fault = None

    def excuses(self, row: Session) -> bool:
        """Return whether faults have kept the daemon from removing a session."""
        login = row.expires - LIFETIME
        return row.sid in self.hurt or any(
            fault is Fault.REFUSE and start - self.deadline <= login <= end
            for start, end, fault in self.foul
        )

    async def stop(self) -> None:
        """Listen no more and cut what is left."""
        await self._port.stopListening()
        for link in list(self.links):
            link.reset()


class ProxiedConnection(Protocol):
    """A connection of the daemon, and the requests that are under way on it."""

    transport: Any

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._far_end: Any = None
        self._early: list[bytes] = []
        self._request = b""
        self._fault: Fault | None = None
        self._delayed_until = 0.0

    def connectionMade(self) -> None:
        """Go on to the sandbox."""
        self._proxy.links.add(self)
        self._proxy.far_end(self)

    def dataReceived(self, data: bytes) -> None:
        """A request, or the rest of one: pass it on, unless it meets a fault."""
        if data.startswith((b"GET ", b"POST ")):
            self._request = data
            self._fault = self._proxy.draw()
            sid, _ = _session(data)
            self._proxy.known.add(sid)
            if self._fault is not None and b"/default-invalidation-flow/" in data:
                self._proxy.hurt.add(sid)
        match self._fault:
            case Fault.RESET_BEFORE:
                self.reset()
            case Fault.SILENCE:
                pass
            case Fault.ERROR:
                self.transport.write(ERROR)
                self.transport.loseConnection()
            case _ if self._far_end is None:
                self._early.append(data)
            case _:
                self._far_end.write(data)

    def far_end_made(self, far_end: Any) -> None:
        """The connection to the sandbox is there."""
        self._far_end = far_end
        far_end.writeSequence(self._early)
        if self not in self._proxy.links:
            far_end.loseConnection()

    def answered(self, data: bytes) -> None:
        """An answer: pass it back, unless its request has met a fault."""
        self._look_for_login(data)
        match self._fault:
            case Fault.RESET_AFTER:
                self.reset()
            case Fault.TRUNCATED:
                self.transport.write(data[: len(data) // 2])
                self.transport.loseConnection()
            case Fault.DELAY:
                self._delay(self._proxy.chance.uniform(0, self._proxy.deadline))
                self._after_delay(self.transport.write, data)
            case _:
                self._delay(self._proxy.chance.uniform(0, self._proxy.slowness))
                self._after_delay(self.transport.write, data)

    def _look_for_login(self, data: bytes) -> None:
        (_, was_complete), (sid, is_complete) = _session(self._request), _session(data)
        if self._fault is not None and is_complete and not was_complete:
            self._proxy.hurt.add(sid)

    def far_end_lost(self) -> None:
        """The sandbox has hung up: so does the proxy, once all is said."""
        self._after_delay(self.transport.loseConnection)

    def _delay(self, seconds: float) -> None:
        self._delayed_until = max(self._delayed_until, self._proxy.reactor.seconds() + seconds)

    def _after_delay(self, act: Callable[..., object], *what: bytes) -> None:
        """Do something in its turn, after all that is delayed."""
        left = self._delayed_until - self._proxy.reactor.seconds()
        if left > 0:
            self._proxy.reactor.callLater(left, act, *what)
            self._delay(left + 0.001)  # One after the other.
        else:
            act(*what)

    def reset(self) -> None:
        """Hang up on the daemon."""
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The daemon has hung up."""
        self._proxy.links.discard(self)
        if self._far_end is not None:
            self._far_end.loseConnection()


class SandboxConnection(Protocol):
    """The connection to the sandbox that belongs to a link."""

    def __init__(self, link: ProxiedConnection) -> None:
        self._link = link

    def connectionMade(self) -> None:
        """Tell the link."""
        self._link.far_end_made(self.transport)

    def dataReceived(self, data: bytes) -> None:
        """Tell the link."""
        self._link.answered(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the link."""
        self._link.far_end_lost()


def _session(data: bytes) -> tuple[str, bool]:
    """The session that the cookie in a request or an answer names, and whether it is complete."""
    match = SESSION.search(data)
    session = read_session_cookie(None if match is None else match[1].decode("latin-1"))
    return session.sid or "", session.authenticated
