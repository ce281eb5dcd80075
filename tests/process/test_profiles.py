"""Clients that do exactly what a profile of ``ropg profile`` says, against the daemon.

They know nothing else of the daemon: no URL, no client id, no secret and no body.
"""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
from collections.abc import Mapping
from configparser import RawConfigParser
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import requests
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD, find
from tests.daemon import PATIENCE, ROPG, DaemonProcess, Process, SandboxProcess
from tests.ports import free_port

RIGHT: Final = "right"
WRONG: Final = "wrong"
LATER: Final = "later"

SECRET: Final = "a secret & more"

SETTINGS: Final = f"""
app_slug = "jamf-connect"

[[clients]]
id = "mac"
profile = "jamf-connect"
secret = "{SECRET}"

[[clients]]
id = "xcreds"
profile = "xcreds"
secret = "{SECRET}"
limits = "user 10 per 15 minutes"

[[clients]]
id = "jamf-connect"
profile = "himmelblau"
redirect_uri = "https://127.0.0.1/jamfconnect"

[[clients]]
id = "radius"
secret = "{SECRET}"
limits = "user 10 per 15 minutes"
"""

CASES: Final = {
    "right": ("alice", None, RIGHT),
    "unusual characters": ("erin", None, RIGHT),
    "wrong": ("alice", "a wrong password", WRONG),
    "second factor": ("bob", None, RIGHT),
    "denied": ("grace", None, WRONG),
}
"""User, password if it is not the right one, and what a Mac makes of the answer."""


class JamfConnect:
    """Jamf Connect, with the keys of one of its two domains."""

    def __init__(
        self, client: str, secret: str, discovery: str, codes: list[str], uri: str
    ) -> None:
        self._form = {"client_id": client, "client_secret": secret, "redirect_uri": uri}
        self._discovery = discovery
        self._codes = codes

    def check(self, username: str, password: str) -> str:
        """What it makes of a password."""
        metadata = requests.get(self._discovery, timeout=PATIENCE).json()
        form = {
            "grant_type": "password",
            "username": username,
            "password": password,
            "scope": "openid profile email",
            **self._form,
        }
        answer = requests.post(metadata["token_endpoint"], data=form, timeout=PATIENCE)
        return RIGHT if answer.ok or answer.json()["error"] in self._codes else WRONG


class XCreds:
    """XCreds 5.4."""

    def __init__(self, keys: Mapping[str, Any]) -> None:
        self._keys = keys

    def check(self, username: str, password: str) -> str:
        """What it makes of a password."""
        form = {
            "grant_type": "password",
            "scope": self._keys["scopes"],
            "username": username,
            "password": password,
            "client_id": self._keys["clientID"],
            "client_secret": self._keys["clientSecret"],
        }
        body = "&".join(f"{name}={quote(value, safe='+')}" for name, value in form.items())
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            metadata = requests.get(self._keys["discoveryURL"], timeout=PATIENCE).json()
            endpoint = metadata["token_endpoint"]
            answer = requests.post(endpoint, data=body, headers=headers, timeout=PATIENCE)
        except requests.ConnectionError:
            return LATER
        known = answer.text in self._keys["ropgResponseValue"]
        return RIGHT if answer.ok or (400 <= answer.status_code <= 403 and known) else WRONG


class Himmelblau:
    """Himmelblau 4."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = keys

    def check(self, username: str, password: str) -> str:
        """What it makes of a password."""
        issuer = self._keys["oidc_issuer_url"]
        url = f"{issuer}/.well-known/openid-configuration"
        metadata = requests.get(url, timeout=PATIENCE).json()
        assert metadata["issuer"] == issuer
        assert "password" in metadata["grant_types_supported"]
        assert metadata["device_authorization_endpoint"]
        form = {
            "grant_type": "password",
            "username": username,
            "password": password,
            "scope": "openid profile email offline_access",
            "client_id": self._keys["app_id"],
        }
        answer = requests.post(metadata["token_endpoint"], data=form, timeout=PATIENCE)
        tokens = answer.json()
        if answer.ok and tokens["id_token"] and tokens["refresh_token"]:
            return RIGHT
        description = tokens["error_description"].lower()
        return WRONG if "invalid username or password" in description else LATER


class FreeRADIUS(Process):
    """A real FreeRADIUS, with the snippet as it is."""

    def __init__(self, folder: Path, snippet: bytes) -> None:
        self._port = free_port()
        (folder / "ropg").write_bytes(snippet)
        (folder / "radiusd.conf").write_text(
            "prefix = /usr\n"
            "libdir = /usr/lib/freeradius\n"
            f"raddbdir = {folder}\nrun_dir = {folder}\nlogdir = {folder}\n"
            "thread pool {\n start_servers = 1\n max_servers = 4\n}\n"
            "client here {\n ipaddr = 127.0.0.1\n secret = testing123\n}\n"
            f"modules {{\n expr {{\n }}\n $INCLUDE {folder}/ropg\n}}\n"
            "server default {\n"
            f" listen {{\n  type = auth\n  ipaddr = 127.0.0.1\n  port = {self._port}\n }}\n"
            " authorize {\n  if (&User-Password) {\n"
            "   update control {\n    &Auth-Type := ropg\n   }\n  }\n }\n"
            " authenticate {\n  Auth-Type ropg {\n   ropg\n  }\n }\n"
            "}\n"
        )
        command = ("freeradius", "-f", "-l", "stdout", "-d", str(folder))
        super().__init__(*command, "-D", "/usr/share/freeradius", environ={}, folder=folder)

    def begin(self) -> None:
        """Wait until it listens."""
        self.wait_for(lambda line: "Ready to process requests" in line)

    def check(self, username: str, password: str) -> str:
        """The answer to a wireless client."""
        escaped = password.replace("\\", "\\\\").replace('"', '\\"')
        options = ("radclient", "-x", "-r", "1", "-t", str(PATIENCE))
        done = subprocess.run(
            [*options, f"127.0.0.1:{self._port}", "auth", "testing123"],
            input=f'User-Name = "{username}"\nUser-Password = "{escaped}"\n',
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        return RIGHT if "Received Access-Accept" in done.stdout else WRONG


class ProfileTests(SynchronousTestCase):
    """One daemon, and each client set up by its profile."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        config = self.folder / "ropg.toml"
        config.write_text(SETTINGS)
        self.sandbox = SandboxProcess(self.folder)
        daemon = DaemonProcess(self.folder, AUTHENTIK_URL=self.sandbox.url, ROPG_CONFIG=str(config))
        for process in (self.sandbox, daemon):
            process.__enter__()
            self.addCleanup(process.__exit__, None, None, None)
        self.environ = {
            **os.environ,
            "AUTHENTIK_URL": self.sandbox.url,
            "PROXY_ISSUER": daemon.url,
            "ROPG_CONFIG": str(config),
        }

    def ropg(self, *words: str, status: int = 0) -> bytes:
        """The standard output of ``ropg profile``."""
        command = [str(ROPG), "profile", *words]
        done = subprocess.run(command, env=self.environ, capture_output=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stdout

    def keys(self, program: str) -> dict[str, Any]:
        """The payloads of a configuration profile, by domain. The check has nothing against it."""
        text = self.ropg(program, "--show-secrets")
        path = self.folder / "profile"
        path.write_bytes(text)
        lines = self.ropg("--check", str(path)).decode().splitlines()
        self.assertEqual([line for line in lines if not line.startswith("ok: ")], [])
        return {each["PayloadType"]: each for each in plistlib.loads(text)["PayloadContent"]}

    def assert_answers(self, client: Any, **others: str) -> None:
        """A client makes the right thing of each case. ``others``: where it does not as a Mac."""
        for case, (username, password, wanted) in CASES.items():
            user = find(username)
            assert user is not None
            found = client.check(username, password or user.password)
            self.assertEqual(found, others.get(case.replace(" ", "_"), wanted), case)

    def test_jamf_connect(self) -> None:
        """Users with a second factor have a right password, by the keys of each domain."""
        keys = self.keys("jamf-connect")
        login_window = keys["com.jamf.connect.login"]
        client = JamfConnect(
            login_window["OIDCROPGID"],
            login_window["ROPGClientSecret"],
            login_window["ROPGDiscoveryURL"],
            login_window["ROPGSuccessCodes"],
            login_window["ROPGRedirectURI"],
        )
        self.assert_answers(client)
        menu_bar = keys["com.jamf.connect"]["IdPSettings"]
        client = JamfConnect(
            menu_bar["ROPGID"],
            menu_bar["ClientSecret"],
            menu_bar["DiscoveryURL"],
            menu_bar["SuccessCodes"],
            login_window["OIDCRedirectURI"],
        )
        self.assert_answers(client)

    def test_xcreds(self) -> None:
        """The bodies are compared, and an outage of Authentik is no wrong password."""
        client = XCreds(self.keys("xcreds")["com.twocanoes.xcreds"])
        self.assert_answers(client)
        self.sandbox.end()
        self.assertEqual(client.check("alice", USUAL_PASSWORD), LATER)

    def test_himmelblau(self) -> None:
        """It gets a refresh token, and falls back for what is no wrong password."""
        parser = RawConfigParser()
        parser.read_string(self.ropg("himmelblau").decode())
        client = Himmelblau(parser["global"])
        self.assert_answers(client, second_factor=LATER, denied=LATER)

    def test_freeradius(self) -> None:
        """A real FreeRADIUS accepts the right password."""
        if shutil.which("freeradius") is None or shutil.which("radclient") is None:
            raise SkipTest("freeradius, freeradius-rest and freeradius-utils are not installed")
        if not Path("/usr/lib/freeradius/rlm_rest.so").exists():
            raise SkipTest("freeradius-rest is not installed")
        snippet = self.ropg("freeradius", "--show-secrets")
        with FreeRADIUS(self.folder, snippet) as client:
            self.assert_answers(client, second_factor=WRONG)
        self.assertNotIn(USUAL_PASSWORD, "".join(client.output))
