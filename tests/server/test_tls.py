"""TLS endpoints, over real sockets: renewed certificates, chains, and what they negotiate."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from OpenSSL.SSL import Context
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.logger import LogLevel
from twisted.protocols._sni import PEMObjects
from twisted.python.filepath import FilePath
from twisted.trial.unittest import SynchronousTestCase, TestCase

from ropg_twisted.lifecycle import Listener
from ropg_twisted.server.site import BoundedSite
from ropg_twisted.server.tls import listening_endpoint
from ropg_twisted.settings.errors import SettingError
from ropg_twisted.settings.model import Client
from ropg_twisted.verdict import Reason, Verdict
from tests.certificates import Identity, identity
from tests.fakes import FORM, RIGHT, CapturedLog, FixedVerifier, outcome, post, provider_site

T = TypeVar("T")

HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
CHECK = post("grant_type=password&client_id=mac&username=alice&password=secret")
HEALTHY = b'{"status":"healthy"}'
PATIENCE = 15
"""Seconds for which a client waits for what should come at once."""

reactor: Any = global_reactor

LEAF, OTHER = identity("localhost"), identity("localhost")
ROOT = identity("Root", authority=True)
MIDDLE = identity("Middle", ROOT, authority=True)
CHAINED = identity("localhost", MIDDLE)
WITH_RSA = identity("localhost", rsa_key=True)


def both(one: Identity) -> str:
    """A file that holds the key and the certificate."""
    return one.key + one.pem


def trusting(*authorities: Identity) -> ssl.SSLContext:
    """What a client has that trusts these, and looks at the name."""
    return ssl.create_default_context(cadata="".join(each.pem for each in authorities))


class BlockingClient:
    """A client that keeps its connection. To be used in a thread: it blocks."""

    def __init__(self, port: int, context: ssl.SSLContext, name: str = "localhost") -> None:
        plain = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket = context.wrap_socket(plain, server_hostname=name)

    @property
    def seen(self) -> x509.Certificate:
        """The certificate of the server."""
        encoded = self.socket.getpeercert(binary_form=True)
        assert encoded is not None
        return x509.load_der_x509_certificate(encoded)

    def ask(self) -> int:
        """One more request on the same connection; the status of its answer."""
        self.socket.sendall(HEALTH)
        answer = http.client.HTTPResponse(self.socket)
        answer.begin()
        answer.read()
        return answer.status

    def close(self) -> None:
        """Go."""
        self.socket.close()


class TLSTestCase(TestCase):
    """A site behind an endpoint string, and files of the test's own."""

    timeout = 60

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.file = self.folder / "both.pem"
        self.events = CapturedLog(self).events

    def write(self, text: str, name: str = "both.pem") -> Path:
        """A file in the folder, put there as a whole; never with the time of the one before."""
        path, draft = self.folder / name, self.folder / f".{name}"
        draft.write_text(text)
        draft.replace(path)
        return path

    @property
    def ssl(self) -> str:
        """An ``ssl:`` endpoint on that file."""
        return f"ssl:0:privateKey={self.file}:certKey={self.file}:interface=127.0.0.1"

    @property
    def tls(self) -> str:
        """A ``tls:`` endpoint on the folder."""
        return f"tls:{self.folder}:0:interface=127.0.0.1"

    async def serve(self, where: str, site: BoundedSite | None = None) -> int:
        """Serve at an endpoint, until the test ends, and return its port."""
        site = site or provider_site(FixedVerifier(RIGHT), clock=reactor)
        port: Any = await listening_endpoint(reactor, where).listen(site)
        self.addCleanup(lambda: Deferred.fromCoroutine(site.drain(PATIENCE)))
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    async def blocking(self, work: Callable[[], T]) -> T:
        """Do what blocks in a thread, as the server is in this one."""
        found: T = await deferToThread(work)
        return found

    async def visit(
        self, port: int, *trusted: Identity, name: str = "localhost"
    ) -> x509.Certificate:
        """Ask once, on a new connection; the certificate that was shown."""

        def work() -> x509.Certificate:
            visitor = BlockingClient(port, trusting(*trusted), name)
            try:
                assert visitor.ask() == 200
                return visitor.seen
            finally:
                visitor.close()

        return await self.blocking(work)

    def said(self, words: str) -> int:
        """How many lines of the log of ours hold these words."""
        return sum(
            words in str(event.get("log_format"))
            for event in self.events
            if str(event["log_namespace"]).startswith("ropg_twisted")
        )

    def assert_quiet(self) -> None:
        """Nothing has been logged that an operator would have to look into."""
        self.assertEqual(self.flushLoggedErrors(), [])
        loud = [event for event in self.events if event["log_level"] >= LogLevel.error]
        self.assertEqual(loud, [])


class RenewalTests(TLSTestCase):
    """Certificates that change while the daemon runs."""

    async def test_the_next_connection_sees_a_renewed_certificate(self) -> None:
        """An open connection goes on undisturbed; ``ssl:`` and ``tls:`` alike."""
        for where in (self.ssl, self.tls):
            self.events.clear()
            self.write(both(LEAF))
            port = await self.serve(where)
            early = await self.blocking(lambda port=port: BlockingClient(port, trusting(LEAF)))  # type: ignore[misc]
            self.addCleanup(early.close)
            self.assertEqual(await self.blocking(early.ask), 200)
            self.write(both(OTHER))
            self.assertEqual(await self.visit(port, OTHER), OTHER.certificate, where)
            self.assertEqual(await self.blocking(early.ask), 200)
            self.assertEqual(early.seen, LEAF.certificate)
            self.assertEqual(await self.visit(port, OTHER), OTHER.certificate, where)
            self.assertEqual(self.said("in use from now on"), 1, where)
            early.close()
        self.assert_quiet()

    async def test_a_file_that_is_written_in_place_counts_as_well(self) -> None:
        """Not every tool replaces a file; key and certificate may be two."""
        key = self.write(LEAF.key, "key.pem")
        certificate = self.write(LEAF.pem, "cert.pem")
        port = await self.serve(f"ssl:0:privateKey={key}:certKey={certificate}")
        self.assertEqual(await self.visit(port, LEAF), LEAF.certificate)
        key.write_text(OTHER.key)
        certificate.write_text(OTHER.pem)
        self.assertEqual(await self.visit(port, OTHER), OTHER.certificate)

    async def test_a_bad_new_file_leaves_the_old_one_in_use(self) -> None:
        """It is said once, however many come, and a good one is taken up again."""
        for where in (self.ssl, self.tls):
            for case, text in (
                ("garbage", "garbage"),
                ("empty", ""),
                ("key that does not fit", OTHER.key + LEAF.pem),
                ("key alone", OTHER.key),
                ("certificate alone", OTHER.pem),
                ("cut", both(OTHER)[:-100]),
                ("garbage in PEM", both(OTHER).replace("M", "!")),
                ("missing", None),
            ):
                self.write(both(LEAF))
                port = await self.serve(where)
                self.events.clear()
                if text is None:
                    self.file.unlink()
                else:
                    self.write(text)
                for _ in range(3):
                    try:
                        seen = await self.visit(port, LEAF)
                    except OSError as error:
                        self.fail(f"{where}: {case}: {error!r} {self.flushLoggedErrors()}")
                    self.assertEqual(seen, LEAF.certificate, (where, case))
                self.assertEqual(self.flushLoggedErrors(), [], (where, case))
                self.assertEqual(self.said("old one kept"), 1, (where, case))
                self.assertEqual(self.said("in use from now on"), 0, (where, case))
                self.write(both(OTHER))
                self.assertEqual(await self.visit(port, OTHER), OTHER.certificate, (where, case))
                self.assertEqual(self.said("in use from now on"), 1, (where, case))

    async def test_a_pair_that_is_renewed_one_file_after_the_other(self) -> None:
        """Between the two files the old pair stays in use."""
        key, certificate = self.folder / "key.pem", self.folder / "cert.pem"
        for first, second in ((key, certificate), (certificate, key)):
            key.write_text(LEAF.key)
            certificate.write_text(LEAF.pem)
            port = await self.serve(f"ssl:0:privateKey={key}:certKey={certificate}")
            new = {key: OTHER.key, certificate: OTHER.pem}
            first.write_text(new[first])
            self.assertEqual(await self.visit(port, LEAF), LEAF.certificate, first)
            second.write_text(new[second])
            self.assertEqual(await self.visit(port, OTHER), OTHER.certificate, first)
        self.assertEqual(self.flushLoggedErrors(), [])


class FilesTests(TLSTestCase):
    """What the files may hold, and how they are named."""

    async def test_the_chain_is_served(self) -> None:
        """A client that knows the root alone is content, wherever the chain stands."""
        key = self.write(CHAINED.key, "key.pem")
        full = self.write(CHAINED.pem + MIDDLE.pem, "fullchain.pem")
        leaf = self.write(CHAINED.pem, "leaf.pem")
        chain = self.write(MIDDLE.pem, "chain.pem")
        one = self.write(both(CHAINED) + MIDDLE.pem)
        for files in (
            f"privateKey={key}:certKey={full}",
            f"certKey={full}:privateKey={key}",
            f"privateKey={key}:certKey={leaf}:extraCertChain={chain}",
            f"privateKey={one}",
            f"privateKey={one}:certKey={one}",
        ):
            port = await self.serve(f"ssl:0:{files}:interface=127.0.0.1")
            self.assertEqual(await self.visit(port, ROOT), CHAINED.certificate, files)
        for path in (key, full, leaf, chain):
            path.unlink()
        port = await self.serve(self.tls)
        self.assertEqual(await self.visit(port, ROOT), CHAINED.certificate)

    async def test_a_renewed_chain_is_served(self) -> None:
        """The file of the chain is looked at as the others are."""
        self.write(both(CHAINED))
        chain = self.write(ROOT.pem, "chain.pem")
        port = await self.serve(f"ssl:0:privateKey={self.file}:extraCertChain={chain}")
        with self.assertRaises(ssl.SSLCertVerificationError):
            await self.visit(port, ROOT)
        self.write(MIDDLE.pem, "chain.pem")
        self.assertEqual(await self.visit(port, ROOT), CHAINED.certificate)

    async def test_colons_in_file_names_are_escaped(self) -> None:
        r"""As in every endpoint string, ``\:`` stands for a colon."""
        self.folder = self.folder / "a:b"
        self.folder.mkdir()
        path = str(self.write(both(LEAF), "c:d.pem")).replace(":", r"\:")
        folder = str(self.folder).replace(":", r"\:")
        for where in (
            f"ssl:0:privateKey={path}:certKey={path}:interface=127.0.0.1",
            f"tls:{folder}:0:interface=127.0.0.1",
        ):
            self.write(both(LEAF), "c:d.pem")
            port = await self.serve(where)
            self.assertEqual(await self.visit(port, LEAF), LEAF.certificate, where)
            self.write(both(OTHER), "c:d.pem")
            self.assertEqual(await self.visit(port, OTHER), OTHER.certificate, where)

    async def test_parameters_of_a_folder_may_be_named(self) -> None:
        """As in every endpoint string; an escaped ``=`` names none."""
        self.folder = self.folder / "a=b"
        self.folder.mkdir()
        self.write(both(LEAF))
        path = str(self.folder).replace("=", r"\=")
        for where in (
            f"tls:{path}:port=0:interface=127.0.0.1",
            f"tls:path={path}:port=0:backlog=5:interface=127.0.0.1",
            f"tls:interface=127.0.0.1:{path}:0",
        ):
            self.assertEqual(await self.visit(await self.serve(where), LEAF), LEAF.certificate)

    async def test_a_folder_serves_each_name_its_own(self) -> None:
        """By the name that a client asks for (SNI); for a name that is not there, any."""
        hosts = [identity(name) for name in ("a.example.com", "b.example.com")]
        for host in hosts:
            self.write(both(host), f"{host.certificate.serial_number}.pem")
        port = await self.serve(self.tls)
        for host, name in zip(hosts, ("a.example.com", "b.example.com"), strict=True):
            self.assertEqual(await self.visit(port, host, name=name), host.certificate)
        wildcard = identity("*.example.org")
        self.write(both(wildcard), "wildcard.pem")
        seen = await self.visit(port, wildcard, name="x.example.org")
        self.assertEqual(seen, wildcard.certificate)
        with self.assertRaises(ssl.SSLCertVerificationError):
            await self.visit(port, *hosts, name="c.example.com")
        self.assert_quiet()


class WrongFilesTests(SynchronousTestCase):
    """Files that do not fit at the start."""

    def test_they_are_one_line_that_names_the_setting(self) -> None:
        """Each is a ``SettingError`` for ``ROPG_LISTEN`` that shows nothing of a key."""
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        texts = {
            "garbage": "garbage",
            "empty": "",
            "unfit": OTHER.key + LEAF.pem,
            "key": LEAF.key,
            "certificate": LEAF.pem,
            "cut": both(LEAF)[:-100],
            "odd": both(LEAF).replace("M", "!"),
        }
        wrong = ["ssl:0", "ssl:0:certKey=/nowhere.pem", "ssl:0:privateKey=/nowhere.pem"]
        wrong += [
            "tls:/nowhere:0",
            "tls",
            "ssl:x:privateKey=/nowhere.pem",
            f"ssl:0:privateKey={folder}",
        ]
        for name, text in texts.items():
            (folder / name).mkdir()
            path = folder / name / "both.pem"
            path.write_text(text)
            wrong += [f"ssl:0:privateKey={path}", f"ssl:0:privateKey={path}:certKey={path}"]
            wrong += [f"tls:{folder / name}:0"]
        (folder / "void").mkdir()
        wrong += [f"tls:{folder / 'void'}:0"]
        fine = folder / "fine.pem"
        fine.write_text(both(LEAF))
        wrong += [f"ssl:0:privateKey={fine}:extraCertChain={folder / 'garbage' / 'both.pem'}"]
        taken = []
        for where in wrong:
            try:
                Listener("ROPG_LISTEN", where, provider_site(FixedVerifier(RIGHT)), reactor)
            except SettingError as error:
                self.assertEqual(error.setting, "ROPG_LISTEN", where)
                self.assertEqual(len(str(error).splitlines()), 1, where)
                self.assertNotIn("PRIVATE", str(error), where)
            else:
                taken.append(where.replace(str(folder), ""))
        self.assertEqual(taken, [])
        self.flushWarnings()


class TwistedContractTests(SynchronousTestCase):
    """Private names of Twisted: each does what is relied on, or this fails."""

    def test_pem_objects_map_each_name_to_a_context_that_switches(self) -> None:
        """A folder becomes contexts by name, each made once."""
        folder = Path(self.mktemp())
        folder.mkdir()
        for number, name in enumerate(("a.example.com", "*.example.org")):
            (folder / f"{number}.pem").write_text(both(identity(name)))
        (folder / "other.txt").write_text("no certificate")
        options = PEMObjects.fromDirectory(FilePath(str(folder))).inferDomainMapping()
        self.assertEqual(set(options), {"a.example.com", "*.example.org"})
        for option in options.values():
            self.assertIsInstance(option.getContext(), Context)
            self.assertIs(option.getContext(), option.getContext())


class NegotiationTests(TLSTestCase):
    """What is agreed on with a client: what App Transport Security wants, and nothing weaker."""

    async def endpoints(self) -> list[tuple[int, Identity]]:
        """Ports with both kinds of endpoint and both kinds of key."""
        found = []
        for one in (LEAF, WITH_RSA):
            for kind in ("ssl", "tls"):
                self.folder = self.folder / "one"
                self.folder.mkdir()
                self.file = self.write(both(one))
                found.append((await self.serve(getattr(self, kind)), one))
        return found

    async def meet(self, port: int, trusted: Identity, **wishes: Any) -> str:
        """What comes of a client's wishes: version and cipher, or the reason why nothing does."""
        context = trusting(trusted)
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
        """What comes of a client that speaks TLS 1.2 with these ciphers only."""
        return await self.meet(port, one, ciphers=ciphers, maximum_version=ssl.TLSVersion.TLSv1_2)

    async def test_a_client_that_would_rather_speak_http_2_is_answered(self) -> None:
        """It is told that there is HTTP/1.1 only, and makes do with it, as Macs do."""
        for port, one in await self.endpoints():
            context = trusting(one)
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
        self.write(both(LEAF))
        port = await self.serve(self.ssl, site)

        def work() -> bytes:
            visitor, said = BlockingClient(port, trusting(LEAF)), b""
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
            site = provider_site(down, Client("mac", drop_on_outage=True), clock=reactor)
            said = await self.exchange(site, pieces)
            self.assertNotIn(b"error", said)
            self.assertLessEqual(said.count(b"HTTP/1.1"), len(pieces) - 1, pieces)

    async def test_bytes_behind_the_end_are_not_looked_at(self) -> None:
        """What comes in while the connection closes brings neither an answer nor an error."""
        chunked = f"POST /oauth/token HTTP/1.1\r\n{FORM}Transfer-Encoding: chunked\r\n\r\n".encode()
        for start in (b"GARBAGE\r\n", chunked + b"zz\r\n", b"GET / HTTP/1.1\r\nX\r\nY: z\r\n"):
            site = provider_site(FixedVerifier(RIGHT), clock=reactor)
            more = (b"X: y\r\n\r\n", HEALTH, b"0\r\n\r\n" + HEALTH)
            said = await self.exchange(site, (start, *more))
            self.assertLessEqual(said.count(b"HTTP/1.1"), 1, start)
            self.assert_quiet()

    async def test_a_client_that_speaks_no_tls_is_dropped(self) -> None:
        """Plain HTTP, nothing at all, and half a handshake end without an error."""
        self.write(both(LEAF))
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
