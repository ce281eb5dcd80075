"""Lines of the log on their way out: none is lost on a reader who reads, none waits for another."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from termios import TCOOFF, TCOON, tcflow
from typing import Any, TextIO
from urllib.parse import urlencode

import requests
from twisted.logger import Logger, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.telemetry.line_writer import MAX_LINES, LineWriter
from ropg_twisted.telemetry.log import make_observer
from tests.client import GOOD, post
from tests.daemon import PATIENCE, TWISTD, DaemonProcess, wait_until
from tests.ports import free_port

SMALLEST = 4096
"""Bytes of the smallest pipe."""


def read(descriptor: int) -> bytes:
    """The next data. Fails if there is none in time."""
    if not select.select([descriptor], [], [], PATIENCE)[0]:
        raise AssertionError("nothing comes")
    return os.read(descriptor, SMALLEST)


@contextmanager
def pipe(encoding: str = "utf-8") -> Iterator[tuple[int, TextIO]]:
    """Both ends of a small pipe, the second for text."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, SMALLEST)
    with os.fdopen(writing, "w", encoding=encoding) as out:
        try:
            yield reading, out
        finally:
            os.close(reading)


class LineWriterTests(SynchronousTestCase):
    """The writer, on a pipe that the test reads when it likes."""

    def attach(self, writer: LineWriter) -> Logger:
        """A logger whose lines go to ``writer``, as those of the writer itself do."""
        observer = make_observer(writer, "json")
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        return Logger("ropg_twisted.test")

    def test_what_is_written_can_be_read_in_its_order(self) -> None:
        """After a wait, all of it."""
        with pipe() as (reading, out):
            writer = LineWriter(out)
            lines = [f"line {number}\n" for number in range(100)]
            for line in lines:
                writer.write(line)
            writer.drain()
            self.assertEqual(read(reading).decode(), "".join(lines))

    def test_what_the_encoding_lacks_is_escaped(self) -> None:
        """No line is lost for a letter."""
        for encoding, shown in (
            ("ascii", r"J\xfcrgen \u674e"),
            ("latin-1", r"Jürgen \u674e"),
            ("utf-8", "Jürgen 李"),
        ):
            with pipe(encoding) as (reading, out):
                writer = LineWriter(out)
                writer.write("Jürgen 李\n")
                writer.drain()
                self.assertEqual(read(reading).decode(encoding), f"{shown}\n")

    def test_a_reader_who_stalls_holds_up_nobody(self) -> None:
        """Lines wait for the reader, then they are dropped and counted, and a line says so."""
        with pipe() as (reading, out):
            writer = LineWriter(out)
            log = self.attach(writer)
            number = 0
            data = b""
            for most in (7, 14):
                while writer.dropped < most and number < 10 * MAX_LINES:
                    log.info("{number}", number=(number := number + 1))
                data += read(reading)
            while b"dropped" not in data or not data.endswith(b"\n"):
                data += read(reading)
            *others, last = map(json.loads, data.splitlines())
            self.assertEqual((last["level"], last["lines"]), ("warn", 14))
            numbers = [line["number"] for line in others]
            self.assertEqual((len(numbers), numbers), (number - 14, sorted(numbers)))
            self.assertGreaterEqual(len(numbers), MAX_LINES)
            log.info("{number}", number=0)
            self.assertEqual(json.loads(read(reading))["number"], 0)

    def test_a_terminal_is_known_and_may_be_stopped(self) -> None:
        """People there get text, and those who stop it for a while (Ctrl-S) miss nothing."""
        terminal, device = os.openpty()
        self.addCleanup(os.close, terminal)
        with os.fdopen(device, "w", encoding="utf-8") as out:
            writer = LineWriter(out)
            tcflow(device, TCOOFF)
            make_observer(writer, None)({"log_time": 0, "log_level": LogLevel.warn})
            self.assertEqual(select.select([terminal], [], [], 0)[0], [])
            tcflow(device, TCOON)
            writer.drain()
            line = read(terminal)
            self.assertEqual(line, b"1970-01-01T00:00:00.000+00:00 warn     \r\n")

    def test_a_reader_who_has_gone_is_not_waited_for(self) -> None:
        """Each line that he misses is counted, and nothing is said to nobody."""
        with pipe() as (reading, out):
            writer = LineWriter(out)
            log = self.attach(writer)
            other = os.open(os.devnull, os.O_RDONLY)
            os.dup2(other, reading)
            os.close(other)
            for number in range(3):
                log.info("{number}", number=number)
            writer.drain()
            self.assertEqual(writer.dropped, 3)

    def test_a_descriptor_that_somebody_made_non_blocking(self) -> None:
        """It may be shared with another program, which may have done that; nothing is lost."""
        with pipe() as (reading, out):
            os.set_blocking(out.fileno(), False)
            writer = LineWriter(out)
            lines = [f"line {number} {'x' * 3 * SMALLEST}\n" for number in range(100)]
            for line in lines:
                writer.write(line)
            data = b""
            while data.count(b"\n") < len(lines):
                data += read(reading)
            self.assertEqual(data.decode(), "".join(lines))


class ProcessTests(SynchronousTestCase):
    """The daemon in the foreground, whose log goes to whoever reads standard output."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()

    @contextmanager
    def unread(self) -> Iterator[subprocess.Popen[bytes]]:
        """A daemon that answers, and whose log nobody reads."""
        self.port, self.admin_port = free_port(), free_port()
        settings = {
            "AUTHENTIK_URL": f"sandbox:{free_port()}",
            "PROXY_ISSUER": "http://localhost",
            "ROPG_LISTEN": f"tcp:{self.port}:interface=127.0.0.1",
            "ROPG_ADMIN_LISTEN": f"tcp:{self.admin_port}:interface=127.0.0.1",
            "ROPG_LIMITS": "off",
        }
        with subprocess.Popen(
            [str(TWISTD), "-n", "--pidfile=", "ropg"],
            env={**os.environ, **settings},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as child:
            try:
                assert child.stdout is not None
                fcntl.fcntl(child.stdout, fcntl.F_SETPIPE_SZ, SMALLEST)
                wait_until(self.answers, "the daemon answers")
                yield child
            finally:
                child.kill()

    def answers(self) -> bool:
        """Return whether somebody listens."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def refuse(self, times: int) -> None:
        """Have so many requests refused, each of which leaves a line."""
        request = post(urlencode({**GOOD, "client_id": "nobody"}))
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection:
            answers = connection.makefile("rb")
            for _ in range(times // 100):
                connection.sendall(request * 100)
                for _ in range(100):
                    self.assertEqual(answers.readline(), b"HTTP/1.1 401 Unauthorized\r\n")
                    while answers.readline() != b"\r\n":
                        pass
                    answers.read(len(REFUSED))

    def dropped(self) -> float:
        """The metrics."""
        url = f"http://127.0.0.1:{self.admin_port}/metrics"
        for line in requests.get(url, timeout=PATIENCE).text.splitlines():
            if line.startswith("ropg_log_lines_dropped_total "):
                return float(line.split()[1])
        self.fail("no such metric")

    def test_a_full_pipe_stops_nobody(self) -> None:
        """Every request is answered; once the log is read again, it says what it has lost."""
        times = (MAX_LINES // 100 + 5) * 100
        with self.unread() as child:
            self.refuse(times)
            form = {**GOOD, "client_id": "jamf-connect", "password": USUAL_PASSWORD}
            url = f"http://127.0.0.1:{self.port}/oauth/token"
            self.assertEqual(requests.post(url, form, timeout=PATIENCE).status_code, 200)
            dropped = int(self.dropped())
            self.assertGreater(dropped, 0)
            assert child.stdout is not None
            lines = [json.loads(child.stdout.readline())]
            while "lines" not in lines[-1]:
                lines.append(json.loads(child.stdout.readline()))
            self.assertEqual(lines[-1]["lines"], dropped)
            refused = sum(line.get("error") == "invalid_client" for line in lines)
            checked = sum("verdict" in line for line in lines)
            self.assertEqual(refused + checked + dropped, times + 1)
            self.refuse(100)
            child.send_signal(signal.SIGTERM)
            rest = child.stdout.read().decode().splitlines()
            self.assertEqual(child.wait(PATIENCE), 0)
            self.assertEqual(sum("invalid_client" in line for line in rest), 100)

    def test_no_line_is_lost_at_the_end(self) -> None:
        """Neither after SIGTERM nor after Ctrl-C."""
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.unread() as child:
                self.refuse(100)
                child.send_signal(number)
                assert child.stdout is not None
                log = child.stdout.read().decode()
                self.assertEqual(child.wait(PATIENCE), 0, log)
                self.assertEqual(log.count("invalid_client (Client"), 100)

    def test_no_line_is_lost_when_a_program_is_over(self) -> None:
        """The writer is at its work when all else is done."""
        program = (
            "import sys; from ropg_twisted.telemetry.line_writer import LineWriter\n"
            "writer = LineWriter(sys.stdout)\n"
            f"for number in range({MAX_LINES}): writer.write('x' * 99 + '\\n')\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, check=True, timeout=PATIENCE
        )
        self.assertEqual(done.stdout, (b"x" * 99 + b"\n") * MAX_LINES)

    def test_it_ends_though_nobody_reads(self) -> None:
        """At its end it waits a little for a reader, and no longer."""
        with self.unread() as child:
            self.refuse(100)
            child.send_signal(signal.SIGTERM)
            self.assertEqual(child.wait(PATIENCE), 0)

    def test_a_terminal_of_any_encoding_loses_no_line(self) -> None:
        """A character that it cannot show is escaped."""
        plain: dict[str, Any] = {
            "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": "0",
            "LC_ALL": "C",
            "LANG": "C",
        }
        for environ, encoding, shown in (
            ({"PYTHONIOENCODING": "ascii"}, "ascii", r"J\xfcrgen \u674e"),
            ({"PYTHONIOENCODING": "latin-1"}, "latin-1", r"Jürgen \u674e"),
            (plain, "ascii", r"J\xfcrgen \u674e"),
        ):
            with DaemonProcess(
                self.folder, ROPG_LOG="text", encoding=encoding, **environ
            ) as daemon:
                form = {**GOOD, "client_id": "jamf-connect", "username": "Jürgen 李"}
                requests.post(f"{daemon.url}/oauth/token", form, timeout=PATIENCE)
                self.assertEqual(daemon.end(), 0)
            self.assertIn(f" check of '{shown}' for jamf-connect ", "".join(daemon.output))


REFUSED = b'{"error":"invalid_client","error_description":"Client authentication failed"}'
