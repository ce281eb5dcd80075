"""HTML of tables, lists, times and numbers. Everything is a tree of ``twisted.web.template``.

Its texts are escaped when the tree is written, so no caller can forget to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, TypeAlias

from twisted.web.template import Tag, tags

Content: TypeAlias = str | Tag | tuple[str | Tag, ...]
"""Content of an element."""

_UNITS: Final = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))


def section(title: str, *content: Content, name: str) -> Tag:
    """Return a section with a heading. ``name``: its fragment."""
    heading = tags.h2(title, id=f"{name}-title")
    return tags.section(heading, *content, id=name, **{"aria-labelledby": f"{name}-title"})


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[Content]]) -> Tag:
    """Return a table whose first column names the row, and whose other columns are numbers."""
    top = tags.tr(*(tags.th(head, scope="col") for head in heads))
    body = [
        tags.tr(tags.th(first, scope="row"), *(tags.td(cell) for cell in cells))
        for first, *cells in rows
    ]
    return tags.table(tags.caption(caption), tags.thead(top), tags.tbody(*body))


def definitions(pairs: Iterable[tuple[str, Content]], *, class_: str = "facts") -> Tag:
    """Return a list of names and values."""
    return tags.dl(
        *(tags.div(tags.dt(name), tags.dd(value)) for name, value in pairs), class_=class_
    )


def named(name: Content, *details: Content) -> tuple[Tag, ...]:
    """Return a name, with details in small type below it."""
    small = (tags.span(text, class_="detail") for text in details)
    return (tags.span(name, class_="name"), *small)


def code(text: str) -> Tag:
    """Return a text in the type of code."""
    return tags.code(text)


def link(text: Content, url: str) -> Tag:
    """Return a link."""
    return tags.a(text, href=url)


def number(count: float) -> str:
    """Return a count with commas between thousands."""
    return f"{count:,.0f}"


def seconds(value: float) -> str:
    """Return a duration of at most minutes in seconds, as ``0.42 s``."""
    return f"{value:.2f} s"


def count(number_: int, noun: str) -> str:
    """Return a number and its noun, as ``1 check`` or ``2 checks``."""
    return f"{number_:,} {noun}" if number_ == 1 else f"{number_:,} {noun}s"


def duration(value: float) -> str:
    """Return a duration in its largest unit, as ``3 hours``."""
    for unit, size in _UNITS:
        if value >= size:
            return count(int(value // size), unit)
    return "0 seconds"


def clock_time(at: float) -> str:
    """Return the time of day in UTC."""
    return f"{_utc(at):%H:%M}"


def moment(at: float, now: float) -> Tag:
    """Return a time, with its distance from now."""
    same_day = _utc(at).date() == _utc(now).date()
    text = f"{_utc(at):%H:%M} UTC" if same_day else f"{_utc(at):%Y-%m-%d %H:%M} UTC"
    distance = f"{duration(now - at)} ago" if at <= now else f"in {duration(at - now)}"
    return tags.time(f"{text}, {distance}", datetime=f"{_utc(at):%Y-%m-%dT%H:%M:%SZ}")


def day(at: float, now: float) -> Tag:
    """Return a date, with its distance from now."""
    distance = f"{duration(now - at)} ago" if at <= now else f"in {duration(at - now)}"
    return tags.time(f"{_utc(at):%Y-%m-%d}, {distance}", datetime=f"{_utc(at):%Y-%m-%dT%H:%M:%SZ}")


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
