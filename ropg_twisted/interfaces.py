"""The seam between the OAuth side and Authentik, and what crosses it."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field

from zope.interface import Interface

from ropg_twisted.verdict import Outcome, Reason


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a person typed."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Person:
    """Who a verified password belongs to.

    ``sub``: the subject of the tokens; Authentik's ``uid``, as in its own tokens.
    ``name`` and ``email`` may be empty. ``groups``: names.
    """

    sub: str
    username: str
    name: str = ""
    email: str = ""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """What a password check came to. There is a person if, and only if, it is verified."""

    outcome: Outcome
    person: Person | None = None


class IPasswordVerifier(Interface):
    """Something that can say whether a password is right."""

    def verify(credentials: Credentials) -> Awaitable[Check]:
        """Check one password, within a deadline.

        Whatever goes wrong on the way is an outcome and no exception: ``unverifiable``, with its
        reason. Cancelling the wait gives up the check.
        """

    def readiness() -> Awaitable[Reason | None]:
        """Why no password could be checked now, or ``None`` if one could."""
