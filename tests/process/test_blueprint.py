"""A settings file, the blueprint that ``ropg blueprint`` makes from it, and the daemon on both."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import jwt
import requests
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from tests.daemon import ROPG, DaemonProcess, Process
from tests.paths import CHECKOUT
from tests.ports import free_port

OUTPOST_TOKEN = "canary-outpost-token"
CLIENT_SECRET = "canary-client-secret"

MACS = f"""
flow_slug = "macs"
app_slug = "mac-logins"
client_id = "jamf-connect"
outpost_token = "{OUTPOST_TOKEN}"
"""

LINUX = f"""
flow_slug = "linux"
app_slug = "himmelblau"

[[clients]]
id = "himmelblau"
profile = "himmelblau"
redirect_uri = "https://127.0.0.1/himmelblau"
secret = "{CLIENT_SECRET}"
"""


class BlueprintSandboxProcess(Process):
    """A sandbox that a blueprint has set up, listening at ``url``."""

    def __init__(self, folder: Path, blueprint: Path, **environ: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        module = "tests.provisioning.blueprint_sandbox"
        super().__init__(
            *(sys.executable, "-m", module, str(port), str(blueprint)),
            environ={"PYTHONPATH": str(CHECKOUT), **environ},
            folder=folder,
        )

    def begin(self) -> None:
        """Wait until it listens."""
        self.wait_for(lambda line: f"The sandbox is at {self.url}" in line)


class BlueprintTests(SynchronousTestCase):
    """The real commands, sockets and files."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.config = self.folder / "ropg.toml"

    def blueprint(self, settings: str, *arguments: str) -> Path:
        """Write the settings file, and return the file of the blueprint that fits it."""
        self.config.write_text(settings)
        command = (str(ROPG), "blueprint", "--config", str(self.config), *arguments)
        run = subprocess.run(command, capture_output=True, check=True, timeout=60)
        path = self.folder / "ropg.yaml"
        path.write_bytes(run.stdout)
        self.assertEqual(run.stderr, b"")
        self.assertNotIn(b"canary", run.stdout)
        return path

    def daemon(
        self, sandbox: BlueprintSandboxProcess, outpost_token: str | None = None
    ) -> DaemonProcess:
        """The daemon with the same settings file, and perhaps with another token."""
        return DaemonProcess(
            self.folder,
            AUTHENTIK_URL=sandbox.url,
            ROPG_CONFIG=str(self.config),
            ROPG_OUTPOST_TOKEN=outpost_token or "",
        )

    def ask(self, daemon: DaemonProcess, username: str, password: str, **more: str) -> Any:
        """The JSON of a password check."""
        form = {"grant_type": "password", "username": username, "password": password, **more}
        return requests.post(f"{daemon.url}/oauth/token", data=form, timeout=30).json()

    def test_macs(self) -> None:
        """A public client, a group, a second factor and an outpost."""
        path = self.blueprint(MACS, "--group", "mac-users")
        client = {"client_id": "jamf-connect", "scope": "openid profile"}
        with (
            BlueprintSandboxProcess(self.folder, path, ROPG_OUTPOST_TOKEN=OUTPOST_TOKEN) as sandbox,
            self.daemon(sandbox) as daemon,
        ):
            ready = requests.get(f"{daemon.url}/ready", timeout=30)
            self.assertEqual((ready.status_code, ready.json()), (200, {"status": "ready"}))
            right = self.ask(daemon, "alice", USUAL_PASSWORD, **client)
            claims = jwt.decode(right["id_token"], options={"verify_signature": False})
            self.assertEqual((claims["preferred_username"], claims["iss"]), ("alice", daemon.url))
            for username, password, error in (
                ("alice", f"{USUAL_PASSWORD} ", "invalid_grant"),
                ("bob", USUAL_PASSWORD, "interaction_required"),
                ("bob", "wrong", "invalid_grant"),
                ("dave", ' pä"ss&w=örd; ', "access_denied"),
                ("nobody", "wrong", "invalid_grant"),
            ):
                answer = self.ask(daemon, username, password, **client)
                self.assertEqual(answer["error"], error, username)
            document = requests.get(f"{daemon.url}/.well-known/openid-configuration", timeout=30)
            self.assertIn("offline_access", document.json()["scopes_supported"])
            with self.daemon(sandbox, "another") as stranger:
                answer = requests.get(f"{stranger.url}/ready", timeout=30).json()
                self.assertEqual(answer["reason"], "flow_denied")

    def test_linux(self) -> None:
        """A confidential client that gets Authentik's own tokens, without an outpost."""
        path = self.blueprint(LINUX, "--no-outpost", "--second-factor", "none")
        client = {"client_id": "himmelblau", "client_secret": CLIENT_SECRET}
        with (
            BlueprintSandboxProcess(self.folder, path, ROPG_CLIENT_SECRET=CLIENT_SECRET) as sandbox,
            self.daemon(sandbox) as daemon,
        ):
            ready = requests.get(f"{daemon.url}/ready", timeout=30)
            self.assertEqual((ready.status_code, ready.json()), (200, {"status": "ready"}))
            for username, password in (("dave", ' pä"ss&w=örd; '), ("bob", USUAL_PASSWORD)):
                tokens = self.ask(daemon, username, password, **client)
                claims = jwt.decode(tokens["id_token"], options={"verify_signature": False})
                self.assertEqual(claims["preferred_username"], username)
            again = requests.post(
                f"{daemon.url}/oauth/token",
                data={
                    "grant_type": "refresh_token",
                    "refresh_token": tokens["refresh_token"],
                    **client,
                },
                timeout=30,
            )
            self.assertEqual(again.status_code, 200)
            wrong = self.ask(daemon, "dave", "wrong", **client)
            self.assertEqual(wrong["error"], "invalid_grant")
            wrong = self.ask(daemon, "dave", "wrong", client_id="himmelblau", client_secret="x")
            self.assertEqual(wrong["error"], "invalid_client")
