"""The seam between the OAuth side and Authentik, and what crosses it."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import Interface

from ropg_twisted.verdict import Outcome, Reason


@dataclass(frozen=True, slots=True)
class Login:
    """What a person typed, and the address of the machine that asks; ``None`` if it has none."""

    username: str
    password: str = field(repr=False)
    address: str | None = None


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


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a password could be checked now.

    ``obstacle``: why not. ``warning``: what is wrong though it could.
    """

    obstacle: Reason | None = None
    warning: Reason | None = None


class IPasswordVerifier(Interface):
    """Something that can say whether a password is right."""

    def verify(login: Login) -> Coroutine[Deferred[Any], Any, Check]:
        """Check one password.

        Whatever goes wrong on the way is an outcome and no exception: ``unverifiable``, with its
        reason. Cancelling the wait gives up the check.
        """


class IReadiness(Interface):
    """Something that knows whether a password could be checked now."""

    def look() -> Coroutine[Deferred[Any], Any, Readiness]:
        """Look now, within a deadline. No fault on the way is an exception."""
