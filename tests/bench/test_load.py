"""The load: what it makes of answers, and how it uses connections."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from tests.bench.load import FalseVerdictError, Load
from tests.parametrize import parametrize

RIGHT: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
WRONG: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}"
LATER: Final = b"HTTP/1.1 503 Later\r\nRetry-After: 0\r\nContent-Length: 2\r\n\r\n{}"
CLOSING: Final = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
NOTHING: Final = b""


class FixedConnection(asyncio.Protocol):
    """Answers each request with the same bytes. ``opened``: all connections of a server."""

    def __init__(self, answer: bytes, opened: list[FixedConnection]) -> None:
        self._answer = answer
        opened.append(self)

    def connection_made(self, transport: Any) -> None:
        """See :class:`asyncio.BaseProtocol`."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer. A request comes in one piece."""
        self._transport.write(self._answer)
        if self._answer in (NOTHING, CLOSING):
            self._transport.close()


def with_server(answer: bytes, body: Callable[[int], Awaitable[object]]) -> int:
    """Run ``body`` with the port of a server. Return how many connections it was asked for."""
    opened: list[FixedConnection] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(
            lambda: FixedConnection(answer, opened), "127.0.0.1", 0
        )
        try:
            await body(listening.sockets[0].getsockname()[1])
        finally:
            # Not the end of "async with", which waits for the clients from Python 3.12 on.
            listening.close()

    asyncio.run(run())
    return len(opened)


async def checks(load: Load, number: int) -> None:
    """Make checks one after the other."""
    connection = None
    for _ in range(number):
        connection = await load.check(connection)
    if connection is not None:
        connection.close()


class AnswerTests(SynchronousTestCase):
    """Answers are sorted into right, later and none."""

    @parametrize(
        {
            "accepted": (RIGHT, (3, 0, 0)),
            "later": (LATER, (0, 3, 0)),
            "nothing": (NOTHING, (0, 0, 3)),
        }
    )
    def test_sorted(self, answer: bytes, expected: tuple[int, int, int]) -> None:
        """Each check counts once."""
        found: list[Load] = []

        async def body(port: int) -> None:
            found.append(Load(port))
            await checks(found[0], 3)

        with_server(answer, body)
        [load] = found
        sorted_into = (len(load.right()), len(load.told_later()), load.unanswered())
        self.assertEqual(sorted_into, expected)

    @parametrize({"wrong for a right one": (WRONG, 0), "right for a wrong one": (RIGHT, 1)})
    def test_a_false_verdict_ends_the_run(self, answer: bytes, wrong: int) -> None:
        """The speed of a server that is not right says nothing."""

        async def body(port: int) -> None:
            await checks(Load(port, wrong=wrong), 1)

        self.assertRaises(FalseVerdictError, with_server, answer, body)

    def test_a_wrong_password_is_refused(self) -> None:
        """A refusal is the true verdict then, and no acceptance."""
        loads: list[Load] = []

        async def body(port: int) -> None:
            loads.append(Load(port, wrong=1))
            await checks(loads[0], 2)

        with_server(WRONG, body)
        self.assertEqual([answer.status for answer in loads[0].answers], [400, 400])
        self.assertEqual(loads[0].right(), [])

    def test_a_closed_port(self) -> None:
        """A check that finds nobody is not answered."""
        loads: list[Load] = []

        async def body(port: int) -> None:
            loads.append(Load(1))
            await checks(loads[0], 1)

        with_server(RIGHT, body)
        self.assertEqual(loads[0].unanswered(), 1)


class ConnectionTests(SynchronousTestCase):
    """Connections are kept as long as both sides want it."""

    @parametrize(
        {
            "kept alive": (RIGHT, True, 1),
            "one for each check": (RIGHT, False, 3),
            "closed by the server": (CLOSING, True, 3),
        }
    )
    def test_connections(self, answer: bytes, keep_alive: bool, expected: int) -> None:
        """Three checks."""

        async def body(port: int) -> None:
            await checks(Load(port, keep_alive=keep_alive), 3)

        self.assertEqual(with_server(answer, body), expected)


class OpenLoopTests(SynchronousTestCase):
    """Checks at a constant rate."""

    def test_all_checks_are_begun_and_answered(self) -> None:
        """As many as the rate says, each for another user."""
        loads: list[Load] = []

        async def body(port: int) -> None:
            loads.append(Load(port))
            await loads[0].open_loop(500, 0.1)
            assert loads[0].all_begun.is_set()

        with_server(RIGHT, body)
        users = {answer.check.username for answer in loads[0].right()}
        self.assertEqual(len(users), 50)
