"""The file of the audit log: none of its lines is lost while the file can be written."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import threading
from collections.abc import Callable
from errno import ENOSPC
from pathlib import Path
from typing import Any, cast

import requests
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.settings.errors import SettingError
from ropg_twisted.telemetry import audit_file
from ropg_twisted.telemetry.audit_file import AuditFile
from tests.audit_lines import audit_lines
from tests.daemon import PATIENCE, TWISTD, DaemonProcess, Process, wait_until
from tests.fakes import CapturedLog
from tests.parametrize import parametrize
from tests.ports import free_port

FULL = "/dev/full"
"""A device that is as a disk without space."""


class ImmediateReactor:
    """A reactor that is in every thread at once."""

    def callFromThread(self, call: Callable[..., object], *args: object, **kwargs: object) -> None:
        """Call it now."""
        call(*args, **kwargs)


class AuditFileTests(SynchronousTestCase):
    """The writer of the file."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.path = self.folder / "audit.json"
        self.events = CapturedLog(self).events

    def open(self, path: Path | None = None) -> AuditFile:
        """A writer that writes."""
        file = AuditFile(path or self.path, cast(Any, ImmediateReactor()))
        file.open()
        return file

    def write(self, file: AuditFile, *lines: str) -> None:
        """Write lines, and wait until it is done."""
        for line in lines:
            file.write(line + "\n")
        file.drain()

    def logged(self) -> list[str]:
        """The formats of what it has logged."""
        return [event["log_format"] for event in self.events]

    def test_only_the_daemon_may_read_it(self) -> None:
        """A new file has mode 0600 from its beginning, whatever the umask; an old one is kept."""
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        self.write(self.open(), "one")
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.path.chmod(0o640)
        self.write(self.open(), "two")
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o640)
        self.assertEqual(self.path.read_text(), "one\ntwo\n")

    def test_a_rotated_file_gets_what_was_before(self) -> None:
        """The lines before the signal are in the old file, the others in the new one."""
        file = self.open()
        self.write(file, "one")
        old = self.path.rename(self.folder / "audit.json.1")
        file.write("two\n")
        file.reopen()
        self.write(file, "three")
        self.assertEqual((old.read_text(), self.path.read_text()), ("one\ntwo\n", "three\n"))
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(self.logged(), [])

    def test_a_new_file_is_there_before_the_next_line(self) -> None:
        """What rotates the files may look for it."""
        file = self.open()
        self.path.rename(self.folder / "audit.json.1")
        file.reopen()
        file.drain()
        self.assertEqual(self.path.read_text(), "")

    def test_a_new_file_that_cannot_be_opened(self) -> None:
        """The lines go on to the old one until it can be; that is logged once, and its end too."""
        file = self.open()
        old = self.path.rename(self.folder / "audit.json.1")
        self.path.mkdir()
        file.reopen()
        self.write(file, "one", "two")
        self.assertEqual(old.read_text(), "one\ntwo\n")
        self.assertEqual(self.logged(), ["ROPG_AUDIT_LOG fails ({cause})"])
        self.assertEqual(self.events[0]["cause"], "Is a directory")
        self.path.rmdir()
        self.write(file, "three")
        self.assertEqual(self.path.read_text(), "three\n")
        self.assertEqual(self.logged()[1:], ["ROPG_AUDIT_LOG works again"])
        self.assertEqual(file.dropped, 0)

    def test_a_file_that_was_deleted_is_made_again(self) -> None:
        """No line goes to where nobody finds it."""
        file = self.open()
        self.write(file, "one")
        self.path.unlink()
        self.write(file, "two")
        self.assertEqual(self.path.read_text(), "two\n")
        self.assertEqual((self.logged(), file.dropped), ([], 0))

    def test_a_directory_that_has_vanished(self) -> None:
        """The lines are dropped and counted until it is back; that is logged once."""
        file = self.open()
        shutil.rmtree(self.folder)
        self.write(file, "one", "two")
        self.assertEqual((file.dropped, self.logged()), (2, ["ROPG_AUDIT_LOG fails ({cause})"]))
        self.folder.mkdir()
        self.write(file, "three")
        self.assertEqual(self.path.read_text(), "three\n")
        again = ["ROPG_AUDIT_LOG works again", "{lines} lines of ROPG_AUDIT_LOG were dropped"]
        self.assertEqual((self.logged()[1:], self.events[-1]["lines"]), (again, 2))

    def test_a_disk_that_is_full(self) -> None:
        """A line of which only a part was written stands alone, so the next ones can be read."""
        space = 5

        def write_some(descriptor: int, data: bytes) -> int:
            nonlocal space
            if not space:
                raise OSError(ENOSPC, "No space left on device")
            written = os.write(descriptor, data[:space])
            space -= written
            return written

        self.patch(audit_file, "write_some", write_some)
        file = self.open()
        self.write(file, "1st", "2nd", "3rd")
        self.assertEqual((file.dropped, len(self.events)), (2, 1))
        space = 1
        self.write(file, "4th")
        space = 100
        self.write(file, "5th", "6th")
        self.assertEqual(self.path.read_text().split(), ["1st", "2", "5th", "6th"])
        self.assertEqual((file.dropped, len(self.events)), (3, 3))
        space = 1
        self.write(file, "7th")
        space = 100
        self.path.unlink()
        self.write(file, "8th")
        self.assertEqual(self.path.read_text(), "8th\n", "a new file has no line to end")

    def test_a_reader_of_a_pipe_may_stall(self) -> None:
        """Nothing waits for it; what does not fit is dropped."""
        os.mkfifo(self.path)
        with self.assertRaises(SettingError):
            self.open()
        reading = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reading)
        file = self.open()
        while not file.dropped:
            file.write("x" * 999 + "\n")
        self.write(file, "one")
        self.assertEqual(os.read(reading, 4), b"xxxx")

    @parametrize(
        {
            "missing directory": ("missing/audit.json", "No such file or directory"),
            "directory": (".", "Is a directory"),
            "below a file": ("file/audit.json", "Not a directory"),
        }
    )
    def test_a_file_that_cannot_be_opened(self, name: str, cause: str) -> None:
        """The error names the setting, the path and the cause."""
        (self.folder / "file").write_text("")
        path = self.folder / name
        with self.assertRaises(SettingError) as raised:
            self.open(path)
        self.assertIn(f"ROPG_AUDIT_LOG cannot be opened: {path}: {cause};", str(raised.exception))


class ProcessTests(SynchronousTestCase):
    """The daemon as a process."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.path = self.folder / "audit.json"

    def ask(self, daemon: DaemonProcess, **changes: str) -> requests.Response:
        """Ask for a password."""
        form = {"grant_type": "password", "client_id": "jamf-connect", "username": "alice"}
        form["password"] = USUAL_PASSWORD
        return requests.post(f"{daemon.url}/oauth/token", form | changes, timeout=PATIENCE)

    def test_the_lines_are_in_the_file_alone(self) -> None:
        """They are JSON, also if the log is text, and there when the daemon has ended."""
        with DaemonProcess(self.folder, ROPG_AUDIT_LOG=str(self.path), ROPG_LOG="text") as daemon:
            ids = [
                self.ask(daemon, **changes).headers["X-Request-ID"]
                for changes in ({}, {"password": "wrong"}, {"client_id": "nobody"})
            ]
            self.assertEqual(daemon.end(), 0)
        lines = audit_lines(self.path.read_text().splitlines())
        self.assertEqual([line["request"] for line in lines], ids)
        self.assertEqual([line["event"] for line in lines], ["check", "check", "refused"])
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        log = "".join(daemon.output)
        self.assertIn("ready: ", log)
        self.assertNotIn("alice", log)

    def test_no_line_is_lost_in_a_rotation_under_load(self) -> None:
        """Every request is answered, and has one line in one of the files."""
        threads, times = 4, 60
        answered: list[str] = []
        with DaemonProcess(self.folder, ROPG_AUDIT_LOG=str(self.path), ROPG_LIMITS="off") as daemon:
            daemon.wait_for(lambda line: "ready: " in line)

            def ask() -> None:
                for number in range(times):
                    changes = {} if number % 10 == 0 else {"client_id": "nobody"}
                    answered.append(self.ask(daemon, **changes).headers["X-Request-ID"])

            clients = [threading.Thread(target=ask) for _ in range(threads)]
            for client in clients:
                client.start()
            rotations = 0
            while any(client.is_alive() for client in clients) or not rotations:
                rotations += 1
                self.path.rename(self.folder / f"audit.json.{rotations}")
                os.kill(daemon.pid, signal.SIGHUP)
                wait_until(self.path.exists, "the new file is there")
            for client in clients:
                client.join()
            self.assertEqual(daemon.end(), 0)
        files = sorted(self.folder.glob("audit.json*"))
        self.assertEqual(len(files), rotations + 1)
        self.assertGreater(rotations, 2)
        texts = [path.read_text() for path in files]
        lines = [json.loads(line) for text in texts for line in text.splitlines()]
        self.assertEqual(len(lines), threads * times)
        self.assertEqual(sorted(line["request"] for line in lines), sorted(answered))
        self.assertEqual(len(audit_lines("".join(texts).splitlines())), len(lines))

    def test_a_full_disk_costs_no_check(self) -> None:
        """The log has one line of it and the metric counts; another file makes it work again."""
        self.path.symlink_to(FULL)
        port = free_port()
        with DaemonProcess(
            self.folder,
            ROPG_AUDIT_LOG=str(self.path),
            ROPG_ADMIN_LISTEN=f"tcp:{port}:interface=127.0.0.1",
        ) as daemon:
            for _ in range(5):
                self.assertEqual(self.ask(daemon).status_code, 200)
            daemon.wait_for(lambda line: "ROPG_AUDIT_LOG fails (No space left on device)" in line)
            url = f"http://127.0.0.1:{port}/metrics"
            wait_until(
                lambda: "ropg_log_lines_dropped_total 5.0" in requests.get(url, timeout=9).text,
                "all are counted",
            )
            self.path.unlink()
            os.kill(daemon.pid, signal.SIGHUP)
            wait_until(self.path.exists, "the new file is there")
            self.assertEqual(self.ask(daemon).status_code, 200)
            daemon.wait_for(lambda line: "5 lines of ROPG_AUDIT_LOG were dropped" in line)
            self.assertEqual(daemon.end(), 0)
        [line] = audit_lines(self.path.read_text().splitlines())
        self.assertEqual(line["verdict"], "verified")
        self.assertEqual("".join(daemon.output).count("ROPG_AUDIT_LOG fails"), 1)

    @parametrize({"foreground": (("-n", "--pidfile="),), "background": (("--pidfile=",),)})
    def test_a_start_that_cannot_open_it_stops(self, way: tuple[str, ...]) -> None:
        """One line names the setting, and the exit status is that of an invalid setting."""
        path = self.folder / "missing" / "audit.json"
        environ = {
            "AUTHENTIK_URL": f"sandbox:{free_port()}",
            "PROXY_ISSUER": "http://localhost",
            "ROPG_LISTEN": f"tcp:{free_port()}:interface=127.0.0.1",
            "ROPG_AUDIT_LOG": str(path),
            "ROPG_STATE_DIR": str(self.folder / "state"),
        }
        with Process(str(TWISTD), *way, "ropg", environ=environ, folder=self.folder) as process:
            status = process.wait()
        said = [line for line in process.output if "ROPG_AUDIT_LOG" in line]
        self.assertEqual((status, len(said)), (78, 1), process.output)
        self.assertIn(f"ROPG_AUDIT_LOG cannot be opened: {path}: No such file", said[0])
        self.assertNotIn("Traceback", "".join(process.output))

    def test_a_daemon_in_the_background(self) -> None:
        """The thread that writes is one of the daemon, not of the process that started it."""
        port = free_port()
        pidfile = self.folder / "pid"
        environ = {
            "AUTHENTIK_URL": f"sandbox:{free_port()}",
            "PROXY_ISSUER": "http://localhost",
            "ROPG_LISTEN": f"tcp:{port}:interface=127.0.0.1",
            "ROPG_AUDIT_LOG": str(self.path),
            "ROPG_STATE_DIR": str(self.folder / "state"),
        }
        command = (str(TWISTD), "--pidfile", str(pidfile), "ropg")
        with Process(*command, environ=environ, folder=self.folder) as process:
            self.assertEqual(process.wait(), 0, process.output)
            pid = int(pidfile.read_text())
            try:
                with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                    client.sendall(
                        b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
                    )
                    self.assertIn(b" 400 ", client.recv(4096))
                self.path.rename(self.folder / "audit.json.1")
                os.kill(pid, signal.SIGHUP)
                wait_until(self.path.exists, "the new file is there")
            finally:
                os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not pidfile.exists(), "it has ended")
        [line] = audit_lines((self.folder / "audit.json.1").read_text().splitlines())
        self.assertEqual(line["event"], "refused")
