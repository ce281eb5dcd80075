"""Stacked bars as SVG, with a legend, and with a table that has the same figures.

The picture is stretched to the width of the page, so it has no text in it: the labels of its axes
are HTML. Each series has a pattern of its own besides its colour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from twisted.web.template import Tag, tags

from ropg_twisted.status.html import table
from ropg_twisted.telemetry.history import Interval, Period

HEIGHT: Final = 120
"""Height of a picture, in pixels as in units."""

WIDTH: Final = 10
"""Width of an interval, in units."""

_SVG: Final = "http://www.w3.org/2000/svg"


@dataclass(frozen=True, slots=True)
class Series:
    """The part of each bar that stands for one thing.

    Attributes:
        name: of its colour and pattern in the style sheet.
        value: returns its value in an interval.
    """

    name: str
    label: str
    value: Callable[[Interval], float]


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture of a period.

    Attributes:
        title: what the bars show.
        of: the name of the period.
        least: the least value at the top of the picture.
        write: returns a value as text.
        start: returns the start of an interval of the given age, as text.
        summary: the whole period in one sentence.
    """

    title: str
    of: str
    period: Period
    series: Sequence[Series]
    least: float
    write: Callable[[float], str]
    start: Callable[[float], str]
    summary: str

    def render(self) -> Tag:
        """Return the picture with its labels, legend and table."""
        top = _round_up(max(self.least, *map(self._sum, self.period.intervals)))
        full = self.period.seconds * self.period.length
        return tags.figure(
            tags.figcaption(tags.strong(self.title), " ", tags.span(self.summary, class_="detail")),
            tags.div(
                tags.span(self.write(top), class_="top"),
                self._picture(top),
                tags.span(self.start(full), class_="left"),
                tags.span(self.start(full / 2), class_="middle"),
                tags.span("now", class_="right"),
                class_="chart",
            ),
            tags.ul(*(self._legend(series) for series in self.series), class_="legend"),
            self._figures(),
        )

    def _sum(self, interval: Interval) -> float:
        return sum(series.value(interval) for series in self.series)

    def _picture(self, top: float) -> Tag:
        length, intervals = self.period.length, self.period.intervals
        missing = WIDTH * (length - len(intervals))
        parts = [_rectangle("ground", 0, 0, WIDTH * length, HEIGHT)]
        if missing:
            parts.append(_rectangle("before", 0, 0, missing, HEIGHT))
        for position, interval in enumerate(intervals):
            left, y = missing + WIDTH * position, float(HEIGHT)
            for series in self.series:
                height = series.value(interval) / top * (HEIGHT - 1)
                if height:
                    y -= height
                    parts.append(
                        _rectangle(f"series {series.name}", left + 1, y, WIDTH - 2, height)
                    )
                    if series.name in _STRIPES:
                        parts.append(_stripes(series.name, left + 1, y, height))
        return _svg(
            *parts,
            viewBox=f"0 0 {WIDTH * length} {HEIGHT}",
            preserveAspectRatio="none",
            role="img",
            **{"aria-label": f"{self.title} in {self.of}. {self.summary}"},
        )

    def _legend(self, series: Series) -> Tag:
        swatch = [_rectangle(f"series {series.name}", 0, 0, 16, 16)]
        if series.name in _STRIPES:
            swatch.append(_stripes(series.name, 0, 0, 16, 16))
        picture = _svg(*swatch, viewBox="0 0 16 16", **{"aria-hidden": "true"})
        return tags.li(picture, " ", series.label)

    def _figures(self) -> Tag:
        rows = [
            (
                self.start(self.period.age(position)),
                *(self.write(series.value(interval)) for series in self.series),
            )
            for position, interval in enumerate(self.period.intervals)
            if self._sum(interval)
        ]
        heads = ("From (UTC)", *(series.label for series in self.series))
        content: Tag = tags.p("Nothing has happened in this time.")
        if rows:
            content = tags.div(
                table(
                    f"{self.title} in {self.of}, without intervals in which nothing happened",
                    heads,
                    rows,
                ),
                class_="wide",
                role="region",
                tabindex="0",
                **{"aria-label": f"Table: {self.title} in {self.of}"},
            )
        return tags.details(tags.summary(f"Figures of {self.of}: {self.title.lower()}"), content)


def patterns() -> Tag:
    """Return the stripes of all series, which the pictures of a page refer to."""
    definitions = (
        Tag("pattern")(
            _rectangle("stripe", 0, 0, WIDTH, thickness),
            id=f"stripes-{key}",
            width=str(WIDTH),
            height=str(distance),
            patternUnits="userSpaceOnUse",
        )
        for key, (distance, thickness) in _STRIPES.items()
    )
    return _svg(Tag("defs")(*definitions), class_="patterns", **{"aria-hidden": "true"})


_STRIPES: Final = {
    "interaction": (6, 2),
    "denied": (4, 1.5),
    "flow": (6, 2),
    "access": (4, 1.5),
    "tokens": (8, 4),
}
"""Distance and thickness of the stripes of a series."""


def _stripes(key: str, x: float, y: float, height: float, width: float = WIDTH - 2) -> Tag:
    """Return stripes, which stretching does not change because they are horizontal."""
    return _rectangle("stripes", x, y, width, height)(fill=f"url(#stripes-{key})")


def _rectangle(class_: str, x: float, y: float, width: float, height: float) -> Tag:
    size = {"x": x, "y": y, "width": width, "height": height}
    return Tag("rect")(class_=class_, **{name: f"{value:.2f}" for name, value in size.items()})


def _svg(*content: Tag, **attributes: str) -> Tag:
    return Tag("svg")(*content, xmlns=_SVG, focusable="false", **attributes)


def _round_up(value: float) -> float:
    """Return the next round number, at least one hundredth."""
    step = 0.01
    while True:
        for factor in (1, 1.2, 1.5, 2, 3, 4, 5, 6, 8):
            if value <= factor * step:
                return factor * step
        step *= 10
