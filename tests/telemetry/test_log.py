"""The log: one event a line, whatever is in it, and never the text of an exception."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any, TextIO, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import Logger, LogLevel, globalLogPublisher
from twisted.python import log as legacy
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.telemetry.log import make_observer
from tests.parametrize import parametrize

SECRET = "typed-secret"

EVENT = {
    "log_namespace": "ropg_twisted.api.token",
    "log_level": LogLevel.info,
    "log_format": "check of {username}: {verdict}",
    "log_time": 1_800_000_000.5,
    "username": "alice",
    "verdict": "rejected",
    "seconds": 0.25,
    "nothing": None,
    "thing": ("a", 1),
}


class Terminal(StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        """Be one."""
        return True


def logged(style: str | None, event: dict[str, Any], out: StringIO | None = None) -> str:
    """The line that is written for an event."""
    out = StringIO() if out is None else out
    make_observer(out, style)(event)
    return out.getvalue()


def fail_deeply() -> None:
    """Raise an exception out of another, both with a text that nobody may read."""
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        raise KeyError(SECRET) from error


class LineTests(SynchronousTestCase):
    """Events as lines."""

    def test_json(self) -> None:
        """A line is a JSON object: time in UTC, level, message, and each field by its name."""
        line = logged("json", EVENT)
        self.assertEqual((line.count("\n"), line[-1]), (1, "\n"))
        self.assertEqual(
            json.loads(line),
            {
                "time": "2027-01-15T08:00:00.500+00:00",
                "level": "info",
                "message": "check of alice: rejected",
                "username": "alice",
                "verdict": "rejected",
                "seconds": 0.25,
                "nothing": None,
                "thing": "('a', 1)",
            },
        )

    def test_text(self) -> None:
        """A line has time, level and message."""
        self.assertEqual(
            logged("text", EVENT),
            "2027-01-15T08:00:00.500+00:00 info     check of alice: rejected\n",
        )

    def test_the_style_fits_where_it_goes(self) -> None:
        """Text on a terminal, JSON on a pipe and in twistd's log file, unless told otherwise."""
        files: list[tuple[TextIO, Callable[[], str]]] = []
        for memory in (Terminal(), StringIO()):
            files.append((memory, memory.getvalue))
        file = LogFile.fromFullPath(self.mktemp())
        self.addCleanup(file.close)
        files.append((cast(TextIO, file), Path(file.path).read_text))
        for (out, content), fitting in zip(files, ("text", "json", "json"), strict=True):
            for style in (None, "text", "json"):
                before = len(content())
                make_observer(out, style)(EVENT)
                line = content()[before:]
                self.assertEqual(line, logged(style or fitting, EVENT), f"{out} {style}")

    @parametrize(
        {
            "LF": ("a\nb", r"a\nb"),
            "CR LF": ("a\r\nb", r"a\r\nb"),
            "terminal sequences": ("\x1b[2J\x1b]0;x\x07", r"\x1b[2J\x1b]0;x\x07"),
            "other line ends": ("a\u2028b\x85\x0b\x0c", r"a\u2028b\x85\x0b\x0c"),
            "right to left": ("\u202ebob", r"\u202ebob"),
            "lone surrogate and NUL": ("\udcff\0", r"\udcff\x00"),
            "other scripts": ("Jürgen 李 😀", "Jürgen 李 😀"),
        }
    )
    def test_no_name_forges_a_line(self, name: str, shown: str) -> None:
        """Line ends and terminal sequences are escaped, and the rest can be read as it is."""
        line = logged("text", {**EVENT, "username": name})
        self.assertIn(f" check of {shown}: rejected\n", line)

    @given(st.text(st.characters(exclude_categories=[])))
    def test_an_event_is_one_line(self, name: str) -> None:
        """Any text is one printable line, and comes out of JSON as it went in."""
        for style in ("text", "json"):
            line = logged(style, {**EVENT, "username": name})
            self.assertTrue(line[:-1].isprintable() and line.endswith("\n"), repr(line))
        self.assertEqual(json.loads(line)["username"], name)


class ExceptionTests(SynchronousTestCase):
    """Exceptions in the log."""

    def assert_safe(self, line: str, message: str) -> None:
        """The line says kind and place, and nothing of the exception's text."""
        self.assertNotIn(SECRET, line)
        self.assertEqual(line.count("\n"), 1, line)
        self.assertIn(message, line)
        self.assertRegex(line, r"KeyError at fail_deeply:\d+ < ")

    def test_our_failures(self) -> None:
        """An event with a failure has its kind and place in its message."""
        for style in ("text", "json"):
            out = StringIO()
            log = Logger("ropg_twisted.api.app", observer=make_observer(out, style))
            try:
                fail_deeply()
            except KeyError:
                log.failure("internal_error {request}", request="r-1")
            self.assert_safe(out.getvalue(), "internal_error r-1: KeyError at ")

    def test_failures_of_others(self) -> None:
        """So has one by Twisted's older functions, which many of its parts still use."""
        for style in ("text", "json"):
            out = StringIO()
            observer = make_observer(out, style)
            globalLogPublisher.addObserver(observer)
            try:
                fail_deeply()
            except KeyError:
                legacy.err(Failure(), "somewhere else")
            finally:
                globalLogPublisher.removeObserver(observer)
            self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
            self.assert_safe(out.getvalue(), "somewhere else: KeyError at ")


class SelectionTests(SynchronousTestCase):
    """Selection of the events that are written."""

    @parametrize(
        {
            "ours, debug": ("ropg_twisted.service", LogLevel.debug, True),
            "ours, info": ("ropg_twisted.service", LogLevel.info, True),
            "site, info": ("twisted.web.server.Site", LogLevel.info, False),
            "treq, debug": ("treq", LogLevel.debug, False),
            "legacy, info": ("log_legacy", LogLevel.info, False),
            "site, warning": ("twisted.web.server.Site", LogLevel.warn, True),
            "legacy, critical": ("log_legacy", LogLevel.critical, True),
        }
    )
    def test_others_are_heard_when_they_warn(
        self, namespace: str, level: Any, written: bool
    ) -> None:
        """All of this program's events are written, and those of others from a warning on."""
        line = logged("text", {**EVENT, "log_namespace": namespace, "log_level": level})
        self.assertEqual(bool(line), written)
