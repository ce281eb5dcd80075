"""``ropg check`` as a process: its lines, its JSON, its exit status, and what it leaves alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.cli.check import CheckOptions
from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.sandbox.http.outposts import OUTPOST_TOKEN
from tests.certificates import identity
from tests.daemon import PATIENCE, ROPG, DaemonProcess, SandboxProcess
from tests.parametrize import parametrize
from tests.ports import free_port

SECRETS = {
    "CLIENT_SECRET": "canary-client",
    "JWT_SECRET": "canary-jwt-0123456789-0123456789-0123456789",
    "ROPG_OUTPOST_TOKEN": "canary-outpost",
    "ROPG_LIMITS_STORE": "redis://:canary-store@127.0.0.1:1/0",
}

MARKS = ("canary-client", "canary-jwt", "canary-outpost", "canary-store")
"""What the secrets contain."""

WATCHED: Final = """
import os, sys

def watch(event, arguments):
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (
        os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
    )
    changes = event in ("os.mkdir", "os.remove", "os.rename", "os.chmod", "os.chown", "os.link")
    connects = event in (
        "socket.bind", "socket.connect", "socket.getaddrinfo", "socket.gethostbyname"
    )
    if (writes or changes or connects) and "/dev/null" not in map(str, arguments):
        sys.__stdout__.write(f"touched: {event} {arguments[:2]}\\n")

sys.addaudithook(watch)
from ropg_twisted.cli import main
sys.argv = ["ropg", "check", *sys.argv[1:]]
main()
"""
"""``ropg check``, which reports each file that it writes and each connection."""


class Checking(SynchronousTestCase):
    """The command, run to its end."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def run_command(
        self, *command: str, environ: Mapping[str, str], typed: str = ""
    ) -> tuple[int, list[str]]:
        """The exit status, and the lines of both outputs, which show no secret."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ROPG_", "AUTHENTIK", "PROXY_ISSUER"))
        }
        done = subprocess.run(
            command,
            env={**inherited, **environ},
            cwd=self.folder,
            input=typed,
            text=True,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        output = done.stdout + done.stderr
        for secret in (*MARKS, USUAL_PASSWORD, OUTPOST_TOKEN, "Traceback", "eyJ"):
            self.assertNotIn(secret, output)
        return done.returncode, output.splitlines()

    def check(
        self, *options: str, environ: Mapping[str, str], typed: str = ""
    ) -> tuple[int, list[str]]:
        """``ropg check`` with these options. Each line begins with a state."""
        status, lines = self.run_command(str(ROPG), "check", *options, environ=environ, typed=typed)
        for line in lines:
            self.assertIn(line.partition(":")[0], ("ok", "warning", "failure"), line)
        return status, lines

    def expect_failures(self, environ: Mapping[str, str], *words: str) -> None:
        """The failures have these words, one each."""
        status, lines = self.check(environ=environ)
        failures = [line for line in lines if line.startswith("failure: ")]
        self.assertEqual((status, len(failures)), (1, len(words)), lines)
        for line, expected in zip(failures, words, strict=True):
            self.assertIn(expected, line)

    def expect_warnings(self, environ: Mapping[str, str], *names: str) -> None:
        """Nothing fails, and these have warnings."""
        status, lines = self.check(environ=environ)
        warnings = [line.split(": ")[1] for line in lines if line.startswith("warning: ")]
        self.assertEqual((status, warnings), (0, list(names)), lines)


class JourneyTests(Checking):
    """The way of a new user, from empty settings to a checked password."""

    def test_from_nothing_to_green(self) -> None:
        """Each message is followed, until only that is left which a test cannot have."""
        environ: dict[str, str] = {}
        self.expect_failures(environ, "AUTHENTIK_URL is missing; for example: AUTHENTIK_URL=")
        port = free_port()
        environ["AUTHENTIK_URL"] = f"http://127.0.0.1:{port}"
        self.expect_failures(environ, "PROXY_ISSUER is missing; for example: PROXY_ISSUER=")
        environ["PROXY_ISSUER"] = "http://ropg.test"
        refused = f"127.0.0.1 refuses connections at port {port}"
        self.expect_failures(environ, "PROXY_ISSUER is http", refused)
        own_port = free_port()
        environ["PROXY_ISSUER"] = f"https://localhost:{own_port}"
        environ["ROPG_LISTEN"] = f"ssl:{own_port}:interface=127.0.0.1:privateKey=tls.pem"
        self.expect_failures(environ, "tls.pem cannot work (No such file", refused)
        authority = identity("authority.test", authority=True, days=300)
        shown = identity("localhost", authority, days=90)
        (self.folder / "tls.pem").write_text(shown.key + shown.pem)
        self.expect_failures(environ, refused)
        with SandboxProcess(self.folder, port):
            self.follow(environ)
            (self.folder / "authority.pem").write_text(authority.pem)
            settings: Any = environ
            with DaemonProcess(self.folder, listen=environ["ROPG_LISTEN"], **settings):
                self.expect_warnings(environ, "issuer", "certificate-trust")
                environ["SSL_CERT_FILE"] = str(self.folder / "authority.pem")
                self.expect_warnings(environ, "issuer")
                self.check_passwords(environ)

    def follow(self, environ: dict[str, str]) -> None:
        """Follow the messages about the flow and the outpost token."""
        environ["FLOW_SLUG"] = "password-check"
        self.expect_failures(environ, "Correct FLOW_SLUG")
        environ["FLOW_SLUG"] = "req-outpost"
        self.expect_failures(environ, "set ROPG_OUTPOST_TOKEN to a token that Authentik knows")
        environ["ROPG_OUTPOST_TOKEN"] = SECRETS["ROPG_OUTPOST_TOKEN"]
        unknown = "Authentik does not know ROPG_OUTPOST_TOKEN, or it has expired"
        self.expect_failures(environ, unknown, "flow")
        environ["ROPG_OUTPOST_TOKEN"] = OUTPOST_TOKEN
        self.expect_warnings(environ, "issuer", "trusted-proxies", "daemon")
        environ["ROPG_TRUSTED_PROXIES"] = "127.0.0.1"
        self.expect_warnings(environ, "issuer", "daemon")

    def check_passwords(self, environ: Mapping[str, str]) -> None:
        """A right password is ok, a wrong one is not."""
        status, lines = self.check("--user", "alice", environ=environ, typed=USUAL_PASSWORD)
        self.assertEqual(status, 0, lines)
        self.assertIn("ok: user: The password is right: alice, groups ", "\n".join(lines))
        status, lines = self.check("--user", "alice", environ=environ, typed="an-unlucky-guess")
        self.assertEqual(status, 1, lines)
        self.assertIn("failure: user: ", "\n".join(lines))


class CommandTests(Checking):
    """Options, JSON and exit status."""

    def test_json(self) -> None:
        """One object with the same findings, in the form that scripts read."""
        environ = {"AUTHENTIK_URL": "sandbox:", "PROXY_ISSUER": "https://ropg.test"}
        status, lines = self.check("--settings", environ=environ)
        json_status, text = self.run_command(
            *(str(ROPG), "check", "--settings", "--json"), environ=environ
        )
        answer = json.loads("\n".join(text))
        self.assertEqual(list(answer), ["checks"])
        for check, line in zip(answer["checks"], lines, strict=True):
            self.assertEqual(list(check), ["name", "state", "message", "help"])
            self.assertTrue(line.startswith(f"{check['state']}: {check['name']}: "))
            self.assertIn(check["message"], line)
        self.assertEqual((status, json_status), (0, 0))

    def test_settings_of_a_file(self) -> None:
        """The file is that of the option or of the environment; an error in it is a failure."""
        path = self.folder / "ropg.toml"
        path.write_text('authentik_url = "sandbox:"\nissuer = "https://ropg.test"\n')
        for options, environ in {
            ("--config", str(path)): {},
            (): {"ROPG_CONFIG": str(path)},
        }.items():
            status, lines = self.check("--settings", *options, environ=environ)
            self.assertEqual(status, 1, lines)
            self.assertIn("unknown setting issuer", lines[0])

    def test_clients(self) -> None:
        """Only a client that is set can be chosen."""
        environ = {"AUTHENTIK_URL": "sandbox:", "PROXY_ISSUER": "https://ropg.test"}
        status, lines = self.check("--settings", "--client", "fleet", environ=environ)
        self.assertEqual((status, len(lines)), (1, 1))
        self.assertIn("no client fleet in the settings, only jamf-connect", lines[0])

    def test_authorities_without_certificates(self) -> None:
        """They are told as the daemon would tell them."""
        path = self.folder / "ca.pem"
        path.write_text("nothing")
        environ = {
            "AUTHENTIK_URL": "https://authentik.test",
            "PROXY_ISSUER": "https://ropg.test",
            "ROPG_CA_FILE": str(path),
        }
        status, [line] = self.check("--settings", environ=environ)
        self.assertEqual(status, 1)
        self.assertIn("ROPG_CA_FILE contains no PEM certificates", line)

    @parametrize({"no user for settings": (["--settings", "--user", "alice"],), "x": (["x"],)})
    def test_usage(self, options: list[str]) -> None:
        """Wrong usage."""
        with self.assertRaises(usage.UsageError):
            CheckOptions().parseOptions(options)

    def test_no_password(self) -> None:
        """Without one nothing is checked."""
        status, _ = self.run_command(str(ROPG), "check", "--user", "alice", environ={})
        self.assertEqual(status, os.EX_USAGE)


class UntouchedTests(Checking):
    """What the command leaves alone."""

    def touched(self, *options: str, environ: Mapping[str, str]) -> list[str]:
        """The files that were written and the connections that were made."""
        command = (sys.executable, "-B", "-c", WATCHED, *options)
        # A process whose coverage is measured writes the figures to a file.
        unmeasured = {**environ, "COVERAGE_PROCESS_START": ""}
        _, lines = self.run_command(*command, environ=unmeasured)
        self.assertIn("ok: settings: ", "\n".join(lines))
        return [line for line in lines if line.startswith("touched: ")]

    def test_settings_touch_nothing(self) -> None:
        """With ``--settings`` no socket is opened and no file is written, and secrets stay."""
        environ = {
            **SECRETS,
            "AUTHENTIK_URL": "https://authentik.test",
            "PROXY_ISSUER": "https://ropg.test",
            "ROPG_ADMIN_LISTEN": "tcp:8582:interface=127.0.0.1",
        }
        self.assertEqual(self.touched("--settings", environ=environ), [])
        self.assertEqual(os.listdir(self.folder), [])

    def test_a_whole_check_writes_no_file(self) -> None:
        """It connects, but creates neither keys nor folders."""
        environ = {
            **SECRETS,
            "AUTHENTIK_URL": f"http://127.0.0.1:{free_port()}",
            "PROXY_ISSUER": f"https://localhost:{free_port()}",
            "ROPG_LISTEN": f"tcp:{free_port()}:interface=127.0.0.1",
        }
        events = {line.split()[1] for line in self.touched(environ=environ)}
        self.assertIn("socket.connect", events)
        self.assertEqual({event for event in events if not event.startswith("socket.")}, set())
        self.assertEqual(os.listdir(self.folder), [])
