"""The log: one line per event, as JSON or as text."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure
from zope.interface import implementer

OURS: Final = "ropg_twisted"


class LogDestination(Protocol):
    """A file to write lines to. It has ``isatty()`` if it may be a terminal."""

    def write(self, line: str, /) -> object:
        """Write a line that ends with a newline."""


@implementer(ILogObserver)
class LineObserver:
    """Writes each event of this program, and warnings of others, as one line."""

    def __init__(self, out: LogDestination, format_line: Callable[[LogEvent], str]) -> None:
        self._out = out
        self._format_line = format_line

    def __call__(self, event: LogEvent) -> None:
        """See :class:`ILogObserver`."""
        ours = str(event.get("log_namespace", "")).startswith(OURS)
        if ours or event.get("log_level", LogLevel.info) >= LogLevel.warn:
            self._out.write(self._format_line(event) + "\n")


def make_observer(out: LogDestination, style: str | None) -> LineObserver:
    """Return an observer that writes to ``out``.

    ``style``: ``json`` or ``text``; ``None`` is ``text`` for a terminal, otherwise ``json``.
    """
    if style is None:
        isatty = getattr(out, "isatty", None)
        style = "text" if isatty is not None and isatty() else "json"
    return LineObserver(out, json_line if style == "json" else text_line)


def json_line(event: LogEvent) -> str:
    """Return the event as a JSON object: time, level, message, and the fields of the event."""
    fields = {name: _plain(value) for name, value in event.items() if not _is_internal(name)}
    return json.dumps({**_head(event), "message": _message(event), **fields})


def text_line(event: LogEvent) -> str:
    """Return the event as text. Unprintable characters are escaped, so no line can be forged."""
    head = _head(event)
    line = f"{head['time']} {head['level']:8} {_message(event)}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def _head(event: LogEvent) -> dict[str, str]:
    moment = datetime.fromtimestamp(event["log_time"], UTC)
    level = event.get("log_level", LogLevel.info)
    return {"time": moment.isoformat(timespec="milliseconds"), "level": level.name}


def _message(event: LogEvent) -> str:
    """Return the event's text; of an exception only type and place: its text may be secret."""
    failure = event.get("log_failure") or event.get("failure")
    if failure is None:
        return formatEvent(event)
    text = event.get("why") if "failure" in event else formatEvent(event)
    return f"{text or 'unexpected'}: {failure.type.__qualname__} at {failure_place(failure)}"


def failure_place(failure: Failure) -> str:
    """Return where an exception was raised, innermost function first."""
    return " < ".join(f"{frame[0]}:{frame[2]}" for frame in reversed(failure.frames))


def _is_internal(name: str) -> bool:
    return name.startswith("log_") or name in _LEGACY


_LEGACY: Final = frozenset(
    ("time", "format", "message", "isError", "system", "failure", "why", "logLevel")
)
"""Fields that Twisted's legacy log functions add to an event."""


def _plain(value: object) -> object:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
