"""``ropg`` and its commands: mistakes of ours, a port that is taken, what cannot be read."""

from __future__ import annotations

import os
import socket
import ssl
import sys
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any, cast

from OpenSSL.SSL import Error as TLSError
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.task import Clock
from twisted.logger import globalLogBeginner
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase, TestCase

from ropg_twisted import cli
from ropg_twisted.cli import try_password
from ropg_twisted.cli.diagnosis import Exit, diagnose_error
from ropg_twisted.cli.sandbox import SandboxOptions
from ropg_twisted.cli.try_password import TryOptions, read_password
from tests.parametrize import parametrize

URL = "https://ropg.example.com"


class BrokenCommand:
    """A command with a mistake in it, whose text holds a secret."""

    async def run(self, reactor: object) -> int:
        """Fail."""
        raise ZeroDivisionError("canary")


class CommandTests(SynchronousTestCase):
    """A command with a mistake of ours."""

    def test_a_mistake_is_told_by_kind_and_place(self) -> None:
        """The exit status says that it is ours, and the text of the exception is not shown."""
        out = StringIO()
        self.patch(sys, "stderr", out)
        clock: Any = Clock()
        clock.addSystemEventTrigger = lambda *_: None
        ended: Deferred[Any] = cli._run(clock, BrokenCommand())
        failure = self.failureResultOf(ended, SystemExit)
        self.assertEqual(failure.value.code, os.EX_SOFTWARE)
        self.assertIn("ropg: unexpected: ZeroDivisionError at ", out.getvalue())
        self.assertNotIn("canary", out.getvalue())


class SandboxTests(TestCase):
    """``ropg sandbox``."""

    async def test_a_port_that_is_taken(self) -> None:
        """It says so, and ends with exit status 1."""
        out = StringIO()
        self.patch(sys, "stderr", out)
        self.patch(globalLogBeginner, "beginLoggingTo", lambda *_, **__: None)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            options = SandboxOptions()
            options.parseOptions(["--listen", str(port)])
            self.assertEqual(await options.run(cast(Any, reactor)), 1)
        self.assertIn(f"ropg: cannot listen at port {port}: ", out.getvalue())

    def test_what_is_no_port(self) -> None:
        """A number that no port has is wrong usage."""
        for port in ("-1", "65536", "http"):
            with self.assertRaises(usage.UsageError, msg=port):
                SandboxOptions().parseOptions(["--listen", port])


class TryTests(SynchronousTestCase):
    """``ropg try``: what it reads, and what becomes of a connection."""

    def test_a_secret_that_is_not_text(self) -> None:
        """It is wrong usage, and not shown."""
        secret = Path(self.mktemp())
        secret.write_bytes(b"\xff canary")
        with self.assertRaises(usage.UsageError) as caught:
            TryOptions().parseOptions(["--client-secret-file", str(secret), "alice"])
        self.assertEqual(str(caught.exception), "--client-secret-file is not UTF-8.")

    def test_a_password_that_is_not_text(self) -> None:
        """There is none then."""
        self.assertIsNone(read_password("alice", TextIOWrapper(BytesIO(b"\xff\n"))))

    def test_a_terminal_is_asked_without_an_echo(self) -> None:
        """By getpass, which is told whose password it is; Ctrl-C and Ctrl-D give none."""
        asked = []

        def answer(prompt: str) -> str:
            asked.append(prompt)
            return " a b "

        def refuse(prompt: str) -> str:
            raise KeyboardInterrupt

        terminal = StringIO()
        self.patch(terminal, "isatty", lambda: True)
        self.patch(try_password, "getpass", answer)
        self.assertEqual(read_password("alice", terminal), " a b ")
        self.assertEqual(asked, ["Password of alice: "])
        self.patch(try_password, "getpass", refuse)
        self.assertIsNone(read_password("alice", terminal))

    @parametrize(
        {
            "no address": (DNSLookupError(), f"The host of {URL} has no address."),
            "not reached": (ConnectError(), f"{URL} cannot be reached."),
            "no TLS": (TLSError([("", "", "wrong version number")]), "TLS with "),
            "a TLS error without a text": (TLSError(), "TLS with "),
            "an untrusted certificate": (
                TLSError([("", "", "certificate verify failed")]),
                "is not trusted here",
            ),
            "an end without a response": (
                ssl.SSLError(),
                "closed the connection without a response",
            ),
        }
    )
    def test_connections_that_fail(self, error: Exception, words: str) -> None:
        """Each cause has its words, and none says anything of the password."""
        diagnosis = diagnose_error(error, URL)
        self.assertEqual(diagnosis.exit, Exit.UNKNOWN)
        self.assertIn(words, diagnosis.text)
