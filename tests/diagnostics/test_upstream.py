"""Checks of the way to Authentik."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.diagnostics.authentik_server import check_server, version_in
from ropg_twisted.diagnostics.findings import State
from ropg_twisted.diagnostics.upstream import check_upstream
from ropg_twisted.sandbox.http.app import Sandbox, sandbox_site
from ropg_twisted.sandbox.http.outposts import OUTPOST_TOKEN
from tests.certificates import Identity, identity
from tests.diagnostics.examining import ExaminationTestCase, reactor, states
from tests.parametrize import parametrize
from tests.ports import free_port

HEALTH = "/-/health/ready/"


class ConnectionTests(ExaminationTestCase):
    """Name, connection, health, clock and version."""

    async def test_everything_is_fine(self) -> None:
        """Each has its line."""
        await self.sandbox()
        installation = self.installation(ROPG_OUTPOST_TOKEN=OUTPOST_TOKEN)
        found = await self.findings(check_upstream, installation)
        found += await self.findings(check_server, installation)
        names = ("connection", "ready", "clock", "version")
        self.assertEqual(states(found), {f"authentik-{name}": State.OK for name in names})
        self.assertEqual(found[-1].message, "Authentik 2026.5.0-rc1.")
        self.assertNotIn(OUTPOST_TOKEN, "".join(map(str, found)))

    async def test_a_name_has_its_addresses(self) -> None:
        """They are listed; a name without any is a failure, and nothing else is asked."""
        await self.sandbox()
        url = self.authentik_url.replace("127.0.0.1", "localhost")
        installation = self.installation(AUTHENTIK_URL=url)
        await self.expect(check_upstream, installation, "authentik-name", State.OK, "localhost is ")
        installation = self.installation(AUTHENTIK_URL="http://authentik.invalid")
        [finding] = await self.findings(check_upstream, installation)
        self.assertEqual((finding.name, finding.state), ("authentik-name", State.FAILURE))
        self.assertIn("authentik.invalid has no address", finding.message)

    async def test_nothing_listens(self) -> None:
        """The line says so, and of the sandbox where it would run."""
        for url, words in {
            f"http://127.0.0.1:{free_port()}": "refuses connections",
            f"sandbox:{free_port()}": "start the daemon first",
        }.items():
            installation = self.installation(AUTHENTIK_URL=url)
            [finding] = await self.findings(check_upstream, installation)
            self.assertEqual(finding.state, State.FAILURE)
            self.assertIn(words, finding.message)

    @parametrize(
        {
            "it starts": (503, State.FAILURE, "HTTP 503"),
            "it is broken": (500, State.FAILURE, "read its log"),
            "something else is there": (404, State.WARNING, "URL of Authentik"),
        }
    )
    async def test_health(self, status: int, state: State, words: str) -> None:
        """What is not ready is a failure, what is not Authentik a warning."""
        authentik = await self.sandbox()
        authentik.overrides[HEALTH] = status
        await self.expect(check_upstream, self.installation(), "authentik-ready", state, words)

    @parametrize(
        {
            "a little late": (-5, State.OK, "agree"),
            "late": (-40, State.WARNING, "seconds"),
            "early": (40, State.WARNING, "seconds"),
            "an hour late": (-3600, State.FAILURE, "NTP"),
        }
    )
    async def test_clock(self, seconds: float, state: State, words: str) -> None:
        """The clocks are compared by the Date of an answer."""
        await self.sandbox()
        self.now = lambda: time.time() + seconds
        await self.expect(check_server, self.installation(), "authentik-clock", state, words)

    async def test_an_old_version(self) -> None:
        """It is a warning."""
        authentik = await self.sandbox()
        authentik.overrides["/api/v3/admin/version/"] = b'{"version_current":"2024.12.3"}'
        installation = self.installation(ROPG_OUTPOST_TOKEN=OUTPOST_TOKEN)
        await self.expect(
            check_server, installation, "authentik-version", State.WARNING, "2024.12.3"
        )

    @parametrize({"a number": (b"1",), "digits": (b'"%s.1"' % (b"9" * 9999),), "none": (b"null",)})
    async def test_no_version(self, version: bytes) -> None:
        """Then the login page is looked at."""
        authentik = await self.sandbox()
        authentik.overrides["/api/v3/admin/version/"] = b'{"version_current":%s}' % version
        installation = self.installation(ROPG_OUTPOST_TOKEN=OUTPOST_TOKEN)
        await self.expect(check_server, installation, "authentik-version", State.OK, "2026.5.")

    async def test_the_version_without_a_token(self) -> None:
        """The login page tells it; a page of somebody else does not."""
        authentik = await self.sandbox()
        installation = self.installation()
        await self.expect(
            check_server, installation, "authentik-version", State.OK, "Authentik 2026.5."
        )
        authentik.overrides["/if/flow/default-authentication-flow/"] = b"<html>"
        await self.expect(
            check_server, installation, "authentik-version", State.WARNING, "cannot be seen"
        )


class HostileTests(ExaminationTestCase):
    """Something at AUTHENTIK_URL that is not Authentik, or not well."""

    @parametrize(
        {
            "silence": (b"", "did not answer in time"),
            "no end": (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 3_000_000, "not a JSON object"),
            "no HTTP": (b"220 mail.example.com ESMTP\r\n", "No connection"),
            "a page": (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n<html>\x1b[2J", ""),
        }
    )
    async def test_every_answer(self, answer: bytes, words: str) -> None:
        """It leads to lines, in bounded time."""

        class Hostile(Protocol):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.write(answer)

        self.authentik_url = f"http://127.0.0.1:{await self.serve(Factory.forProtocol(Hostile))}"
        found = await self.findings(check_upstream, self.installation(ROPG_DEADLINE="0.5"))
        self.assertIn(words, "".join(finding.message for finding in found))


class CertificateTests(ExaminationTestCase):
    """Authentik on TLS."""

    async def serve_tls(self, shown: Identity) -> None:
        """Serve a sandbox with this certificate, for localhost."""
        path = Path(self.mktemp())
        path.write_text(shown.key + shown.pem)
        where = f"ssl:0:interface=127.0.0.1:privateKey={path}"
        port = await self.serve(sandbox_site(Sandbox(reactor)), where)
        self.authentik_url = f"https://localhost:{port}"

    def trusting(self, authority: Identity) -> Any:
        """The installation that trusts an authority."""
        path = Path(self.mktemp())
        path.write_text(authority.pem)
        return self.installation(ROPG_CA_FILE=str(path))

    async def test_certificate(self) -> None:
        """Trust, name and time are those that the daemon requires."""
        authority = identity("authority.test", authority=True)
        other = identity("other.test", authority=True)
        cases = {
            "fine": (identity("localhost", authority, days=90), authority, State.OK, "trusted"),
            "ends soon": (identity("localhost", authority), authority, State.WARNING, "ends on"),
            "another name": (identity("x.test", authority), authority, State.FAILURE, "localhost"),
            "untrusted": (
                identity("localhost", authority, days=90),
                other,
                State.FAILURE,
                "did not sign it",
            ),
        }
        for shown, trusted, state, words in cases.values():
            await self.serve_tls(shown)
            installation = self.trusting(trusted)
            await self.expect(check_upstream, installation, "authentik-certificate", state, words)
        await self.expect(
            check_upstream,
            self.installation(),
            "authentik-certificate",
            State.FAILURE,
            "Set ROPG_CA_FILE",
        )

    async def test_no_tls(self) -> None:
        """A server that speaks plain HTTP at the port is named as such."""
        await self.sandbox()
        url = self.authentik_url.replace("http", "https")
        installation = self.installation(AUTHENTIK_URL=url, ROPG_DEADLINE="0.3")
        await self.expect(
            check_upstream,
            installation,
            "authentik-certificate",
            State.FAILURE,
            "does not speak TLS 1.2",
        )


class VersionTests(SynchronousTestCase):
    """The version in a page of Authentik."""

    @parametrize(
        {
            "scripts": ('<script src="/static/dist/poly-2026.8.5.js">', "2026.8.5"),
            "a candidate": ('src="/static/flow/FlowInterface-2026.5.0-rc1.js"', "2026.5.0-rc1"),
            "the family": ('versionFamily: "2025.10",', "2025.10"),
            "neither": ("<html>", None),
            "dots": ('versionFamily: "..."', None),
        }
    )
    def test_page(self, page: str, version: str | None) -> None:
        """The exact version is in the names of the scripts."""
        self.assertEqual(version_in(page), version)
