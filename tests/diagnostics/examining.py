"""Runs checks against a sandbox on a socket, whose answers a test can replace."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from twisted.internet import reactor as running
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IHostnameResolver, IHostResolution, IResolutionReceiver
from twisted.trial.unittest import TestCase
from twisted.web.server import Site
from zope.interface import implementer

from ropg_twisted.authentik import client
from ropg_twisted.authentik.agent import ConnectionPool
from ropg_twisted.diagnostics.findings import Finding, State
from ropg_twisted.diagnostics.installation import Installation
from ropg_twisted.remedies import DOCUMENTATION
from ropg_twisted.sandbox.accounts import Account
from ropg_twisted.sandbox.flow.flows import Flow
from ropg_twisted.sandbox.http.app import Sandbox
from ropg_twisted.server.endpoints import listening_endpoint
from ropg_twisted.settings.sources import read_settings
from tests.memory import RequestRecorder
from tests.paths import CHECKOUT
from tests.ports import free_port
from tests.test_documents import anchors

reactor: Any = running

ISSUER = "https://ropg.example.com"

Check = Callable[[Installation], AsyncIterator[Finding]]


def states(findings: Iterable[Finding]) -> dict[str, State]:
    """The states of findings by their names; of two with one name the worse."""
    order = list(State)
    found: dict[str, State] = {}
    for finding in findings:
        worst = max(found.get(finding.name, State.OK), finding.state, key=order.index)
        found[finding.name] = worst
    return found


@implementer(IHostnameResolver, IHostResolution)
class LocalhostResolver:
    """Knows no host but this one."""

    name = ""

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: object = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """See :class:`IHostnameResolver`."""
        resolutionReceiver.resolutionBegan(self)
        if hostName in ("localhost", "127.0.0.1"):
            address = IPv4Address("TCP", "127.0.0.1", portNumber)
            resolutionReceiver.addressResolved(address)
        resolutionReceiver.resolutionComplete()
        return self

    def cancel(self) -> None:
        """See :class:`IHostResolution`."""


@cache
def help_pages() -> frozenset[str]:
    """The URLs of all parts of the documents."""
    return frozenset(
        f"{DOCUMENTATION}{path.name}#{anchor}"
        for path in (CHECKOUT / "docs").glob("*.md")
        for anchor in anchors(path.read_text("utf-8"))
    )


class ExaminationTestCase(TestCase):
    """An installation whose Authentik is a sandbox on a socket."""

    now: Callable[[], float] = staticmethod(time.time)

    def setUp(self) -> None:
        """Ask no name server, and close the connections that a check keeps alive in the end."""
        usual = reactor.installNameResolver(LocalhostResolver())
        self.addCleanup(reactor.installNameResolver, usual)
        pools: list[ConnectionPool] = []

        def make_pool(clock: Any) -> ConnectionPool:
            pools.append(ConnectionPool(clock))
            return pools[-1]

        def close() -> None:
            for pool in pools:
                pool.close()

        self.patch(client, "ConnectionPool", make_pool)
        self.addCleanup(close)

    async def serve(self, site: Any, endpoint: str = "tcp:0:interface=127.0.0.1") -> int:
        """Serve for as long as the test runs; the port."""
        port: Any = await listening_endpoint(reactor, endpoint).listen(site)
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    async def sandbox(
        self, flows: Iterable[Flow] = (), accounts: Iterable[Account] = ()
    ) -> RequestRecorder:
        """Serve a sandbox at ``authentik_url``."""
        self.stand_in = Sandbox(reactor, flows, accounts)
        recorder = RequestRecorder(self.stand_in.resource)
        site = Site(recorder, parsePOSTFormSubmission=False)
        self.authentik_url = f"http://127.0.0.1:{await self.serve(site)}"
        return recorder

    def installation(self, client_id: str | None = None, clients: str = "", **environ: str) -> Any:
        """The installation with these settings. ``clients``: their tables, as TOML."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "ropg.toml").write_text(clients)
        usual = {
            "AUTHENTIK_URL": getattr(self, "authentik_url", "http://127.0.0.1:1"),
            "PROXY_ISSUER": ISSUER,
            "ROPG_LISTEN": f"tcp:{free_port()}:interface=127.0.0.1",
            "ROPG_CONFIG": str(folder / "ropg.toml"),
            "ROPG_STATE_DIR": str(folder / "state"),
        }
        settings = read_settings({}, usual | environ)
        return Installation.of(settings, client_id, reactor, self.now)

    async def findings(self, check: Check, installation: Installation) -> list[Finding]:
        """All findings of a check. Each line begins with its state, and is one line."""
        found = [finding async for finding in check(installation)]
        for finding in found:
            line = str(finding)
            self.assertTrue(line.startswith(f"{finding.state.value}: {finding.name}: "), line)
            self.assertTrue(line.isprintable(), line)
            needs_help = finding.state is not State.OK and "Not checked" not in line
            self.assertEqual(finding.help is not None, needs_help, line)
            self.assertIn(finding.help, {None, *help_pages()})
        return found

    async def expect(
        self, check: Check, installation: Installation, name: str, state: State, words: str = ""
    ) -> Finding:
        """The finding of this name and state whose message has these words."""
        found = await self.findings(check, installation)
        for finding in found:
            if (finding.name, finding.state) == (name, state) and words in finding.message:
                return finding
        raise AssertionError("\n".join(map(str, found)))
