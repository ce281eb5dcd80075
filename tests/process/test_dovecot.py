"""A real Dovecot that checks passwords with the daemon: password grant, then introspection."""

from __future__ import annotations

import imaplib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.provisioning.profiles.dovecot import profile
from ropg_twisted.provisioning.profiles.registration import Registration
from ropg_twisted.sandbox.accounts import USUAL_PASSWORD, find
from ropg_twisted.settings.model import Client
from tests import FIRST_PYTHON_ONLY
from tests.audit_lines import audit_lines
from tests.composition import make_settings
from tests.daemon import PATIENCE, DaemonProcess, Process, SandboxProcess
from tests.ports import free_port

DOVECOT: Final = shutil.which("dovecot") or "/usr/sbin/dovecot"
CLIENT: Final = "dovecot"
SECRET: Final = "a-long-random-text-for-dovecot"
NOBODY: Final = 65534

RIGHT: Final = "OK"
WRONG: Final = "[AUTHENTICATIONFAILED]"
LATER: Final = "[UNAVAILABLE]"
"""Answers to a login (RFC 5530)."""


def missing() -> str | None:
    """Return why Dovecot cannot be run, or None."""
    if not Path(DOVECOT).exists() or not Path("/usr/lib/dovecot/imap-login").exists():
        return "dovecot-core and dovecot-imapd are not installed"
    version = subprocess.run([DOVECOT, "--version"], capture_output=True, text=True, check=True)
    if not version.stdout.startswith("2.3."):
        return f"the settings are those of Dovecot 2.3, not {version.stdout.strip()}"
    return None if os.geteuid() == 0 else "Dovecot is started by root only"


def snippet(url: str) -> str:
    """Return the settings of Dovecot 2.3 that ``ropg profile dovecot`` writes."""
    client = Client(CLIENT, secret=SECRET)
    registration = Registration(client, make_settings(client, issuer=url), shows_secret=True)
    _, _, text = profile(registration).decode().partition("readable by root alone\n")
    return text.partition("\n# Dovecot 2.4")[0]


class DovecotProcess(Process):
    """A Dovecot that asks the daemon at ``url``.

    ``folder``: has a short path, because the paths of UNIX sockets must be short.
    """

    def __init__(self, folder: Path, url: str, username_attribute: str) -> None:
        self.port = free_port()
        folder.chmod(0o755)
        mail = folder / "mail"
        mail.mkdir()
        os.chown(mail, NOBODY, NOBODY)
        oauth2 = folder / "oauth2.conf"
        oauth2.write_text(
            snippet(url).replace(
                "username_attribute = username", f"username_attribute = {username_attribute}"
            )
        )
        config = folder / "dovecot.conf"
        config.write_text(
            f"base_dir = {folder}/run\n"
            f"state_dir = {folder}/state\n"
            "log_path = /dev/stderr\n"
            "protocols = imap\n"
            "listen = 127.0.0.1\n"
            "ssl = no\n"
            "disable_plaintext_auth = no\n"
            "auth_mechanisms = plain login\n"
            "auth_failure_delay = 0\n"
            "auth_verbose = yes\n"
            f"mail_location = maildir:{mail}/%u\n"
            f"passdb {{\n driver = oauth2\n mechanisms = plain login\n args = {oauth2}\n}}\n"
            f"userdb {{\n driver = static\n args = uid={NOBODY} gid={NOBODY} home={mail}\n}}\n"
            "service imap-login {\n"
            f" inet_listener imap {{\n  port = {self.port}\n }}\n"
            " inet_listener imaps {\n  port = 0\n }\n"
            "}\n"
            # Wrong passwords of one address would be delayed.
            "service anvil {\n unix_listener anvil-auth-penalty {\n  mode = 0\n }\n}\n"
        )
        super().__init__(DOVECOT, "-F", "-c", str(config), environ={}, folder=folder)

    def begin(self) -> None:
        """Wait until it accepts connections."""
        self.wait_for(lambda line: "starting up for imap" in line)

    def log_in(self, username: str, password: str) -> str:
        """Return the answer of the IMAP server to a login."""
        with imaplib.IMAP4("127.0.0.1", self.port, PATIENCE) as imap:
            typed = f"\0{username}\0{password}".encode()
            try:
                status, _ = imap.authenticate("PLAIN", lambda _: typed)
            except imaplib.IMAP4.error as error:
                return str(error)
            return status


class DovecotTests(SynchronousTestCase):
    """IMAP logins."""

    skip = FIRST_PYTHON_ONLY or missing()
    timeout = 120

    def setUp(self) -> None:
        self.folder = Path(mkdtemp(prefix="ropg-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.folder)

    def daemon(self, sandbox: SandboxProcess) -> DaemonProcess:
        """A daemon for Dovecot, with the profile of this name."""
        config = self.folder / "ropg.toml"
        config.write_text(
            f'[[clients]]\nid = "{CLIENT}"\nprofile = "dovecot"\nsecret = "{SECRET}"\n'
        )
        return DaemonProcess(
            self.folder, AUTHENTIK_URL=sandbox.url, ROPG_CONFIG=str(config), ROPG_MAX_CHECKS="4"
        )

    def test_logins(self) -> None:
        """A right password opens the mailbox, a wrong one does not; nothing else is wrong."""
        erin = find("erin")
        assert erin is not None
        with (
            SandboxProcess(self.folder) as sandbox,
            self.daemon(sandbox) as daemon,
            DovecotProcess(self.folder, f"http://127.0.0.1:{daemon.port}", "username") as dovecot,
        ):
            self.assertEqual(dovecot.log_in("alice", USUAL_PASSWORD), RIGHT)
            self.assertEqual(dovecot.log_in("erin", erin.password), RIGHT)
            self.assertIn(WRONG, dovecot.log_in("alice", "wrong"))
            self.assertIn(LATER, dovecot.log_in("bob", USUAL_PASSWORD))
            # The token is that of alice, but nobody typed this name.
            self.assertIn(WRONG, dovecot.log_in("alice@example.com", USUAL_PASSWORD))
            sandbox.end(signal.SIGKILL)
            self.assertIn(LATER, dovecot.log_in("alice", USUAL_PASSWORD))
            self.assertEqual(dovecot.end(), 0)
            self.assertEqual(daemon.end(), 0)
            lines = [
                (line["event"], line.get("reason") or line["result"])
                for line in audit_lines(daemon.output)
            ]
        self.assertEqual(
            lines,
            [
                *[("check", "verified"), ("introspection", "active")] * 2,
                ("check", "wrong_credentials"),
                ("check", "mfa"),
                *[("check", "verified"), ("introspection", "active")],
                ("check", "upstream_connection"),
            ],
        )
        for secret in (USUAL_PASSWORD, erin.password, SECRET):
            self.assertNotIn(secret, "".join((*daemon.output, *dovecot.output)))

    def test_logins_by_address(self) -> None:
        """Users may type their e-mail address, if Dovecot compares it with that."""
        with (
            SandboxProcess(self.folder) as sandbox,
            self.daemon(sandbox) as daemon,
            DovecotProcess(self.folder, f"http://127.0.0.1:{daemon.port}", "email") as dovecot,
        ):
            self.assertEqual(dovecot.log_in("alice@example.com", USUAL_PASSWORD), RIGHT)
            self.assertIn(WRONG, dovecot.log_in("alice@example.com", "wrong"))
