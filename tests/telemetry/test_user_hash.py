"""Hashes in place of user names: who can follow a user, and who can find out the name."""

from __future__ import annotations

import re
import sys
from io import StringIO
from pathlib import Path
from typing import Any, cast

import requests
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.cli.user_hash import UserHashOptions
from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.settings.errors import SettingError
from ropg_twisted.telemetry.user_hash import KEY_FILE, UserHash
from ropg_twisted.usernames import fold
from tests.audit_lines import audit_lines
from tests.daemon import PATIENCE, DaemonProcess
from tests.fakes import CapturedLog
from tests.parametrize import parametrize
from tests.sandbox_browser import result_of

KEY = b"k" * 32


class HashTests(SynchronousTestCase):
    """The hash of a name."""

    def test_it_is_the_same_for_all_spellings(self) -> None:
        """Whoever follows a user need not know how the user types."""
        user_hash = UserHash(KEY)
        spellings = ("Jürgen", "JÜRGEN", "jürgen", "Ju\u0308rgen", "\uff4aürgen")
        self.assertEqual(len({user_hash(name) for name in spellings}), 1)
        self.assertEqual(len({user_hash(name) for name in ("alice", "alicia", "bob")}), 3)

    def test_it_depends_on_the_key(self) -> None:
        """A list of names is of no use without the key."""
        self.assertNotEqual(UserHash(KEY)("alice"), UserHash(b"x" * 32)("alice"))
        self.assertEqual(UserHash(KEY)("alice"), UserHash(KEY)("alice"))

    def test_it_is_hmac_sha256(self) -> None:
        """Other programs can compute it."""
        self.assertEqual(UserHash(KEY)("alice"), "6664a42048c6d6d7")

    @given(st.text(st.characters(exclude_categories=[])), st.text())
    def test_any_name_has_one(self, name: str, other: str) -> None:
        """It is hexadecimal digits, the same for two names only if their keys are."""
        user_hash = UserHash(KEY)
        self.assertRegex(user_hash(name), "^[0-9a-f]{16}$")
        self.assertEqual(user_hash(name) == user_hash(other), fold(name) == fold(other))


class KeyTests(SynchronousTestCase):
    """The key in the state directory."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp(), "state")
        self.path = self.folder / KEY_FILE

    def test_it_is_made_once(self) -> None:
        """Restarts and other daemons with the same directory have the same hashes."""
        first = UserHash.open(self.folder)("alice")
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.folder.stat().st_mode & 0o777, 0o700)
        self.assertEqual(UserHash.open(self.folder)("alice"), first)
        self.assertEqual([path.name for path in self.folder.iterdir()], [KEY_FILE])
        self.path.unlink()
        self.assertNotEqual(UserHash.open(self.folder)("alice"), first, "a new key, new hashes")

    def test_a_key_that_others_can_read_is_reported(self) -> None:
        """The daemon starts, and warns."""
        UserHash.open(self.folder)
        self.path.chmod(0o640)
        events = CapturedLog(self).events
        UserHash.open(self.folder)
        [event] = events
        self.assertEqual((event["log_level"].name, event["mode"]), ("warn", "0640"))

    @parametrize(
        {
            "empty": (b"",),
            "short": (b"00" * 31,),
            "long": (b"00" * 33,),
            "no digits": (b"x" * 64,),
            "not ASCII": (b"\xff" * 64,),
            "huge": (b"00" * 10_000,),
        }
    )
    def test_a_key_that_is_none(self, content: bytes) -> None:
        """The start stops with the setting, and the content is not shown."""
        self.folder.mkdir(parents=True)
        self.path.write_bytes(content)
        with self.assertRaises(SettingError) as raised:
            UserHash.open(self.folder)
        self.assertIn(
            "ROPG_STATE_DIR holds no readable key for user names: ", str(raised.exception)
        )
        self.assertNotIn("0000", str(raised.exception))

    def test_a_directory_that_cannot_be_used(self) -> None:
        """The start stops, and the line has the path and the cause."""
        self.folder.parent.mkdir(parents=True)
        self.folder.write_text("a file")
        with self.assertRaises(SettingError) as raised:
            UserHash.open(self.folder)
        self.assertRegex(str(raised.exception), f"{KEY_FILE}: (File exists|Not a directory)")


class CommandTests(SynchronousTestCase):
    """``ropg user-hash``."""

    def run_command(self, *arguments: str) -> tuple[int, str]:
        """The exit status, and what it prints."""
        out = StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", out)
        options = UserHashOptions()
        options.parseOptions(arguments)
        return result_of(Deferred.fromCoroutine(options.run(cast(Any, Clock())))), out.getvalue()

    def test_it_prints_the_hash_of_the_daemon(self) -> None:
        """The spaces around a name are removed, as the daemon does it."""
        folder = self.mktemp()
        user_hash = UserHash.open(Path(folder))
        for name in ("alice", " ALICE "):
            self.assertEqual(
                self.run_command("--state-dir", folder, name), (0, user_hash("alice") + "\n")
            )

    def test_without_a_key_it_makes_none(self) -> None:
        """A hash of another key would be found in no log."""
        folder = Path(self.mktemp())
        status, text = self.run_command("--state-dir", str(folder), "alice")
        self.assertEqual((status, folder.exists()), (1, False))
        self.assertIn(f"{KEY_FILE}: No such file or directory", text)
        folder.mkdir()
        (folder / KEY_FILE).write_text("hush")
        status, text = self.run_command("--state-dir", str(folder), "alice")
        self.assertEqual(status, 1)
        self.assertNotIn("hush", text)

    def test_a_name_is_needed(self) -> None:
        """Spaces are none."""
        for arguments in ((), (" ",), ("alice", "bob")):
            with self.assertRaises(usage.UsageError):
                self.run_command(*arguments)


class ProcessTests(SynchronousTestCase):
    """Daemons as processes."""

    def test_a_user_is_followed_over_daemons_and_restarts(self) -> None:
        """Text and JSON have the hash that the command prints, and no name."""
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        output = []
        for style, name in (("json", "alice"), ("text", "Alice"), ("json", "ALICE@EXAMPLE.COM")):
            with DaemonProcess(folder, ROPG_LOG_USERS="hashed", ROPG_LOG=style) as daemon:
                form = {"grant_type": "password", "client_id": "jamf-connect", "username": name}
                form["password"] = USUAL_PASSWORD
                answer = requests.post(f"{daemon.url}/oauth/token", form, timeout=PATIENCE)
                self.assertEqual(answer.status_code, 200)
                self.assertEqual(daemon.end(), 0)
            output += daemon.output
        log = "".join(output)
        self.assertNotIn("alice", log.lower())
        first, last = audit_lines(output)
        self.assertIn(f" check of '{first['username']}' for jamf-connect ", log)
        self.assertEqual(len(set(re.findall("check of '([0-9a-f]{16})'", log))), 2, log)
        user_hash = UserHash.open(folder / "state")
        self.assertEqual(first["username"], user_hash("alice"))
        self.assertEqual(last["username"], user_hash("alice@example.com"))
