"""The load: clients in a closed loop, and checks at a constant rate."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from typing import Final

from tests.bench.connection import Answer, Check, Connection, connect

MAX_WAIT: Final = 5.0
"""Seconds that a client which was told *later* waits at most, whatever ``Retry-After`` says."""


class FalseVerdictError(Exception):
    """A server gave a verdict that is not true, so its speed says nothing."""


@dataclass
class Load:
    """Makes checks at one server.

    Attributes:
        port: where the server listens.
        tls: speak TLS.
        keep_alive: use a connection for more than one check, if the server lets it.
        wrong: one in so many checks has a wrong password; 0 for none.
        answers: all answers of this load.
    """

    port: int
    tls: bool = False
    keep_alive: bool = True
    wrong: int = 0
    answers: list[Answer] = field(default_factory=list)
    all_begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def check(self, connection: Connection | None = None) -> Connection | None:
        """Make one check, on ``connection`` if it is open. Return the connection to use again.

        Raises :exc:`FalseVerdictError`.
        """
        number = next(_numbers)
        check = Check(number, right=not self.wrong or number % self.wrong != 0)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        if connection is None or not connection.is_open:
            try:
                connection = await connect(self.port, tls=self.tls)
            except OSError:
                self.answers.append(Answer(check, 0, loop.time() - begun, loop.time()))
                return None
        answer = await connection.ask(check)
        if answer.status and answer.is_false:
            raise FalseVerdictError(f"{answer.status} for {check}: {answer.body[:200]!r}")
        self.answers.append(answer)
        if not self.keep_alive or not connection.is_open:
            connection.close()
            return None
        return connection

    async def closed_loop(
        self, clients: int, seconds: float, *, pause: float = 0.0, ramp: float = 0.0
    ) -> None:
        """Run clients that check again when they have been answered.

        Args:
            seconds: how long checks are begun.
            pause: seconds between an answer and the next check.
            ramp: seconds in which the clients begin, one after the other.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds

        async def client(number: int) -> None:
            await asyncio.sleep(ramp * number / clients)
            connection: Connection | None = None
            while loop.time() < end:
                before = len(self.answers)
                connection = await self.check(connection)
                if wait := pause + self._retry_after(before):
                    await asyncio.sleep(min(wait, max(0.0, end - loop.time())))
            if connection is not None:
                connection.close()

        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(client(number))

    async def open_loop(self, rate: float, seconds: float) -> None:
        """Begin ``rate`` checks a second, whether or not earlier ones have been answered.

        Sets :attr:`all_begun` then, and returns when all have been answered.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        idle: list[Connection] = []

        async def one() -> None:
            connection = await self.check(idle.pop() if idle else None)
            if connection is not None:
                idle.append(connection)

        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                delay = begun + number / rate - loop.time()
                if delay > 0:
                    await asyncio.sleep(delay)
                group.create_task(one())
            self.all_begun.set()
        for connection in idle:
            connection.close()

    def right(self, begun: float = 0.0, ended: float = inf) -> list[Answer]:
        """Return the answers that accept a password and came between two times."""
        return [
            answer
            for answer in self.answers
            if answer.status == 200 and begun <= answer.ended < ended
        ]

    def told_later(self) -> list[Answer]:
        """Return the answers that ask the client to come again."""
        return [answer for answer in self.answers if answer.is_told_later]

    def unanswered(self) -> int:
        """Return the number of checks without an answer."""
        return sum(answer.status == 0 for answer in self.answers)

    def _retry_after(self, before: int) -> float:
        """Return the seconds that the last answer asks for, if it says *later*."""
        if len(self.answers) > before and self.answers[-1].is_told_later:
            with suppress(KeyError, ValueError):
                return min(MAX_WAIT, float(self.answers[-1].headers[b"retry-after"]))
            return 1.0
        return 0.0


_numbers = itertools.count(1)


async def until_right(port: int, *, tls: bool, goes_on: Callable[[], bool]) -> None:
    """Wait until the server accepts a right password.

    Raises :exc:`RuntimeError` if it does not, or has ended.
    """
    for _ in range(300):
        load = Load(port, tls=tls)
        with suppress(OSError):
            connection = await load.check()
            if connection is not None:
                connection.close()
        if load.answers and load.answers[-1].status == 200:
            return
        if not goes_on():
            break
        await asyncio.sleep(0.1)
    raise RuntimeError("the server does not accept a right password")
