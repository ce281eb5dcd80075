"""Authentik's ``LDAPBackend``: a password is right if a bind at a directory succeeds with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from twisted.internet.defer import Deferred

from ropg_twisted.sandbox.accounts import Account
from ropg_twisted.sandbox.directory import Directory, DirectoryState, Entry
from ropg_twisted.sandbox.flow.sessions import Clock


@dataclass(slots=True)
class Source:
    """LDAP source of Authentik: a directory under a name of its own."""

    slug: str
    directory: Directory
    enabled: bool = True


class LDAPBackend:
    """Binds as a user at each enabled source, until one accepts the password.

    Whatever goes wrong with a bind is a refusal, as in Authentik. Whether a user is disabled in
    Authentik is not looked at.
    """

    def __init__(self, clock: Clock, sources: Iterable[Source]) -> None:
        self._clock = clock
        self.sources = {source.slug: source for source in sources}
        self.directories = {
            source.directory.slug: source.directory for source in self.sources.values()
        }

    async def authenticate(self, account: Account, password: str) -> bool:
        """Return whether the bind at a source succeeds. A user may be unknown to a source."""
        for source in self.sources.values():
            if source.enabled and await self._bind(source.directory, account.username, password):
                return True
        return False

    def should_accept(self, account: Account, password: str) -> bool:
        """Return whether the directory of this user accepts the password while it works."""
        directory = self.directories.get(account.directory or "")
        return directory is not None and directory.accepts(account.username, password)

    async def _bind(self, directory: Directory, username: str, password: str) -> bool:
        match directory.state:
            case DirectoryState.UP:
                return directory.answer(username, password)
            case DirectoryState.DOWN:
                return False
            case DirectoryState.SLOW if directory.slow_seconds < directory.hung_seconds:
                await self._wait(directory.slow_seconds)
                return directory.answer(username, password)
            case DirectoryState.SLOW | DirectoryState.HUNG:
                await self._wait(directory.hung_seconds)
                return False
            case DirectoryState.SICK:
                return not directory.meets_sick_server() and directory.answer(username, password)
            case DirectoryState.ACCEPTS_ANY:
                return True
            case _ as unknown:
                assert_never(unknown)

    async def _wait(self, seconds: float) -> None:
        done: Deferred[None] = Deferred()
        self._clock.callLater(seconds, done.callback, None)
        await done


def sources_of(accounts: Iterable[Account]) -> list[Source]:
    """Return a source for each directory of these accounts, and a second one for the first.

    The second one is disabled at first. With it, each wrong password costs one more failed bind.
    """
    directories: dict[str, Directory] = {}
    for account in accounts:
        if account.directory is not None:
            directory = directories.setdefault(account.directory, Directory(account.directory))
            directory.entries[account.username] = Entry(account.password)
    sources = [Source(slug, directory) for slug, directory in directories.items()]
    again = [Source(f"{first.slug}-again", first.directory, enabled=False) for first in sources[:1]]
    return sources + again
