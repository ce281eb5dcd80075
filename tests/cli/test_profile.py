"""``ropg profile``: its options, its output and its exit status."""

from __future__ import annotations

import os
import plistlib
import sys
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

from twisted.python import usage
from twisted.trial.unittest import TestCase

from ropg_twisted.cli.profile import ProfileOptions
from ropg_twisted.provisioning.profiles.payloads import MAX_SIZE
from tests.parametrize import parametrize
from tests.provisioning.profiles.examples import CLIENTS, SECRET, written

ENVIRON = {
    "AUTHENTIK_URL": "https://authentik.example.com",
    "PROXY_ISSUER": "https://ropg.example.com",
    "ROPG_APP_SLUG": "mac",
}


class ProfileTestCase(TestCase):
    """``ropg profile`` with the settings of a file."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.config = self.folder / "ropg.toml"
        self.config.write_text(CLIENTS)
        self.patch(os, "environ", {**ENVIRON, "ROPG_CONFIG": str(self.config)})

    async def run_(self, *words: str) -> tuple[int, bytes, str]:
        """The exit status, standard output and standard error."""
        raw, err = BytesIO(), StringIO()
        out = TextIOWrapper(raw)
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        options = ProfileOptions()
        options.parseOptions(list(words))
        reactor: Any = None
        status = await options.run(reactor)
        out.flush()
        return status, raw.getvalue(), err.getvalue()


class WriteTests(ProfileTestCase):
    """``ropg profile NAME``."""

    async def test_output(self) -> None:
        """The profile alone is on standard output, and what is left to do on the other one."""
        status, out, err = await self.run_("jamf-connect")
        self.assertEqual(status, 0)
        self.assertIn("PayloadContent", plistlib.loads(out))
        self.assertNotIn(SECRET.encode(), out)
        self.assertTrue(all(line.startswith("ropg: ") for line in err.splitlines()), err)
        self.assertIn("This is for the client jamf-connect.", err)
        self.assertIn("--show-secrets", err)

    async def test_secrets(self) -> None:
        """The secret is shown if it is asked for, on standard output alone."""
        _, out, err = await self.run_("--show-secrets", "jamf-connect")
        self.assertEqual(out, written("jamf-connect"))
        self.assertNotIn(SECRET, err)
        self.assertNotIn("REPLACE", err)

    async def test_hash(self) -> None:
        """A secret of which there is only a hash cannot be shown."""
        self.config.write_text(f'[[clients]]\nid = "mac"\nsecret_sha256 = "{"0" * 64}"\n')
        _, out, err = await self.run_("jamf-connect", "--show-secrets")
        self.assertIn(b"REPLACE", out)
        self.assertIn("only a hash", err)

    async def test_options_after_the_program(self) -> None:
        """Options may come before or after the program."""
        before = await self.run_("--web-login", "here", "jamf-connect")
        after = await self.run_("jamf-connect", "--web-login", "here")
        self.assertEqual(before, after)
        self.assertNotIn(b"authentik", after[1])

    async def test_config(self) -> None:
        """--config names the settings file, as for the daemon."""
        other = self.folder / "other.toml"
        other.write_text('[[clients]]\nid = "other"\n')
        _, out, _ = await self.run_("xcreds", "--config", str(other))
        self.assertIn(b"<string>other</string>", out)

    async def test_client(self) -> None:
        """--client chooses a client."""
        _, out, _ = await self.run_("iru", "--client", "xcreds")
        self.assertIn(b"  xcreds\n", out)
        status, out, err = await self.run_("iru", "--client", "nobody")
        self.assertEqual((status, out), (os.EX_USAGE, b""))
        self.assertIn("ropg: The settings have no client nobody", err)

    async def test_value_that_cannot_be_written(self) -> None:
        """Nothing is written then."""
        self.config.write_text(
            '[[clients]]\nid = "a # b"\nprofile = "himmelblau"\n'
            'redirect_uri = "https://127.0.0.1/"\n'
        )
        status, out, err = await self.run_("himmelblau")
        self.assertEqual((status, out), (os.EX_USAGE, b""))
        self.assertIn("cannot hold", err)

    async def test_invalid_settings(self) -> None:
        """They are the error of the daemon, with its exit status."""
        self.patch(os, "environ", {})
        status, out, err = await self.run_("xcreds")
        self.assertEqual((status, out), (os.EX_CONFIG, b""))
        self.assertIn("ropg: AUTHENTIK_URL is missing", err)

    @parametrize(
        {
            "no program": (),
            "an unknown program": ("nomad",),
            "two programs": ("iru", "xcreds"),
            "a web login elsewhere": ("jamf-connect", "--web-login", "there"),
            "a web login of another program": ("xcreds", "--web-login", "here"),
            "a check and a program": ("--check", "x", "xcreds"),
            "a check and a client": ("--check", "x", "--client", "xcreds"),
        }
    )
    def test_usage(self, *words: str) -> None:
        """Invalid usage."""
        with self.assertRaises(usage.UsageError):
            ProfileOptions().parseOptions(list(words))


class CheckTests(ProfileTestCase):
    """``ropg profile --check FILE``."""

    async def check(self, data: bytes) -> tuple[int, list[str]]:
        """The exit status and the lines for a file."""
        path = self.folder / "profile"
        path.write_bytes(data)
        status, out, err = await self.run_("--check", str(path))
        self.assertEqual(err, "")
        self.assertNotIn(SECRET.encode(), out)
        return status, out.decode().splitlines()

    async def test_ok(self) -> None:
        """Our own profile has nothing but ok."""
        status, lines = await self.check(written("jamf-connect"))
        self.assertEqual(status, 0)
        self.assertGreater(len(lines), 10)
        self.assertEqual({line.split(":")[0] for line in lines}, {"ok"})

    async def test_warning(self) -> None:
        """A warning does not fail."""
        status, lines = await self.check(
            written("jamf-connect").replace(b"<key>OIDCNewPassword</key>\n\t\t\t<false/>\n", b"")
        )
        self.assertEqual(status, 0)
        self.assertEqual({line.split(":")[0] for line in lines}, {"ok", "warning"})

    async def test_failure(self) -> None:
        """A failure does, and says where to read more."""
        status, lines = await self.check(
            written("jamf-connect").replace(SECRET.encode(), b"canary-of-the-file")
        )
        self.assertEqual(status, 1)
        failures = [line for line in lines if line.startswith("failure: ")]
        self.assertEqual(len(failures), 2)
        for line in failures:
            self.assertRegex(line, r"See https://\S+/docs/clients/jamf-connect\.md$")
        self.assertNotIn("canary", "".join(lines))

    async def test_escapes(self) -> None:
        """A file writes neither lines nor escape sequences of its own."""
        data = plistlib.dumps(
            {"OIDCProvider": "Custom", "ROPGDiscoveryURL": "https://a/\u202ex", "K\u2028ok: x": 1}
        )
        _, lines = await self.check(data)
        self.assertTrue("".join(lines).isprintable())

    async def test_huge_file(self) -> None:
        """No more of a file is read than a profile can have."""
        status, lines = await self.check(b"<" * (MAX_SIZE * 3))
        self.assertEqual((status, len(lines)), (1, 1))
        self.assertIn("KiB", lines[0])

    async def test_no_file(self) -> None:
        """A file that cannot be read is invalid usage."""
        status, out, err = await self.run_("--check", str(self.folder / "missing"))
        self.assertEqual((status, out), (os.EX_USAGE, b""))
        self.assertIn("missing: No such file or directory", err)
