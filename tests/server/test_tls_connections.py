"""TLS connections: what is agreed on, and how they end."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterable
from typing import Any

from twisted.internet import reactor

from ropg_twisted.server.site import BoundedSite
from ropg_twisted.settings.model import Client
from ropg_twisted.verdict import Reason, Verdict
from tests.certificates import Identity
from tests.client import FORM
from tests.composition import daemon_site
from tests.fakes import RIGHT, FixedVerifier, outcome
from tests.server.sites import CHECK, HEALTH
from tests.server.tls import (
    LEAF,
    PATIENCE,
    WITH_RSA,
    BlockingClient,
    TLSTestCase,
    client_context,
    key_and_certificate,
)


class NegotiationTests(TLSTestCase):
    """TLS versions and ciphers: as App Transport Security wants them, and nothing weaker."""

    async def endpoints(self) -> list[tuple[int, Identity]]:
        """Ports with both kinds of endpoint and both kinds of key."""
        found = []
        for one in (LEAF, WITH_RSA):
            for kind in ("ssl", "tls"):
                self.folder = self.folder / "one"
                self.folder.mkdir()
                self.file = self.write(key_and_certificate(one))
                found.append((await self.serve(getattr(self, kind)), one))
        return found

    async def meet(self, port: int, trusted: Identity, **wishes: Any) -> str:
        """Version and cipher for a client's wishes, or the reason why there are none."""
        context = client_context(trusted)
        context.set_ciphers(wishes.pop("ciphers", "ALL:@SECLEVEL=0"))
        for name, value in wishes.items():
            setattr(context, name, value)

        def work() -> str:
            try:
                visitor = BlockingClient(port, context)
            except ssl.SSLError as error:
                return str(error.reason)
            try:
                assert visitor.ask() == 200
                return f"{visitor.socket.version()} {(visitor.socket.cipher() or '?')[0]}"
            finally:
                visitor.close()

        return await self.blocking(work)

    async def test_versions(self) -> None:
        """TLS 1.2 and 1.3 are spoken, older ones are refused."""
        versions = ssl.TLSVersion
        for port, one in await self.endpoints():
            for version, wanted in (
                (versions.TLSv1, "TLSV1_ALERT_PROTOCOL_VERSION"),
                (versions.TLSv1_1, "TLSV1_ALERT_PROTOCOL_VERSION"),
                (versions.TLSv1_2, "TLSv1.2"),
                (versions.TLSv1_3, "TLSv1.3"),
            ):
                met = await self.meet(port, one, minimum_version=version, maximum_version=version)
                self.assertEqual(met.split()[0], wanted, (version, one))
        self.flushWarnings()

    async def test_every_session_has_forward_secrecy(self) -> None:
        """With TLS 1.2 the ciphers of today are taken, those without ECDHE are not."""
        for port, one in await self.endpoints():
            kind = "RSA" if one is WITH_RSA else "ECDSA"
            for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"):
                name = f"ECDHE-{kind}-{cipher}"
                self.assertEqual(await self.meet_1_2(port, one, name), f"TLSv1.2 {name}")
            for ciphers in ("kRSA", "kDHE", "eNULL", "aNULL"):
                met = await self.meet_1_2(port, one, f"{ciphers}:@SECLEVEL=0")
                self.assertEqual(met, "SSLV3_ALERT_HANDSHAKE_FAILURE", (kind, ciphers))

    async def test_the_server_s_own_choice_is_authenticated_encryption(self) -> None:
        """A client that takes anything gets ECDHE with AES-GCM or ChaCha20."""
        for port, one in await self.endpoints():
            met = await self.meet_1_2(port, one, "ALL:@SECLEVEL=0")
            self.assertRegex(met, r"^TLSv1\.2 ECDHE-.*(GCM|POLY1305)")

    async def meet_1_2(self, port: int, one: Identity, ciphers: str) -> str:
        """The result for a client that speaks TLS 1.2 with these ciphers only."""
        return await self.meet(port, one, ciphers=ciphers, maximum_version=ssl.TLSVersion.TLSv1_2)

    async def test_a_client_that_would_rather_speak_http_2_is_answered(self) -> None:
        """It is told that there is HTTP/1.1 only, and makes do with it, as Macs do."""
        for port, one in await self.endpoints():
            context = client_context(one)
            context.set_alpn_protocols(["h2", "http/1.1"])

            def work(port: int = port, context: ssl.SSLContext = context) -> tuple[Any, int]:
                visitor = BlockingClient(port, context)
                try:
                    return visitor.socket.selected_alpn_protocol(), visitor.ask()
                finally:
                    visitor.close()

            self.assertEqual(await self.blocking(work), ("http/1.1", 200))


class EndTests(TLSTestCase):
    """Ends of connections."""

    async def exchange(self, site: BoundedSite, pieces: Iterable[bytes]) -> bytes:
        """Send one piece after the other, as records of their own; what has come back."""
        self.write(key_and_certificate(LEAF))
        port = await self.serve(self.ssl, site)

        def work() -> bytes:
            visitor, said = BlockingClient(port, client_context(LEAF)), b""
            try:
                for piece in pieces:
                    visitor.socket.sendall(piece)
                while data := visitor.socket.recv(65536):
                    said += data
            except OSError:
                pass
            finally:
                visitor.close()
            return said

        return await self.blocking(work)

    async def test_an_abort_is_no_answer(self) -> None:
        """In an outage the connection is cut without a byte, on a kept connection as well."""
        down = FixedVerifier(outcome(Verdict.UNVERIFIABLE, Reason.UPSTREAM_CONNECTION))
        for pieces in ([CHECK], [HEALTH, CHECK], [CHECK, HEALTH]):
            site = daemon_site(down, Client("mac", drop_on_outage=True), reactor=reactor)
            said = await self.exchange(site, pieces)
            self.assertNotIn(b"error", said)
            self.assertLessEqual(said.count(b"HTTP/1.1"), len(pieces) - 1, pieces)

    async def test_bytes_behind_the_end_are_not_looked_at(self) -> None:
        """Data that arrives while the connection closes brings neither an answer nor an error."""
        chunked = f"POST /oauth/token HTTP/1.1\r\n{FORM}Transfer-Encoding: chunked\r\n\r\n".encode()
        for start in (b"GARBAGE\r\n", chunked + b"zz\r\n", b"GET / HTTP/1.1\r\nX\r\nY: z\r\n"):
            site = daemon_site(FixedVerifier(RIGHT), reactor=reactor)
            more = (b"X: y\r\n\r\n", HEALTH, b"0\r\n\r\n" + HEALTH)
            said = await self.exchange(site, (start, *more))
            self.assertLessEqual(said.count(b"HTTP/1.1"), 1, start)
            self.assert_quiet()

    async def test_a_client_that_speaks_no_tls_is_dropped(self) -> None:
        """Plain HTTP, nothing at all, and half a handshake end without an error."""
        self.write(key_and_certificate(LEAF))
        port = await self.serve(self.ssl)

        def work() -> list[bytes]:
            heard = []
            for data in (HEALTH, b"", b"\x16\x03\x01\x02\x00\x01", os.urandom(500)):
                with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                    client.sendall(data)
                    client.shutdown(socket.SHUT_WR)
                    try:
                        heard.append(client.recv(65536))
                    except OSError:
                        heard.append(b"")
            return heard

        for heard in await self.blocking(work):
            self.assertNotIn(b"HTTP", heard)
        self.assertEqual(await self.visit(port, LEAF), LEAF.certificate)
        self.assert_quiet()
