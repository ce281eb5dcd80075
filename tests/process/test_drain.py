"""The end of a daemon whose clients have hung up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import treq
from twisted.internet import reactor as global_reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, ResponseNeverReceived

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.sandbox.directory import DirectoryState
from ropg_twisted.sandbox.http.app import Sandbox, sandbox_site
from tests.daemon import DaemonProcess
from tests.ports import free_port


class DrainTests(TestCase):
    """A check goes on at Authentik after its client has hung up."""

    timeout = 120
    reactor: Any = global_reactor

    async def test_a_check_without_its_client_is_finished(self) -> None:
        """The daemon ends after that check has logged in, and its session is removed."""
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        sandbox = Sandbox(self.reactor)
        port = self.reactor.listenTCP(0, sandbox_site(sandbox), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        directory = sandbox.directories["corp"]
        admin = free_port()
        agent = Agent(self.reactor)
        with DaemonProcess(
            folder,
            AUTHENTIK_URL=f"http://127.0.0.1:{port.getHost().port}",
            ROPG_ADMIN_LISTEN=f"tcp:{admin}:interface=127.0.0.1",
        ) as daemon:
            response = await treq.get(f"{daemon.url}/ready", agent=agent)
            self.assertEqual(response.code, 200)
            directory.state, directory.slow_seconds = DirectoryState.SLOW, 1
            form = {"grant_type": "password", "client_id": "jamf-connect", "username": "lea"}
            check = treq.post(
                f"{daemon.url}/oauth/token", data={**form, "password": USUAL_PASSWORD}, agent=agent
            )
            metrics = ""
            while "ropg_checks_in_progress 1.0" not in metrics:
                await deferLater(self.reactor, 0.01)
                response = await treq.get(f"http://127.0.0.1:{admin}/metrics", agent=agent)
                metrics = await response.text()
            check.addErrback(lambda failure: failure.trap(ResponseNeverReceived) and None)
            check.cancel()
            self.assertEqual(await deferToThread(daemon.end), 0, daemon.output)
        logins = [event.username for event in sandbox.events if event.kind == "login"]
        self.assertEqual(logins, ["lea"])
        self.assertEqual(sandbox.sessions.authenticated, [])
