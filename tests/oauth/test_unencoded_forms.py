"""Plus signs, blanks and other characters that clients escape in their own ways, or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote, quote_plus, urlencode

from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.oauth.forms import Form, parse_form, parse_unencoded_form
from ropg_twisted.settings.model import Client
from tests.client import FORM, Connection, Reply, post
from tests.composition import daemon_site
from tests.fakes import RIGHT, FixedVerifier
from tests.parametrize import parametrize

URLENCODED = "application/x-www-form-urlencoded"
SCOPE = "openid profile email offline_access"

TYPED = (
    "simple",
    "a+b",
    "a b",
    "+ + +",
    " +",
    "a%2Bb",
    "a%20b",
    "100%",
    "%",
    "%zz%+",
    "a&b=c",
    "&client_id=other",
    "&client_id=other&client_secret=x",
    "&password=x&username=y",
    "=&=",
    "#?/;:,.@!$'()*~-_",
    '"\\`<>{}|^[]',
    "žluťoučký 密码 😀",
    "e\u0301 is not \u00e9",
    "\t\r\n\0\x7f",
    "\u00a0\u2003\u200b",
)
"""Passwords that have been a trouble to somebody."""

PASSWORDS = st.text(min_size=1) | st.text("+ %&=2Bb0", min_size=1)

Pairs = Iterable[tuple[str, str]]


def grant(password: str, username: str = "alice", secret: str = "") -> list[tuple[str, str]]:
    """The parameters of XCreds, in its order."""
    end = [("client_id", "xcreds"), *([("client_secret", secret)] if secret else [])]
    pairs = [("grant_type", "password"), ("scope", SCOPE), ("username", username)]
    return [*pairs, ("password", password), *end]


def xcreds_5_3(pairs: Pairs) -> bytes:
    """The body of XCreds 5.3: no escapes."""
    return "&".join(f"{name}={value}" for name, value in pairs).encode()


def xcreds_5_4(pairs: Pairs) -> bytes:
    """The body of XCreds 5.4: escapes for all but the plus sign, and the letters that need none."""
    return "&".join(f"{name}={quote(value, safe='+')}" for name, value in pairs).encode()


def himmelblau(pairs: Pairs) -> bytes:
    """The body of Himmelblau and of most libraries: ``+`` for a blank, ``%2B`` for a plus sign."""
    return urlencode(list(pairs)).encode()


def jamf_connect(pairs: Pairs) -> bytes:
    """The body of Jamf Connect, if it escapes everything."""
    return urlencode(list(pairs), quote_via=quote, safe="").encode()


def parse(body: bytes) -> Form:
    """A form by its strict reading."""
    return parse_form(body)


class PlusTests(SynchronousTestCase):
    """Forms whose sender escapes all but the plus sign."""

    def test_every_client_and_every_password(self) -> None:
        """A typed password arrives from each client, in the way in which it writes a form."""
        for client in (xcreds_5_4, himmelblau, jamf_connect):
            for password in TYPED:
                pairs = grant(password, secret="s&=%+ " if client is not xcreds_5_4 else "s&=% ")
                self.assertEqual(parse(client(pairs)), dict(pairs), (client.__name__, password))

    @given(PASSWORDS, st.permutations(grant("")[:3]))
    def test_any_password_from_xcreds(self, password: str, others: list[tuple[str, str]]) -> None:
        """A sender that writes the blanks of its scope as ``%20`` means its plus signs."""
        pairs = [*others, ("password", password)]
        for order in (pairs, pairs[::-1]):
            self.assertEqual(parse(xcreds_5_4(order))["password"], password)

    def test_a_name_with_a_plus_sign(self) -> None:
        """Such a sender means the plus signs of its user names as well."""
        for username in ("alice+mac@example.com", "+", "a+b c"):
            for password in ("a+b", "plain"):
                form = parse(xcreds_5_4(grant(password, username)))
                self.assertEqual((form["username"], form["password"]), (username, password))

    @given(st.dictionaries(st.sampled_from(["scope", "username", "x"]), st.text()), PASSWORDS)
    def test_ordinary_forms_stay_as_they_are(self, others: dict[str, str], password: str) -> None:
        """A plus is a space if plus signs are escaped, and nothing else changes."""
        pairs = [*others.items(), ("password", password)]
        expected = {name: value for name, value in pairs if value}
        for quoting in (quote, quote_plus):
            self.assertEqual(parse(urlencode(pairs, quote_via=quoting).encode()), expected)

    @parametrize(
        {
            "nothing else": ("password=a+b", "a b"),
            "no escapes": ("scope=openid&username=alice&password=a+b", "a b"),
            "an escape in the password": ("scope=openid&username=alice&password=a%20+b", "a  b"),
            "a plus in another value": ("scope=openid+email&password=a+b", "a b"),
            "a plus and an escape": ("scope=openid+email&other=a%20b&password=a+b", "a b"),
            "an escape in another value": ("scope=openid%20email&password=a+b", "a+b"),
            "an escaped plus": ("scope=openid%20email&password=a%2Bb+c%20d", "a+b+c d"),
        }
    )
    def test_when_a_plus_sign_is_a_blank(self, body: str, password: str) -> None:
        """Without a ``%20`` in another value, or with a plus there, nothing tells one for sure."""
        self.assertEqual(parse(body.encode())["password"], password)

    def test_only_values_are_mended(self) -> None:
        """A field that only looks like a password keeps its spaces."""
        form = parse(b"scope=a%20b&password=x+y&client_id=mac")
        self.assertEqual(form, {"scope": "a b", "password": "x+y", "client_id": "mac"})
        form = parse(b"scope=a+b&new_password=x+y&password=z")
        self.assertEqual(form, {"scope": "a b", "new_password": "x y", "password": "z"})


class UndecodedTests(SynchronousTestCase):
    """Forms whose sender escapes nothing."""

    def test_every_password(self) -> None:
        """A typed password arrives, with a client secret behind it and without."""
        for secret in ("", "s3cret", "s&=%+ client_secret=", "&client_secret=x&password=y"):
            for password in TYPED:
                pairs = grant(password, "alice+mac@example.com", secret)
                self.assertEqual(parse_unencoded_form(xcreds_5_3(pairs)), dict(pairs), pairs)

    @given(PASSWORDS, st.text())
    def test_any_password(self, password: str, secret: str) -> None:
        """Any text is taken as it is, unless the secret behind it holds ``&client_id=``."""
        assume("&client_id=" not in secret)
        pairs = grant(password, secret=secret)
        self.assertEqual(parse_unencoded_form(xcreds_5_3(pairs)), dict(pairs))

    @given(st.text("+ &=2Bb0"), st.text("+ %&=2Bb0"))
    def test_any_scope_and_name(self, scope: str, username: str) -> None:
        """Scopes and names are taken as they are, unless they hold the beginning of the next."""
        pairs = {**dict(grant("a&b+c")), "scope": scope, "username": username}
        expected = {name: value for name, value in pairs.items() if value}
        self.assertEqual(parse_unencoded_form(xcreds_5_3(pairs.items())), expected)

    def test_what_is_ambiguous(self) -> None:
        """The name ends first and the password ends last if two readings fit."""
        for change, expected in (
            ({"username": "a&password=b"}, {"username": "a", "password": "b&password=typed"}),
            ({"scope": "a&username=b"}, {"scope": "a", "username": "b&username=alice"}),
            (
                {"client_secret": "a&client_id=b"},
                {"password": "typed&client_id=xcreds&client_secret=a", "client_id": "b"},
            ),
        ):
            pairs = {**dict(grant("typed")), **change}
            form = parse_unencoded_form(xcreds_5_3(pairs.items()))
            assert form is not None
            self.assertEqual({name: form[name] for name in expected}, expected)

    def test_what_is_another_form(self) -> None:
        """Other orders, other grants, more fields and other bytes are not taken for one."""
        good = "grant_type=password&scope=openid&username=alice&password=x&client_id=xcreds"
        self.assertIsNotNone(parse_unencoded_form(good.encode()))
        for body in (
            b"",
            b"\xff",
            good.encode() + b"\xff",
            b"&" + good.encode(),
            good.replace("=password&", "=refresh_token&").encode(),
            good.replace("&client_id=xcreds", "").encode(),
            good.replace("&scope=openid", "").encode(),
            good.replace("username", "user").encode(),
            f"{good}&redirect_uri=x".encode(),
            "&".join(reversed(good.split("&"))).encode(),
        ):
            self.assertIsNone(parse_unencoded_form(body), body)

    @given(st.binary() | st.text("&=+%ax").map(str.encode))
    def test_no_body_is_an_error(self, body: bytes) -> None:
        """Any bytes are such a form, or are none."""
        parse_unencoded_form(body)
        parse_unencoded_form(b"grant_type=password&scope=" + body)


class EndpointTests(SynchronousTestCase):
    """The same, through the endpoint."""

    def setUp(self) -> None:
        """A client that sends its forms undecoded, and one that does not."""
        self.verifier = FixedVerifier(RIGHT)
        self.site = daemon_site(
            self.verifier, Client("xcreds", "s3cret", unencoded=True), Client("mac")
        )

    def ask(self, body: bytes, headers: str = FORM, target: str = "/oauth/token") -> Reply:
        """The response to a token request."""
        [reply] = Connection(self.site).send(post(body, headers, target)).replies
        return reply

    def passwords(self) -> list[str]:
        """The passwords that have come through since the last time."""
        asked = [login.password for login in self.verifier.asked]
        self.verifier.asked.clear()
        return asked

    def test_a_client_that_escapes_nothing(self) -> None:
        """Each password comes through as it was typed."""
        for password in TYPED:
            reply = self.ask(xcreds_5_3(grant(password, secret="s3cret")))
            self.assertEqual((reply.status, self.passwords()), (200, [password]))

    def test_the_secret_is_asked_for_all_the_same(self) -> None:
        """A body without escapes proves nothing: a missing or wrong secret is refused."""
        for secret in ("", "wrong"):
            reply = self.ask(xcreds_5_3(grant("a&b", secret=secret)))
            self.assertEqual((reply.status, reply.json["error"]), (401, "invalid_client"))
        self.assertEqual(self.passwords(), [])

    def test_other_clients_send_forms(self) -> None:
        """Of a client that is not said to send such bodies, each is read as an ordinary form."""
        for password, expected in (("plain", "plain"), ("a%2Bb", "a+b"), ("a+b", "a b")):
            pairs = {**dict(grant(password)), "client_id": "mac", "scope": "openid"}
            reply = self.ask(xcreds_5_3(pairs.items()))
            self.assertEqual((reply.status, self.passwords()), (200, [expected]))
        for password in ("a&b", "&client_id=xcreds", "%ff"):
            pairs = {**dict(grant(password)), "client_id": "mac", "scope": "openid"}
            reply = self.ask(xcreds_5_3(pairs.items()))
            self.assertEqual((reply.status, reply.json["error"]), (400, "invalid_request"))
        self.assertEqual(self.passwords(), [])

    def test_a_client_in_the_password_is_none(self) -> None:
        """A password that names such a client does not make another client one."""
        for password in ("x&client_id=xcreds", "x&client_id=xcreds&client_secret=s3cret"):
            pairs = {**dict(grant(password)), "client_id": "mac"}
            reply = self.ask(xcreds_5_3(pairs.items()))
            self.assertEqual((reply.status, reply.json["error"]), (400, "invalid_request"))
        self.assertEqual(self.passwords(), [])

    def test_such_a_client_may_send_forms(self) -> None:
        """In another order its body is an ordinary form."""
        fields = dict(reversed(grant("a b+c", secret="s3cret")))
        self.assertEqual(self.ask(urlencode(fields).encode()).status, 200)
        self.assertEqual(self.passwords(), ["a b+c"])

    def test_such_a_client_may_have_been_updated(self) -> None:
        """A form whose scope has its spaces escaped escapes its password as well."""
        for password in TYPED:
            reply = self.ask(xcreds_5_4(grant(password, secret="s3cret")))
            self.assertEqual((reply.status, self.passwords()), (200, [password]))

    def test_the_rest_of_a_request_is_no_less_strict(self) -> None:
        """Parameters in the URL and other content types are refused here as for all."""
        body = xcreds_5_3(grant("typed", secret="s3cret"))
        for headers, target in (
            (FORM, "/oauth/token?password=typed"),
            ("", "/oauth/token"),
            ("Content-Type: text/plain\r\n", "/oauth/token"),
        ):
            reply = self.ask(body, headers, target)
            self.assertEqual(reply.status, 400, (headers, target))
            self.assertEqual(reply.json["error"], "invalid_request")
        self.assertEqual(self.passwords(), [])
