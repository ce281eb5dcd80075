"""Checks of the running daemon, and of a whole installation whose Authentik is hostile."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.protocol import Factory, Protocol

from ropg_twisted.diagnostics.daemon import check_daemon
from ropg_twisted.diagnostics.examination import examine
from ropg_twisted.diagnostics.findings import State
from ropg_twisted.diagnostics.user import UserPassword
from ropg_twisted.sandbox.http.outposts import OUTPOST_TOKEN
from ropg_twisted.verdict import Reason
from tests.certificates import Identity, identity
from tests.composition import daemon_site
from tests.diagnostics.examining import ExaminationTestCase, reactor, states
from tests.fakes import RIGHT, FakeReadiness, FixedVerifier
from tests.parametrize import parametrize
from tests.ports import free_port

OUTAGE = (Reason.UPSTREAM_TIMEOUT,)
RESTRICTED = (None, Reason.FLOW_UNPROVEN)


class DaemonTests(ExaminationTestCase):
    """The daemon as clients reach it."""

    async def daemon(
        self,
        readiness: tuple[Reason | None, ...] = (),
        shown: Identity | None = None,
        **changes: Any,
    ) -> Any:
        """The installation of a daemon that runs. ``changes``: fields of its settings."""
        port = free_port()
        scheme, where = "http", f"tcp:{port}:interface=127.0.0.1"
        if shown is not None:
            path = Path(self.mktemp())
            path.write_text(shown.key + shown.pem)
            scheme, where = "https", f"ssl:{port}:interface=127.0.0.1:privateKey={path}"
        issuer = f"{scheme}://localhost:{port}"
        site = daemon_site(
            FixedVerifier(RIGHT),
            reactor=reactor,
            readiness=FakeReadiness(*readiness),
            **{"issuer": issuer, **changes},
        )
        await self.serve(site, where)
        return partial(self.installation, PROXY_ISSUER=issuer)

    async def test_nothing_runs(self) -> None:
        """That is a warning: the daemon may be started later."""
        await self.expect(check_daemon, self.installation(), "daemon", State.WARNING, "address")
        installation = self.installation(PROXY_ISSUER=f"http://localhost:{free_port()}")
        await self.expect(check_daemon, installation, "daemon", State.WARNING, "Start the daemon")

    @parametrize(
        {
            "ready": ((), State.OK, "is ready"),
            "not ready": (OUTAGE, State.FAILURE, "Authentik did not answer in time"),
            "with a restriction": (RESTRICTED, State.WARNING, "Pretend user exists"),
        }
    )
    async def test_readiness(
        self, readiness: tuple[Reason | None, ...], state: State, words: str
    ) -> None:
        """The words are those of the reason."""
        installation = (await self.daemon(readiness))()
        await self.expect(check_daemon, installation, "ready", state, words)
        await self.expect(check_daemon, installation, "daemon", State.OK, "answers")

    async def test_no_readiness(self) -> None:
        """An error of the daemon is no readiness."""
        no_reason: Any = object()
        installation = (await self.daemon((no_reason,)))()
        await self.expect(check_daemon, installation, "ready", State.FAILURE, "see its log")
        self.flushLoggedErrors(TypeError)

    async def test_another_issuer(self) -> None:
        """A daemon that was started with other settings is found out."""
        installation = (await self.daemon(issuer="https://old.example.com"))()
        await self.expect(check_daemon, installation, "discovery", State.FAILURE, "restart it")

    @parametrize({"a page": (b"<html>",), "hangs up": (b"",)})
    async def test_something_else(self, page: bytes) -> None:
        """It is not taken for the daemon."""

        class Other(Protocol):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                if page:
                    self.transport.write(b"HTTP/1.1 200 OK\r\n\r\n" + page)
                self.transport.loseConnection()

        port = await self.serve(Factory.forProtocol(Other))
        installation = self.installation(PROXY_ISSUER=f"http://localhost:{port}")
        [finding] = await self.findings(check_daemon, installation)
        self.assertEqual((finding.name, finding.state), ("daemon", State.FAILURE))
        self.assertIn("something else is at PROXY_ISSUER", finding.message)

    async def test_certificate(self) -> None:
        """It is judged as by a Mac. The rest is checked where this machine trusts it."""
        authority = identity("authority.test", authority=True)
        daemon = await self.daemon(shown=identity("localhost", authority, days=90))
        found = await self.findings(check_daemon, daemon())
        self.assertEqual(
            states(found), {"certificate": State.OK, "certificate-trust": State.WARNING}
        )
        path = Path(self.mktemp())
        path.write_text(authority.pem)
        found = await self.findings(check_daemon, daemon(ROPG_CA_FILE=str(path)))
        self.assertEqual(states(found)["discovery"], State.OK)
        daemon = await self.daemon(shown=identity("localhost", authority, server_auth=False))
        await self.expect(check_daemon, daemon(), "certificate", State.FAILURE, "serverAuth")
        await self.expect(check_daemon, daemon(), "daemon", State.WARNING, "failure of certificate")

    async def test_no_tls(self) -> None:
        """An issuer with https, but a daemon without it."""
        issuer = (await self.daemon()).keywords["PROXY_ISSUER"].replace("http", "https")
        installation = self.installation(PROXY_ISSUER=issuer, ROPG_DEADLINE="0.3")
        await self.expect(check_daemon, installation, "certificate", State.FAILURE, "TLS 1.2")


class HostileTests(ExaminationTestCase):
    """An Authentik that connects, but answers with rubbish."""

    async def test_no_connection(self) -> None:
        """One failure, and one line for each group that needs it."""
        installation = self.installation()
        check = partial(examine, user=UserPassword("alice", "an-unlucky-guess"))
        found = await self.findings(check, installation)
        failures = [finding.name for finding in found if finding.state is State.FAILURE]
        self.assertEqual(failures, ["authentik-connection"])
        unchecked = [finding.name for finding in found if "Not checked" in finding.message]
        self.assertEqual(unchecked, ["outpost-token", "application", "flow", "user"])

    @parametrize(
        {
            "a page": (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",),
            "an empty object": (
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
            ),
            "a list": (
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]",
            ),
            "a redirect to itself": (b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n",),
            "an error": (b"HTTP/1.1 418 No\r\nContent-Length: 0\r\n\r\n",),
            "compressed": (
                b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
            ),
            "an end too early": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",),
            "no end": (b"HTTP/1.1 200 OK\r\n\r\n" + b"{" * 3_000_000,),
            "no header": (b"\x00" * 100,),
        }
    )
    async def test_every_request(self, answer: bytes) -> None:
        """Every check ends with a line, and something fails."""

        class Hostile(Protocol):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.write(answer)
                self.transport.loseConnection()

        port = await self.serve(Factory.forProtocol(Hostile))
        installation = self.installation(
            AUTHENTIK_URL=f"http://127.0.0.1:{port}",
            ROPG_DEADLINE="0.5",
            ROPG_OUTPOST_TOKEN=OUTPOST_TOKEN,
        )
        check = partial(examine, user=UserPassword("alice", "an-unlucky-guess"))
        found = await self.findings(check, installation)
        text = "\n".join(map(str, found))
        self.assertIn(State.FAILURE, states(found).values(), text)
        self.assertIn("Not checked, because of the failure of ", text)
        for secret in (OUTPOST_TOKEN, "an-unlucky-guess", "Traceback"):
            self.assertNotIn(secret, text)
