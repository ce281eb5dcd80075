"""``ropg keys``: what it prints, what it stores, and its exit status."""

from __future__ import annotations

import sys
from io import StringIO
from pathlib import Path
from stat import S_IMODE
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.cli.keys import KeysOptions
from ropg_twisted.oauth.keystore import KEYS_FILE, KeyStore, read_keys
from tests.sandbox_browser import result_of

NOW = 1_800_000_000.0


class KeysTests(SynchronousTestCase):
    """The commands on the keys of one daemon, which has one key."""

    def setUp(self) -> None:
        self.now = NOW
        self.patch(sys.modules["ropg_twisted.cli.keys"].time, "time", lambda: self.now)
        self.folder = Path(self.mktemp())
        KeyStore(self.folder, "ES256", lambda: self.now)

    def keys(self, *arguments: str, algorithm: str = "ES256") -> tuple[int, list[str]]:
        """Run a command; its exit status, and the words after each key's id, or its error."""
        out = StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", out)
        options = KeysOptions()
        common = ["--state-dir", str(self.folder), "--signing-alg", algorithm]
        options.parseOptions([*common, *arguments])
        status = result_of(Deferred.fromCoroutine(options.run(cast(Any, Clock()))))
        lines = out.getvalue().splitlines()
        return status, lines if status else [line.split("  ", 1)[1] for line in lines]

    def kids(self) -> list[str]:
        """The ids of the stored keys."""
        return [jwk["kid"] for jwk in read_keys(self.folder / KEYS_FILE)]

    def test_list_changes_nothing(self) -> None:
        """The key that signs is shown, and the file is not written again."""
        before = (self.folder / KEYS_FILE).stat().st_ino
        self.assertEqual(self.keys("list"), (0, ["ES256  signs"]))
        self.assertEqual((self.folder / KEYS_FILE).stat().st_ino, before)

    def test_a_rotation_takes_the_key_that_was_added(self) -> None:
        """It is published from when it was added, signs ten minutes after the rotation at most."""
        self.assertEqual(
            self.keys("add"), (0, ["ES256  signs", "ES256  published, waits for a rotation"])
        )
        self.now += 3600
        status, lines = self.keys("rotate")
        self.assertEqual((status, len(self.kids())), (0, 2))
        self.assertIn("published until ", lines[0])
        self.now += 3600
        self.assertEqual(self.keys("list")[1][1], "ES256  signs")

    def test_a_new_key_signs_later(self) -> None:
        """A rotation without an added key makes one, and says from when it signs."""
        status, lines = self.keys("rotate")
        self.assertEqual((status, len(self.kids())), (0, 2))
        self.assertRegex(lines[0], "^ES256  signs, published until 2027-01-")
        self.assertEqual(lines[1], "ES256  published, signs from 2027-01-15T08:10:00+00:00")

    def test_a_key_of_another_algorithm(self) -> None:
        """The option names the algorithm of the new key; each algorithm has its key that signs."""
        self.keys("rotate", algorithm="EdDSA")
        self.now += 3600
        self.assertIn("EdDSA  signs", self.keys("list")[1])

    def test_a_key_is_retired(self) -> None:
        """The one that is left signs."""
        self.keys("rotate")
        self.now += 3600
        old, new = self.kids()
        status, lines = self.keys("retire", old)
        self.assertEqual((status, lines[-1]), (0, "ES256  signs"))
        self.assertEqual(
            self.keys("retire", new),
            (1, ["ropg: no signing key would be left, or the file contains no keys"]),
        )

    def test_the_first_key(self) -> None:
        """``add`` makes the file in a folder without keys, and that key signs at once."""
        path = self.folder / KEYS_FILE
        path.unlink()
        self.assertEqual(self.keys("add"), (0, ["ES256  signs"]))
        self.assertEqual(S_IMODE(path.stat().st_mode), 0o600)

    def test_what_is_refused(self) -> None:
        """A line says why, and the file stays as it is."""
        path = self.folder / KEYS_FILE
        before = path.read_bytes()
        self.assertEqual(self.keys("retire", "nosuch"), (1, ["ropg: there is no key with this id"]))
        self.assertEqual(path.read_bytes(), before)
        path.write_bytes(b"[]")
        self.assertEqual(
            self.keys("list"),
            (1, ["ropg: no signing key would be left, or the file contains no keys"]),
        )
        path.unlink()
        self.assertEqual(self.keys("list"), (1, [f"ropg: {path}: No such file or directory"]))

    def test_wrong_usage(self) -> None:
        """An action that there is not, or with too much or too little, and an algorithm."""
        for arguments in (
            ["destroy"],
            ["retire"],
            ["list", "kid"],
            ["--signing-alg", "none", "add"],
        ):
            with self.assertRaises(usage.UsageError, msg=str(arguments)):
                KeysOptions().parseOptions(arguments)
