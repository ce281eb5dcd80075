"""Errors of settings, and the exit status of a daemon that cannot start for them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar


class InvalidValueError(Exception):
    """The problem with one value, as the words that follow the name of its setting."""


class SettingError(Exception):
    """A missing or invalid setting, as one line that names it and shows a valid example.

    ``setting``: its name. ``status``: the exit status of the process (sysexits.h).
    """

    status: ClassVar[int] = os.EX_CONFIG

    def __init__(self, setting: str, problem: str, example: str) -> None:
        super().__init__(_one_line(f"{setting} {problem}; for example: {example}"))
        self.setting = setting


class ListenError(SettingError):
    """An endpoint that the system does not allow us to listen at. The next start may succeed."""

    status = os.EX_OSERR


class UnknownSettingError(SettingError):
    """A name that is not a setting. ``known``: the names that are; ``place``: where it stands."""

    def __init__(self, name: str, known: Iterable[str], place: str = "") -> None:
        names = {_bare(each): each for each in known}
        nearest = get_close_matches(_bare(name), names, n=1)
        hint = f"did you mean {names[nearest[0]]}?" if nearest else "see docs/settings.md for all"
        Exception.__init__(self, _one_line(f"unknown setting {name}{place}; {hint}"))
        self.setting = name


class ConflictError(SettingError):
    """Two settings of which only one may be set. ``place``: where they stand, with a colon."""

    def __init__(self, setting: str, other: str, place: str = "") -> None:
        Exception.__init__(self, _one_line(f"{place}set either {setting} or {other}, not both"))
        self.setting = setting


def _bare(name: str) -> str:
    """Return a name without what the environment adds to that of the settings file."""
    return name.lower().removeprefix("ropg_")


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
