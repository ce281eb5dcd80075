"""A fleet of Macs in a closed loop, whose users are all in one directory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

import treq
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.web.client import Agent, HTTPConnectionPool

from ropg_twisted.sandbox.accounts import Account
from tests.daemon import PATIENCE

MACS: Final = 200
PASSWORD: Final = "correct horse of the fleet"
PAUSE: Final = 0.05
"""Seconds until a Mac asks again."""

DIRECTORY: Final = "fleet"

FLEET: Final = [
    Account(
        1000 + number,
        f"mac{number}",
        f"Mac {number}",
        hashlib.sha256(b"%d" % number).hexdigest(),
        PASSWORD,
        directory=DIRECTORY,
    )
    for number in range(MACS)
]

ANSWERS: Final = {(200, ""), (400, "invalid_grant"), (503, "temporarily_unavailable")}


class Fleet:
    """The Macs at the daemon at ``url``. Each checks the right password of its user."""

    def __init__(self, reactor: Any, url: str) -> None:
        self._reactor = reactor
        self._url = f"{url}/oauth/token"
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = MACS
        self._agent = Agent(reactor, pool=self._pool)

    async def run(self, goes_on: Callable[[str, int, int], bool]) -> dict[str, set[int]]:
        """Run all Macs in a closed loop. Return the statuses that each was answered.

        ``goes_on``: returns whether a Mac checks again, after its user name, its last status and
        the number of its checks. Fails with :exc:`AssertionError` for an unexpected answer.
        """
        statuses: dict[str, set[int]] = {account.username: set() for account in FLEET}

        async def run(username: str) -> None:
            checks = 0
            while True:
                status, error = await self._check(username)
                assert (status, error) in ANSWERS, (status, error)
                statuses[username].add(status)
                checks += 1
                if not goes_on(username, status, checks):
                    return
                await deferLater(self._reactor, PAUSE)

        macs = [Deferred.fromCoroutine(run(account.username)) for account in FLEET]
        await gatherResults(macs, consumeErrors=True)
        return statuses

    async def _check(self, username: str) -> tuple[int, str]:
        """Return the status and the error of a check; an empty text for no error."""
        form = {"grant_type": "password", "client_id": "jamf-connect", "username": username}
        response = await treq.post(
            self._url, data={**form, "password": PASSWORD}, agent=self._agent, timeout=PATIENCE
        )
        return response.code, (await response.json()).get("error", "")

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.closeCachedConnections()


def told_wrong(statuses: dict[str, set[int]]) -> set[str]:
    """Return the users who were told that their password is wrong."""
    return {username for username, each in statuses.items() if 400 in each}
