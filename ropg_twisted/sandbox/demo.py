"""Demonstration: the daemon with the sandbox, and a client that asks it over HTTP.

Run it with ``make demo``, or with ``python -m ropg_twisted.sandbox.demo [--once]``.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
from contextlib import suppress
from tempfile import TemporaryDirectory
from typing import Any, Final

import jwt
import treq
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, ProcessExitedAlready
from twisted.internet.interfaces import IReactorProcess
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater, react
from twisted.python.failure import Failure

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.settings.table import CONFIG, TABLE
from ropg_twisted.settings.values import SANDBOX, SANDBOX_PORT
from ropg_twisted.types import IReactor

PORT: Final = 8580
URL: Final = f"http://127.0.0.1:{PORT}"
CLIENT: Final = "jamf-connect"

PATIENCE: Final = 30
"""Seconds for the daemon to become ready."""

TWISTD: Final = "from twisted.scripts.twistd import run; run()"


class Daemon(ProcessProtocol):
    """``twistd -n ropg`` as a child process with our standard output.

    ``ended`` fires when it has ended.
    """

    def __init__(self, reactor: IReactor, state_dir: str) -> None:
        self.ended: Deferred[None] = Deferred()
        settings = {CONFIG.name, *TABLE}
        environ = {k: v for k, v in os.environ.items() if k.removesuffix("_FILE") not in settings}
        environ |= {
            "AUTHENTIK_URL": SANDBOX,
            "PROXY_ISSUER": URL,
            "ROPG_STATE_DIR": state_dir,
            "ROPG_LOG": "text",
        }
        command = [sys.executable, "-c", TWISTD, "-n", "--pidfile=", "ropg"]
        self._child = IReactorProcess(reactor).spawnProcess(
            self, sys.executable, command, environ, childFDs={0: 0, 1: 1, 2: 2}
        )

    def processEnded(self, reason: Failure) -> None:
        """Fire ``ended``."""
        self.ended.callback(None)

    def end(self) -> Deferred[None]:
        """Send SIGTERM, and wait until the daemon has ended."""
        with suppress(ProcessExitedAlready):
            self._child.signalProcess("TERM")
        return self.ended

    def outlast(self, reactor: IReactor) -> Deferred[None]:
        """Wait until the daemon has ended. Ctrl-C in a terminal has signalled it already."""
        # For an end without Ctrl-C. The daemon ignores a second signal.
        reactor.callLater(3, self.end)
        return self.ended


async def demo(reactor: IReactor, *options: str) -> None:
    """Start the daemon, ask it twice, then serve until Ctrl-C; with ``--once``, end at once."""
    for port in (PORT, SANDBOX_PORT):
        if is_taken(port):
            sys.exit(f"demo: port {port} of 127.0.0.1 is taken by another program")
    with TemporaryDirectory(prefix="ropg-demo-") as state_dir:
        daemon = Daemon(reactor, state_dir)
        reactor.addSystemEventTrigger("before", "shutdown", daemon.outlast, reactor)
        await ready(reactor, daemon)
        status, tokens = await ask("alice", USUAL_PASSWORD)
        right = status == 200 and await is_genuine(tokens["id_token"])
        status, error = await ask("alice", "a wrong password")
        wrong = status == 400 and error["error"] == "invalid_grant"
        if "--once" not in options:
            print(f"\nServing at {URL} until Ctrl-C.")
            print(f"Other people and their passwords: http://127.0.0.1:{SANDBOX_PORT}", flush=True)
            await daemon.ended
        await daemon.end()
    if not (right and wrong):
        sys.exit("demo: an answer is not as it should be")


async def ready(reactor: IReactor, daemon: Daemon) -> None:
    """Wait until the daemon is ready; exit if it has ended or takes too long."""
    deadline = reactor.seconds() + PATIENCE
    while not daemon.ended.called:
        if reactor.seconds() > deadline:
            sys.exit(f"demo: the daemon is not ready after {PATIENCE} seconds")
        with suppress(ConnectError):
            response = await treq.get(f"{URL}/ready")
            await response.content()
            if response.code == 200:
                return
        await deferLater(reactor, 0.1)
    sys.exit("demo: the daemon has ended, and has said why above")


async def ask(username: str, password: str) -> tuple[int, Any]:  # As treq has JSON.
    """Ask for tokens, and show the request and its answer: status and JSON."""
    form = {
        "grant_type": "password",
        "client_id": CLIENT,
        "scope": "openid profile email",
        "username": username,
        "password": password,
    }
    fields = [part for pair in form.items() for part in ("--data-urlencode", "=".join(pair))]
    print("\n$", shlex.join(["curl", *fields, f"{URL}/oauth/token"]))
    response = await treq.post(f"{URL}/oauth/token", form)
    answer = await response.json()
    print(f"HTTP {response.code}\n{json.dumps(answer, indent=2)}", flush=True)
    return response.code, answer


async def is_genuine(id_token: str) -> bool:
    """Verify an id token as a client does, with the keys that the daemon publishes."""
    response = await treq.get(f"{URL}/.well-known/jwks.json")
    keys = jwt.PyJWKSet.from_dict(await response.json())
    key = keys[jwt.get_unverified_header(id_token)["kid"]]
    claims = jwt.decode(id_token, key, audience=CLIENT, issuer=URL)
    print(f"\nThe id token, verified with the published keys:\n{json.dumps(claims, indent=2)}")
    return bool(claims["preferred_username"] == "alice")


def is_taken(port: int) -> bool:
    """Return whether another program listens at the port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    react(demo, sys.argv[1:])
