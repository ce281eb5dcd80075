"""Guesses at passwords, and what they may lead to."""

from __future__ import annotations

from typing import Any, Final, cast

from twisted.internet import reactor as running

reactor: Final = cast(Any, running)

ALLOWED: Final = 10
"""Refused guesses of one user in a quarter of an hour, by default."""

GUESSES: Final = 58
"""Fewer than the checks that one address has in a minute."""

HOME, STRANGER = "198.51.100.1", "192.0.2.7"
