"""Certificate files, and their reloading."""

from __future__ import annotations

import ssl
from functools import partial
from pathlib import Path

from OpenSSL.SSL import Context
from twisted.protocols._sni import PEMObjects
from twisted.python.filepath import FilePath
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.lifecycle import Listener
from ropg_twisted.settings.errors import SettingError
from tests.certificates import identity
from tests.composition import daemon_site
from tests.fakes import RIGHT, FixedVerifier
from tests.server.tls import (
    CHAINED,
    LEAF,
    MIDDLE,
    OTHER,
    ROOT,
    BlockingClient,
    TLSTestCase,
    client_context,
    key_and_certificate,
    reactor,
)


class RenewalTests(TLSTestCase):
    """Certificates that change while the daemon runs."""

    async def test_the_next_connection_sees_a_renewed_certificate(self) -> None:
        """An open connection goes on undisturbed; ``ssl:`` and ``tls:`` alike."""
        for where in (self.ssl, self.tls):
            self.events.clear()
            self.write(key_and_certificate(LEAF))
            port = await self.serve(where)
            early = await self.blocking(partial(BlockingClient, port, client_context(LEAF)))
            self.addCleanup(early.close)
            self.assertEqual(await self.blocking(early.ask), 200)
            self.write(key_and_certificate(OTHER))
            self.assertEqual(await self.visit(port, OTHER), OTHER.certificate, where)
            self.assertEqual(await self.blocking(early.ask), 200)
            self.assertEqual(early.seen, LEAF.certificate)
            self.assertEqual(await self.visit(port, OTHER), OTHER.certificate, where)
            self.assertEqual(self.said("in use from now on"), 1, where)
            early.close()
        self.assert_quiet()

    async def test_a_reload_tells_of_an_unusable_certificate_at_once(self) -> None:
        """Not only when the next client comes; the listener goes on with the old one."""
        self.write(key_and_certificate(LEAF))
        listener = Listener("ROPG_LISTEN", self.ssl, daemon_site(FixedVerifier(RIGHT)), reactor)
        expires = listener.certificate_expires
        listener.reload_certificate()
        self.write(OTHER.key + LEAF.pem)
        listener.reload_certificate()
        self.assertEqual(self.said("unusable"), 1)
        self.assertEqual(listener.certificate_expires, expires)

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
                ("cut", key_and_certificate(OTHER)[:-100]),
                ("garbage in PEM", key_and_certificate(OTHER).replace("M", "!")),
                ("missing", None),
            ):
                self.write(key_and_certificate(LEAF))
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
                self.write(key_and_certificate(OTHER))
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
    """Contents and names of the files."""

    async def test_the_chain_is_served(self) -> None:
        """A client that knows the root alone is content, wherever the chain stands."""
        key = self.write(CHAINED.key, "key.pem")
        full = self.write(CHAINED.pem + MIDDLE.pem, "fullchain.pem")
        leaf = self.write(CHAINED.pem, "leaf.pem")
        chain = self.write(MIDDLE.pem, "chain.pem")
        one = self.write(key_and_certificate(CHAINED) + MIDDLE.pem)
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
        self.write(key_and_certificate(CHAINED))
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
        path = str(self.write(key_and_certificate(LEAF), "c:d.pem")).replace(":", r"\:")
        folder = str(self.folder).replace(":", r"\:")
        for where in (
            f"ssl:0:privateKey={path}:certKey={path}:interface=127.0.0.1",
            f"tls:{folder}:0:interface=127.0.0.1",
        ):
            self.write(key_and_certificate(LEAF), "c:d.pem")
            port = await self.serve(where)
            self.assertEqual(await self.visit(port, LEAF), LEAF.certificate, where)
            self.write(key_and_certificate(OTHER), "c:d.pem")
            self.assertEqual(await self.visit(port, OTHER), OTHER.certificate, where)

    async def test_parameters_of_a_folder_may_be_named(self) -> None:
        """As in every endpoint string; an escaped ``=`` names none."""
        self.folder = self.folder / "a=b"
        self.folder.mkdir()
        self.write(key_and_certificate(LEAF))
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
            self.write(key_and_certificate(host), f"{host.certificate.serial_number}.pem")
        port = await self.serve(self.tls)
        for host, name in zip(hosts, ("a.example.com", "b.example.com"), strict=True):
            self.assertEqual(await self.visit(port, host, name=name), host.certificate)
        wildcard = identity("*.example.org")
        self.write(key_and_certificate(wildcard), "wildcard.pem")
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
            "cut": key_and_certificate(LEAF)[:-100],
            "odd": key_and_certificate(LEAF).replace("M", "!"),
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
        fine.write_text(key_and_certificate(LEAF))
        wrong += [f"ssl:0:privateKey={fine}:extraCertChain={folder / 'garbage' / 'both.pem'}"]
        taken = []
        for where in wrong:
            try:
                Listener("ROPG_LISTEN", where, daemon_site(FixedVerifier(RIGHT)), reactor)
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
            (folder / f"{number}.pem").write_text(key_and_certificate(identity(name)))
        (folder / "other.txt").write_text("no certificate")
        options = PEMObjects.fromDirectory(FilePath(str(folder))).inferDomainMapping()
        self.assertEqual(set(options), {"a.example.com", "*.example.org"})
        for option in options.values():
            self.assertIsInstance(option.getContext(), Context)
            self.assertIs(option.getContext(), option.getContext())
