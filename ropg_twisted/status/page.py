"""Status page: is the daemon well, since when, and if not, what to do.

The page is a tree of ``twisted.web.template``: it is here already, and escapes every text by
default. There is no script and no style in it, so the Content-Security-Policy forbids both.
"""

from __future__ import annotations

import platform
from importlib.resources import files
from typing import Final

from twisted.web.template import Tag, flattenString, tags

from ropg_twisted import __version__
from ropg_twisted.remedies import DOCUMENTATION
from ropg_twisted.status import sections
from ropg_twisted.status.charts import patterns
from ropg_twisted.status.html import clock_time, code, link, moment
from ropg_twisted.status.problems import Problem, Severity, find_problems
from ropg_twisted.status.state import State
from twisted import __version__ as twisted_version

STYLE: Final = files("ropg_twisted.status").joinpath("page.css").read_bytes()
"""The style sheet of the page."""

STYLE_PATH: Final = "status.css"

_WORDS: Final = {None: "Ready", Severity.ATTENTION: "Attention", Severity.DOWN: "Down"}

_SHAPES: Final = {
    None: "M5 13l5 5L20 7",
    Severity.ATTENTION: "M12 4v11M12 19v1",
    Severity.DOWN: "M6 6l12 12M18 6L6 18",
}
"""Shapes of the signs, in a square of 24: a tick, an exclamation mark, a cross."""


async def render(state: State) -> bytes:
    """Return the page."""
    problems = find_problems(state)
    headline = problems[0] if problems else None
    title = "All is well" if headline is None else headline.title
    page = tags.html(
        tags.head(
            tags.meta(charset="utf-8"),
            tags.meta(name="viewport", content="width=device-width, initial-scale=1"),
            tags.meta(name="color-scheme", content="light dark"),
            tags.title(f"{title} - ropg-twisted"),
            tags.link(rel="stylesheet", href=STYLE_PATH),
        ),
        tags.body(
            tags.a("Skip to the content", href="#content", class_="skip"),
            _header(state),
            Tag("main")(
                _well(state) if headline is None else _problem(headline, state, first=True),
                *(_problem(problem, state, first=False) for problem in problems[1:]),
                sections.glance(state),
                sections.period(state, "hour"),
                sections.period(state, "day"),
                sections.reasons(state),
                sections.authentik(state),
                sections.clients(state),
                sections.keys(state),
                sections.limits(state),
                id="content",
            ),
            _footer(),
            patterns(),
        ),
        lang="en",
    )
    return b"<!DOCTYPE html>\n" + await flattenString(None, page)


def _header(state: State) -> Tag:
    return tags.header(
        tags.p(tags.strong("ropg-twisted"), " ", code(state.settings.issuer), class_="product"),
        tags.p(
            "As of ",
            tags.strong(f"{clock_time(state.now)} UTC"),
            ". All times are in UTC. ",
            link("Load again", "./"),
            class_="as-of",
        ),
    )


def _well(state: State) -> Tag:
    meaning = "Authentik answers, and passwords are checked."
    if not any(interval.checks for interval in state.day.intervals):
        meaning = "Authentik answers. No password has been checked yet."
    since = moment(state.since, state.now)
    return tags.section(
        _sign(None),
        tags.h1("All is well", id="state"),
        tags.p("Since ", since, ".", class_="since"),
        tags.p(meaning),
        class_="state well",
        **{"aria-labelledby": "state"},
    )


def _problem(problem: Problem, state: State, *, first: bool) -> Tag:
    content: list[Tag] = [_sign(problem.severity)]
    content.append(tags.h1(problem.title) if first else tags.h2(problem.title))
    if problem.since is not None:
        content.append(tags.p("Since ", moment(problem.since, state.now), ".", class_="since"))
    content.append(tags.p(problem.meaning))
    if problem.remedy:
        content.append(tags.p(tags.strong("What to do: "), problem.remedy, class_="remedy"))
    content.append(tags.p(link(("More about ", code(problem.help_text)), problem.help)))
    return tags.section(*content, class_=f"state {problem.severity.name.lower()}")


def _sign(severity: Severity | None) -> Tag:
    path = Tag("path")(d=_SHAPES[severity])
    picture = Tag("svg")(path, viewBox="0 0 24 24", **{"aria-hidden": "true"})
    return tags.p(picture, " ", _WORDS[severity], class_="sign")


def _footer() -> Tag:
    return tags.footer(
        tags.p(
            f"ropg-twisted {__version__}, Python {platform.python_version()}, "
            f"Twisted {twisted_version}"
        ),
        tags.nav(
            tags.ul(
                tags.li(link("Metrics for Prometheus", "metrics")),
                tags.li(link("Readiness as JSON", "ready")),
                tags.li(link("Documents", DOCUMENTATION)),
            ),
            **{"aria-label": "Elsewhere"},
        ),
    )
