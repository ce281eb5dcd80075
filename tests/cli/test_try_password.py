"""The ``ropg`` command: what it says and its exit status, against answers over a socket."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.endpoints import serverFromString
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from ropg_twisted import __version__
from ropg_twisted.cli import Options, try_password
from ropg_twisted.cli.diagnosis import Exit
from ropg_twisted.cli.try_password import TryOptions
from ropg_twisted.errors import (
    AccessDeniedError,
    InteractionRequiredError,
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    MethodNotAllowedError,
    MFARequiredError,
    NetworkNotAllowedError,
    NotFoundError,
    OAuthError,
    RequestTooLargeError,
    SlowDownError,
    TemporarilyUnavailableError,
    UnsupportedGrantTypeError,
)
from ropg_twisted.server.responses import error_body
from ropg_twisted.settings.model import Client
from tests.certificates import make_certificate
from tests.composition import daemon_site
from tests.fakes import RIGHT, FixedVerifier
from tests.parametrize import parametrize
from tests.paths import CHECKOUT
from tests.ports import free_port

reactor: Any = global_reactor

PASSWORD = "canary-pässword"

ERRORS: tuple[tuple[OAuthError, Exit, str], ...] = (
    (InvalidGrantError(), Exit.WRONG, "Wrong: "),
    (MFARequiredError(), Exit.REFUSED, "The password is right, but a second factor"),
    (InteractionRequiredError(), Exit.REFUSED, "requires user interaction"),
    (
        AccessDeniedError(),
        Exit.REFUSED,
        "by a policy of Authentik; the password may be right",
    ),
    (NetworkNotAllowedError(), Exit.BAD_REQUEST, "network of this machine"),
    (InvalidClientError(), Exit.BAD_REQUEST, "does not know this client"),
    (InvalidRequestError(), Exit.BAD_REQUEST, "invalid_request: The request is malformed."),
    (RequestTooLargeError(), Exit.BAD_REQUEST, "The request is too large."),
    (UnsupportedGrantTypeError(), Exit.BAD_REQUEST, "unsupported_grant_type"),
    (
        SlowDownError(77),
        Exit.UNKNOWN,
        "was not checked. Try again in 77 seconds",
    ),
    (TemporarilyUnavailableError(), Exit.UNKNOWN, "Authentik is not available"),
    (NotFoundError(), Exit.UNKNOWN, "HTTP 404, but not a response of this daemon"),
    (MethodNotAllowedError("GET"), Exit.UNKNOWN, "HTTP 405"),
)


class FixedResponse(Resource):
    """Answers every POST alike, and keeps the bodies that came."""

    isLeaf = True

    def __init__(self, reply: Callable[[Request], bytes | int]) -> None:
        super().__init__()
        self.bodies: list[bytes] = []
        self._reply = reply

    def render_POST(self, request: Any) -> bytes | int:
        """Answer."""
        self.bodies.append(request.content.read())
        request.setHeader("X-Request-ID", "0123456789abcdef")
        return self._reply(request)


def error_site(error: OAuthError) -> Site:
    """A site that answers with this error."""
    return Site(FixedResponse(lambda request: error_body(request, error)))


def ok_site(body: bytes) -> Site:
    """A site that answers 200 and this body."""
    return Site(FixedResponse(lambda request: body))


class TryTestCase(TestCase):
    """``ropg try`` with a password on its standard input."""

    async def serve(self, site: Site, endpoint: str = "tcp:0:interface=127.0.0.1") -> int:
        """Serve for as long as the test runs; the port."""
        port = await serverFromString(reactor, endpoint).listen(site)
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    async def try_(
        self, *options: str, typed: str = PASSWORD, name: str = "alice"
    ) -> tuple[int, str]:
        """The exit status and what is printed, which the password must never be part of."""
        out = StringIO()
        self.patch(sys, "stdin", TextIOWrapper(BytesIO(f"{typed}\nsecond line".encode())))
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", out)
        command = TryOptions()
        command.parseOptions([*options, name])
        status = await command.run(reactor)
        self.assertNotIn(PASSWORD, out.getvalue())
        return status, out.getvalue()


class AnswerTests(TryTestCase):
    """Each answer of the daemon has its words and its exit status."""

    async def test_a_right_password(self) -> None:
        """It says whose password it is and for how long, and shows no token."""
        port = await self.serve(daemon_site(FixedVerifier(RIGHT), Client("mac"), reactor=reactor))
        status, text = await self.try_("--url", f"http://127.0.0.1:{port}/", "--client-id", "mac")
        self.assertEqual(status, Exit.RIGHT, text)
        for word in ("Right: ", "alice", "Alice Example", "alice@example.com", "staff", "3600"):
            self.assertIn(word, text)
        self.assertNotIn("eyJ", text)

    async def test_a_right_password_without_an_id_token(self) -> None:
        """Without openid in the scope there is nobody to name."""
        port = await self.serve(daemon_site(FixedVerifier(RIGHT), Client("mac"), reactor=reactor))
        url = f"http://127.0.0.1:{port}"
        status, text = await self.try_("--url", url, "--client-id", "mac", "--scope", "profile")
        self.assertEqual((status, "no id token" in text), (Exit.RIGHT, True), text)

    @parametrize({type(row[0]).__name__: row for row in ERRORS})
    async def test_error(self, error: OAuthError, wanted: Exit, words: str) -> None:
        """Each error, as the daemon sends it."""
        url = f"http://127.0.0.1:{await self.serve(error_site(error))}"
        status, text = await self.try_("--url", url)
        self.assertEqual((status, words in text), (wanted, True), f"{error!r}: {text}")
        logged = isinstance(error, AccessDeniedError | SlowDownError | TemporarilyUnavailableError)
        logged = logged and error.status != 403
        self.assertEqual("request 0123456789abcdef" in text, logged, f"{error!r}: {text}")

    async def test_what_is_no_answer_of_ours(self) -> None:
        """Something else at the URL never counts as a right or a wrong password."""
        for body in (b"", b"<html>", b"[]", b"{}", b'{"expires_in":1,"id_token":"x"}', b'"error"'):
            port = await self.serve(ok_site(body))
            status, text = await self.try_("--url", f"http://127.0.0.1:{port}")
            self.assertEqual((status, "something else" in text), (Exit.UNKNOWN, True), repr(body))

    async def test_redirects_are_not_followed(self) -> None:
        """A redirect would carry the password to wherever it points."""

        def elsewhere(request: Request) -> bytes:
            request.redirect(b"https://other.example.com/oauth/token")
            return b""

        port = await self.serve(Site(FixedResponse(elsewhere)))
        status, text = await self.try_("--url", f"http://127.0.0.1:{port}")
        self.assertEqual(status, Exit.UNKNOWN)
        self.assertIn("redirects to https://other.example.com/oauth/token", text)

    async def test_nothing_reaches_the_terminal_that_cannot_be_printed(self) -> None:
        """A server cannot write escape sequences to the terminal."""
        port = await self.serve(error_site(InvalidRequestError("\x1b[2J\r")))
        _, text = await self.try_("--url", f"http://127.0.0.1:{port}")
        self.assertIn("[2J", text)
        self.assertTrue(text.replace("\n", "").isprintable(), repr(text))


class QuestionTests(TryTestCase):
    """The request."""

    async def test_the_request(self) -> None:
        """The first line is the password, exactly; the secret comes from its file."""
        secret = Path(self.mktemp())
        secret.write_text("s3cret\n")
        replies = FixedResponse(lambda request: error_body(request, InvalidGrantError()))
        port = await self.serve(Site(replies, parsePOSTFormSubmission=False))
        url = f"http://127.0.0.1:{port}"
        options = ("--url", url, "--client-secret-file", str(secret))
        await self.try_(*options, typed=" a b&ü ", name="erin")
        self.assertEqual(
            replies.bodies,
            [
                b"grant_type=password&client_id=jamf-connect&client_secret=s3cret"
                b"&scope=openid+profile+email&username=erin&password=+a+b%26%C3%BC+"
            ],
        )

    async def test_the_url_of_the_environment(self) -> None:
        """PROXY_ISSUER names the daemon, unless --url does."""
        port = await self.serve(error_site(InvalidGrantError()))
        self.patch(os, "environ", {"PROXY_ISSUER": f"http://127.0.0.1:{port}"})
        status, text = await self.try_()
        self.assertEqual(status, Exit.WRONG, text)

    async def test_no_password(self) -> None:
        """Without a password nobody is asked."""
        status, text = await self.try_("--url", "http://127.0.0.1:1", typed="")
        self.assertEqual((status, "no password" in text), (os.EX_USAGE, True), text)


class ConnectionTests(TryTestCase):
    """A missing answer says nothing about the password."""

    async def assert_unknown(self, words: str, *options: str) -> None:
        status, text = await self.try_(*options)
        self.assertEqual((status, words in text), (Exit.UNKNOWN, True), text)
        self.assertIn("Nothing is known about the password.", text)

    async def test_no_daemon(self) -> None:
        """A port that nobody listens on."""
        await self.assert_unknown("refused", "--url", f"http://127.0.0.1:{free_port()}")

    async def test_no_host(self) -> None:
        """A name without an address."""
        await self.assert_unknown("has no address", "--url", "http://nowhere.invalid")

    async def test_a_cut_connection(self) -> None:
        """With ROPG_OUTAGE=abort an outage looks like that."""

        def cut(request: Any) -> int:
            request.channel.forceAbortClient()
            return NOT_DONE_YET

        port = await self.serve(Site(FixedResponse(cut)))
        await self.assert_unknown("without a response", "--url", f"http://127.0.0.1:{port}")

    async def test_an_answer_that_does_not_come(self) -> None:
        """The wait has an end."""
        self.patch(try_password, "TIMEOUT", 0.1)
        port = await self.serve(Site(FixedResponse(lambda request: NOT_DONE_YET)))
        await self.assert_unknown("Timeout: no response", "--url", f"http://127.0.0.1:{port}")

    async def test_certificates(self) -> None:
        """An untrusted certificate is told from one for another name; --ca-file trusts it."""
        folder = Path(self.mktemp())
        folder.mkdir()
        pem = make_certificate(folder)
        port = await self.serve(
            error_site(InvalidGrantError()), f"ssl:0:privateKey={pem}:interface=127.0.0.1"
        )
        await self.assert_unknown("is not trusted", "--url", f"https://localhost:{port}")
        await self.assert_unknown(
            "for another name", "--url", f"https://127.0.0.1:{port}", "--ca-file", pem
        )
        status, text = await self.try_("--url", f"https://localhost:{port}", "--ca-file", pem)
        self.assertEqual(status, Exit.WRONG, text)


class UsageTests(SynchronousTestCase):
    """Wrong usage is said before anything is asked."""

    def test_refusals(self) -> None:
        """Each is a usage error that says what is wrong."""
        text = Path(self.mktemp())
        text.write_text("no certificate")
        for arguments, words in (
            ([], "command is missing"),
            (["fly"], "Unknown command"),
            (["try"], "Wrong number of arguments"),
            (["try", "alice", "bob"], "Wrong number of arguments"),
            (["try", "--url", "ldap://x", "alice"], "not an http or https URL"),
            (["try", "--ca-file", str(text), "alice"], "no PEM certificates"),
            (["try", "--ca-file", "/nowhere/ca.pem", "alice"], "cannot be read"),
            (["keys", "--signing-alg", "HS256", "list"], "is not RS256, ES256 or EdDSA"),
            (["sandbox", "--listen", "70000"], "0 to 65535"),
        ):
            error = self.assertRaises(usage.UsageError, Options().parseOptions, arguments)
            self.assertIn(words, str(error), f"{arguments}")

    def test_every_command_can_be_run(self) -> None:
        """The table names nothing but options with a way to run them."""
        table: Any = Options.subCommands
        for name, _, options, _ in table:
            self.assertTrue(callable(getattr(options, "run", None)), name)


class ProcessTests(TestCase):
    """The command as a process."""

    async def run_(self, *arguments: str) -> tuple[str, str, int]:
        """Standard output, standard error and exit status."""
        code = "from ropg_twisted.cli import main; main()"
        out, err, status = await getProcessOutputAndValue(
            sys.executable, ["-c", code, *arguments], os.environ, str(CHECKOUT)
        )
        return out.decode(), err.decode(), status

    async def test_wrong_usage(self) -> None:
        """The exit status is none of those that speak of a password."""
        out, err, status = await self.run_("try")
        self.assertEqual((out, status), ("", os.EX_USAGE))
        self.assertIn("Usage: ropg try [options] USERNAME\nropg: Wrong number", err)

    async def test_help(self) -> None:
        """The help of ``try`` tells every exit status."""
        out, _, status = await self.run_("try", "--help")
        self.assertEqual(status, 0)
        for code in (*Exit, os.EX_USAGE):
            self.assertIn(f" {int(code)} ", out.replace("\n", " "))

    async def test_version(self) -> None:
        """``ropg --version`` is that of this package, and so is that of each command."""
        table: Any = Options.subCommands
        for command in ([], *([name] for name, *_ in table)):
            out, _, status = await self.run_(*command, "--version")
            self.assertEqual((out, status), (f"ropg-twisted {__version__}\n", 0), command)
            out, _, _ = await self.run_(*command, "--help")
            self.assertNotIn("Twisted version", out)
