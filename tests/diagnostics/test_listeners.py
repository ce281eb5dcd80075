"""Checks of the listeners and of the certificates that they show."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from twisted.internet.protocol import Factory, Protocol

from ropg_twisted.diagnostics.findings import State
from ropg_twisted.diagnostics.listeners import check_listeners
from tests.certificates import Identity, identity
from tests.composition import daemon_site
from tests.diagnostics.examining import ExaminationTestCase, reactor, states
from tests.fakes import RIGHT, FixedVerifier
from tests.parametrize import parametrize
from tests.ports import free_port

HOST = "ropg.example.com"


class PortTests(ExaminationTestCase):
    """A port is free, the daemon's, or somebody else's."""

    async def test_free(self) -> None:
        """A free port is left free."""
        port = free_port()
        where = f"tcp:{port}:interface=127.0.0.1"
        installation = self.installation(ROPG_LISTEN=where, ROPG_ADMIN_LISTEN=where)
        found = await self.findings(check_listeners, installation)
        self.assertEqual([finding.state for finding in found], [State.OK] * 2)
        self.assertIn("free for the daemon", found[0].message)
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(("127.0.0.1", port))

    async def test_the_daemon_listens(self) -> None:
        """It is recognized by its answer, or by its certificate."""
        site = daemon_site(FixedVerifier(RIGHT), reactor=reactor)
        port = await self.serve(site)
        installation = self.installation(ROPG_LISTEN=f"tcp:{port}:interface=127.0.0.1")
        await self.expect(check_listeners, installation, "listen", State.OK, "daemon listens")
        path = self.certificate(identity(HOST, days=90))
        files = f"interface=127.0.0.1:privateKey={path}"
        port = await self.serve(site, f"ssl:0:{files}")
        installation = self.installation(ROPG_LISTEN=f"ssl:{port}:{files}")
        await self.expect(check_listeners, installation, "listen", State.OK, "daemon listens")

    async def test_two_certificates(self) -> None:
        """The daemon is recognized by the certificate for the host of its issuer."""
        folder = Path(self.mktemp())
        folder.mkdir()
        for number, host in enumerate(("a.test", HOST, "z.test")):
            shown = identity(host, days=90)
            (folder / f"{number}.pem").write_text(shown.key + shown.pem)
        site = daemon_site(FixedVerifier(RIGHT), reactor=reactor)
        port = await self.serve(site, f"tls:{folder}:0:interface=127.0.0.1")
        installation = self.installation(ROPG_LISTEN=f"tls:{folder}:{port}:interface=127.0.0.1")
        found = states(await self.findings(check_listeners, installation))
        self.assertEqual(found, {"certificate": State.OK, "listen": State.OK})

    async def test_behind_haproxy(self) -> None:
        """Such a listener answers HAProxy alone."""
        port = await self.serve(Factory.forProtocol(Protocol))
        where = f"haproxy:tcp:{port}:interface=127.0.0.1"
        installation = self.installation(ROPG_LISTEN=where)
        await self.expect(check_listeners, installation, "listen", State.WARNING, "HAProxy")

    async def test_the_admin_listener(self) -> None:
        """Its certificate may be for another name, as no Mac connects there."""
        path = self.certificate(identity("admin.test", days=90))
        where = f"ssl:{free_port()}:interface=127.0.0.1:privateKey={path}"
        installation = self.installation(ROPG_ADMIN_LISTEN=where)
        found = states(await self.findings(check_listeners, installation))
        self.assertEqual(found, {"listen": State.OK})

    @parametrize({"silent": (b"",), "a mail server": (b"220 ESMTP\r\n",)})
    async def test_somebody_else_listens(self, greeting: bytes) -> None:
        """The line says what to do, with TLS and without it."""

        class Speaks(Protocol):
            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.write(greeting)

        port = await self.serve(Factory.forProtocol(Speaks))
        path = self.certificate(identity(HOST, days=90))
        for where in (
            f"tcp:{port}:interface=127.0.0.1",
            f"ssl:{port}:interface=127.0.0.1:privateKey={path}",
        ):
            installation = self.installation(ROPG_LISTEN=where, ROPG_DEADLINE="0.3")
            await self.expect(
                check_listeners, installation, "listen", State.FAILURE, "choose another port"
            )

    @parametrize(
        {
            "no files": ("ssl:443:privateKey=/nowhere/key.pem", "No such file"),
            "an empty folder": ("tls:/nowhere:443", "no certificate"),
            "no endpoint": ("carrier-pigeon:1", "cannot work"),
        }
    )
    async def test_it_cannot_work(self, where: str, words: str) -> None:
        """The cause is named."""
        installation = self.installation(ROPG_LISTEN=where)
        await self.expect(check_listeners, installation, "listen", State.FAILURE, words)

    async def test_a_socket_of_systemd(self) -> None:
        """Only the daemon is given it."""
        installation = self.installation(ROPG_LISTEN="systemd:domain=INET:name=ropg")
        await self.expect(check_listeners, installation, "listen", State.OK, "systemd holds")

    async def test_tls_on_a_socket_of_systemd(self) -> None:
        """Its certificate is looked at all the same."""
        path = self.certificate(identity(HOST, days=90))
        files = f"ssl:systemd:domain=INET6:name=ropg:privateKey={path}"
        (path.parent / "ropg.pem").write_bytes(path.read_bytes())
        for where in (files, f"tls:{path.parent}:systemd:domain=INET:index=0"):
            installation = self.installation(ROPG_LISTEN=where)
            found = states(await self.findings(check_listeners, installation))
            self.assertEqual(found, {"certificate": State.OK, "listen": State.OK}, where)

    async def test_a_unix_socket(self) -> None:
        """Its folder must exist. The socket itself is not touched: the daemon may use it."""
        folder = Path(self.mktemp())
        folder.mkdir()
        installation = self.installation(ROPG_LISTEN=f"unix:{folder}/socket")
        await self.expect(check_listeners, installation, "listen", State.OK, "can be written")
        self.assertEqual(os.listdir(folder), [])
        installation = self.installation(ROPG_LISTEN=f"unix:{folder}/nowhere/socket")
        await self.expect(check_listeners, installation, "listen", State.FAILURE, "create it")

    def certificate(self, shown: Identity) -> Path:
        """A file with a key and a certificate."""
        path = Path(self.mktemp())
        path.write_text(shown.key + shown.pem)
        return path

    @parametrize(
        {
            "fine": (identity(HOST, days=90), State.OK, "a Mac accepts it"),
            "for another name": (identity("x.test", days=90), State.FAILURE, HOST),
            "ends soon": (identity(HOST), State.WARNING, "ends on"),
            "valid for too long": (identity(HOST, days=900), State.FAILURE, "825"),
        }
    )
    async def test_certificate(self, shown: Identity, state: State, words: str) -> None:
        """It is judged as a Mac does that asks for the host of the issuer."""
        path = self.certificate(shown)
        where = f"ssl:{free_port()}:interface=127.0.0.1:privateKey={path}"
        installation = self.installation(ROPG_LISTEN=where)
        await self.expect(check_listeners, installation, "certificate", state, words)
        self.assertEqual(
            states(await self.findings(check_listeners, installation))["listen"], State.OK
        )
