"""Findings of diagnostics: the value and its text."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """The state of what was looked at."""

    OK = "ok"
    WARNING = "warning"
    """It works, but something is to be done."""
    FAILURE = "failure"
    """It does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of looking at one thing.

    Attributes:
        name: what was looked at; the same in every version.
        message: what is the case, and what to do.
        help: URL of the page that explains it.
    """

    name: str
    state: State
    message: str
    help: str | None

    def __str__(self) -> str:
        """Return the line of text, which begins with the state."""
        text = f"{self.state.value}: {self.name}: {self.message}"
        if self.help is not None:
            text += f" See {self.help}"
        return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
