"""Token requests: what is taken exactly as typed, and what is refused without repeating it."""

from __future__ import annotations

import signal
import traceback
from base64 import b64encode
from collections.abc import Callable
from urllib.parse import quote, quote_plus, urlencode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.errors import InvalidRequestError, OAuthError
from ropg_twisted.oauth.forms import (
    MAX_FIELDS,
    Form,
    check_form,
    parse_form,
    parse_unencoded_form,
)
from ropg_twisted.oauth.request import (
    MAX_USERNAME,
    ClientCredentials,
    PasswordGrant,
    parse_client,
    parse_grant_type,
    parse_password_grant,
)
from tests.parametrize import parametrize

URLENCODED = "application/x-www-form-urlencoded"

CONTROLS = ("\0", "\n", "\x1f", "\x7f", "\x85", "\ud800", "\u2028", "\u2029")
"""Characters of each category that no user name holds; some of them are spaces to Python."""

GRANT = {"grant_type": "password", "client_id": "mac", "username": "alice", "password": "secret"}

TYPED = "typed-secret"

HARD_PASSWORD = " a+b%20&c=d;\"e'\\ü😀\t\r\n\0%+ "


BY_FORM = ClientCredentials("mac", ())
BY_FORM_WITH_SECRET = ClientCredentials("mac", ("a:b",))
BY_BASIC = ClientCredentials("mac", ("a:b", "a:b"), basic=True)
ENCODED = ClientCredentials("mac", ("a:b", "a%3Ab"), basic=True)


def parse(body: bytes, content_type: str | None = URLENCODED, query: bytes = b"") -> Form:
    """The parameters of a form."""
    check_form(content_type, query)
    return parse_form(body)


def basic(pair: str, scheme: str = "Basic") -> str:
    """An Authorization header of RFC 7617."""
    return f"{scheme} {b64encode(pair.encode()).decode()}"


class RequestTestCase(SynchronousTestCase):
    """Refusals, with a look at what they give away."""

    def refusal(self, error: OAuthError) -> str:
        """The description of an error that neither is nor shows anything that was sent."""
        self.assertIsInstance(error, InvalidRequestError)
        self.assertEqual((error.status, error.code), (400, "invalid_request"))
        self.assertIsNone(error.__cause__)
        self.assertTrue(error.__suppress_context__ or error.__context__ is None)
        shown = "".join([str(error), repr(error), *traceback.format_exception_only(error)])
        self.assertNotIn(TYPED, shown)
        self.assertNotIn(TYPED, "".join(traceback.format_exception(error)))
        return error.description


class FormTests(RequestTestCase):
    """The body as a form."""

    @given(
        st.dictionaries(st.text(), st.text(), min_size=1, max_size=MAX_FIELDS),
        st.sampled_from([quote, quote_plus]),
    )
    def test_every_text_comes_through_exactly(
        self, fields: dict[str, str], quoting: Callable[..., str]
    ) -> None:
        """Encoded text comes out the same, but for parameters without a value."""
        body = urlencode(fields, quote_via=quoting).encode()
        self.assertEqual(parse(body), {name: value for name, value in fields.items() if value})

    @parametrize(
        {
            "pluses for spaces": (urlencode({"password": HARD_PASSWORD}),),
            "escapes for spaces": (urlencode({"password": HARD_PASSWORD}, quote_via=quote),),
            "all escaped": (
                "password=" + "".join(f"%{byte:02x}" for byte in HARD_PASSWORD.encode()),
            ),
        }
    )
    def test_hard_password(self, body: str) -> None:
        """Blanks, signs, quotes and any letters arrive, in each way to write them."""
        self.assertEqual(parse(body.encode())["password"], HARD_PASSWORD)

    @parametrize(
        {
            "a letter": ("ü", "ü"),
            "an equals sign": ("a=b", "a=b"),
            "a semicolon": ("a;b", "a;b"),
            "a percent sign": ("100%", "100%"),
            "no escapes": ("%zz%2", "%zz%2"),
            "a plus": ("a+b", "a b"),
        }
    )
    def test_raw_password(self, raw: str, password: str) -> None:
        """Signs that a client has not encoded arrive as they are."""
        self.assertEqual(parse(f"password={raw}".encode())["password"], password)

    @parametrize(
        {
            "pluses only": ("scope=openid+email&password=a+b", "a b"),
            "a plus in the password": ("scope=openid&password=a+b", "a b"),
            "an escape in the password": ("scope=openid&password=a+b%20c", "a b c"),
            "an escape before": ("scope=openid%20email&password=a+b", "a+b"),
            "an escape after": ("password=a+b+%20&scope=openid%20email", "a+b+ "),
            "an escaped plus": ("scope=openid%20email&password=a%2Bb", "a+b"),
            "an escape before two": ("scope=openid%20email&username=a+b&password=a+b", "a+b"),
        }
    )
    def test_plus_signs(self, body: str, password: str) -> None:
        """A raw plus is a blank, unless the form writes blanks in another way, as XCreds 5.4."""
        self.assertEqual(parse(body.encode())["password"], password)

    @parametrize(
        {
            "usual": (URLENCODED,),
            "capitals": ("Application/X-WWW-Form-URLencoded",),
            "a charset": (f" {URLENCODED} ; charset=UTF-8",),
        }
    )
    def test_content_type(self, content_type: str) -> None:
        """A form is read in any writing of the media type."""
        self.assertEqual(parse(b"a=b", content_type), {"a": "b"})

    @parametrize(
        {
            "none": (None,),
            "empty": ("",),
            "JSON": ("application/json",),
            "text": ("text/plain",),
            "multipart": ("multipart/form-data; boundary=x",),
            "a form as a parameter": (f"text/plain; {URLENCODED}",),
            "a longer name": (f"{URLENCODED}2",),
        }
    )
    def test_other_content_type(self, wrong: str | None) -> None:
        """Only forms are read."""
        error = self.assertRaises(InvalidRequestError, parse, f"password={TYPED}".encode(), wrong)
        self.assertIn("content type", self.refusal(error), wrong)

    def test_parameters_in_the_url(self) -> None:
        """A query is refused, even beside a right body."""
        error = self.assertRaises(
            InvalidRequestError, parse, b"a=b", URLENCODED, f"password={TYPED}".encode()
        )
        self.assertIn("URL", self.refusal(error))

    @parametrize(
        {
            "other values": ("a={}&a=other",),
            "the same value": ("a={0}&a={0}",),
            "an empty one later": ("a={}&b=c&a=",),
            "an empty one first": ("a=&b={}&a=",),
            "an escaped name": ("a={}&%61=x",),
        }
    )
    def test_repeated_parameter(self, body: str) -> None:
        """A parameter counts once, whatever its values are."""
        error = self.assertRaises(InvalidRequestError, parse, body.format(TYPED).encode())
        self.assertIn("repeated", self.refusal(error))

    @parametrize(
        {
            "no equals sign": (TYPED.encode(),),
            "an ampersand at the end": (b"password=" + TYPED.encode() + b"&",),
            "two ampersands": (b"a=b&&password=" + TYPED.encode(),),
            "JSON": (b'{"password": "' + TYPED.encode() + b'"}',),
            "a raw byte": (b"password=" + TYPED.encode() + b"\xff",),
            "an escaped byte": (b"password=" + TYPED.encode() + b"%ff",),
            "a surrogate": (b"password=" + TYPED.encode() + b"%ed%a0%80",),
            "a byte in a name": (b"%ff=" + TYPED.encode(),),
            "too many fields": (
                b"&".join(b"%d=" % number + TYPED.encode() for number in range(MAX_FIELDS + 1)),
            ),
        }
    )
    def test_malformed_form(self, body: bytes) -> None:
        """A body that is not a form in UTF-8, or has too many fields, is refused."""
        error = self.assertRaises(InvalidRequestError, parse, body)
        self.assertIn("not a form", self.refusal(error))

    def test_the_most_fields(self) -> None:
        """As many fields as may be are read."""
        most = b"&".join(b"%d=x" % number for number in range(MAX_FIELDS))
        self.assertEqual(len(parse(most)), MAX_FIELDS)

    def test_nothing_at_all(self) -> None:
        """An empty body is a form without parameters."""
        self.assertEqual(parse(b""), {})


class UndecodedFormTests(SynchronousTestCase):
    """Forms without escapes."""

    @given(st.text(min_size=1), st.sampled_from(["", "&client_secret=a%b+c"]))
    def test_any_password_comes_through_exactly(self, password: str, rest: str) -> None:
        """Any text is a password, even one that looks like more parameters."""
        for typed in (password, f"{password}&client_id=x&client_secret=y", f"&password={password}"):
            body = (
                "grant_type=password&scope=openid profile&username=alice a&password="
                f"{typed}&client_id=mac{rest}"
            )
            form = dict(parse_unencoded_form(body.encode()) or {})
            secret = form.pop("client_secret", None)
            self.assertEqual(
                form,
                {
                    "grant_type": "password",
                    "scope": "openid profile",
                    "username": "alice a",
                    "password": typed,
                    "client_id": "mac",
                },
            )
            self.assertEqual(secret, "a%b+c" if rest else None)

    @parametrize(
        {
            "empty": (b"",),
            "no client": (b"grant_type=password&scope=openid&username=a&password=b",),
            "no scope": (b"grant_type=password&username=a&password=b&client_id=mac",),
            "one more parameter": (
                b"grant_type=password&scope=openid&username=a&password=b&client_id=mac&nonce=n",
            ),
            "another grant": (
                b"grant_type=refresh_token&scope=openid&username=a&password=b&client_id=mac",
            ),
            "another order": (
                b"client_id=mac&grant_type=password&scope=openid&username=a&password=b",
            ),
            "a parameter before": (
                b"x=&grant_type=password&scope=openid&username=a&password=b&client_id=mac",
            ),
            "no UTF-8": (
                b"grant_type=password&scope=openid&username=a&password=\xff&client_id=mac",
            ),
        }
    )
    def test_another_form(self, body: bytes) -> None:
        """Another order, other parameters and other letters are for the usual parser."""
        self.assertIsNone(parse_unencoded_form(body))

    def test_no_body_keeps_it_busy(self) -> None:
        """A body that is almost such a form, over and over, is given up at once."""

        def stop(*_: object) -> None:
            raise AssertionError("still busy")

        self.addCleanup(signal.signal, signal.SIGALRM, signal.signal(signal.SIGALRM, stop))
        self.addCleanup(signal.alarm, 0)
        signal.alarm(10)
        parts = (b"&username=", b"&password=", b"&client_id=")
        for repeated in (b"".join(part * 2000 for part in parts), b"".join(parts) * 2000):
            body = b"grant_type=password&scope=" + repeated + b"&"
            self.assertIsNone(parse_unencoded_form(body))


class GrantTests(RequestTestCase):
    """The parameters of a password grant."""

    def test_a_whole_request(self) -> None:
        """All parameters arrive, and those that nobody knows do not disturb."""
        form = parse(
            urlencode(
                {
                    **GRANT,
                    "password": HARD_PASSWORD,
                    "scope": "openid  groups offline_access",
                    "nonce": "n-0S6",
                    "redirect_uri": "https://127.0.0.1/jamfconnect",
                }
            ).encode()
        )
        self.assertEqual(parse_grant_type(form), "password")
        self.assertEqual(
            parse_password_grant(form),
            PasswordGrant("alice", HARD_PASSWORD, ("openid", "groups", "offline_access"), "n-0S6"),
        )
        self.assertEqual(
            parse_password_grant(parse(urlencode(GRANT).encode())),
            PasswordGrant("alice", "secret", (), None),
        )

    def test_missing_and_empty_parameters(self) -> None:
        """Each required parameter is asked for by its name; an empty one is a missing one."""
        for name in GRANT:
            rest = {key: value for key, value in GRANT.items() if key != name}
            for fields in (rest, {**rest, name: ""}):
                form = parse(urlencode(fields).encode())
                error = self.assertRaises(InvalidRequestError, self.parse_all, form)
                self.assertEqual(self.refusal(error), f"The parameter {name} is missing")
        for name in ("scope", "nonce", "client_secret"):
            form = parse(urlencode({**GRANT, name: ""}).encode())
            self.assertEqual(parse_password_grant(form).scope, ())
            self.assertIsNone(parse_password_grant(form).nonce)
            self.assertEqual(parse_client(form, None).secrets, ())

    def parse_all(self, form: Form) -> None:
        """Read all that a password grant must have."""
        parse_grant_type(form)
        parse_client(form, None)
        parse_password_grant(form)

    def test_user_names(self) -> None:
        """Names may be of any script and up to a length; control characters are refused."""
        for name in ("x" * MAX_USERNAME, "å" * MAX_USERNAME, "Ünal İpek", "alice@example.com"):
            form = parse(urlencode({**GRANT, "username": name}).encode())
            self.assertEqual(parse_password_grant(form).username, name)
        for name in (
            "x" * (MAX_USERNAME + 1),
            *(f"{TYPED}{control}" for control in CONTROLS),
            *(f"{control}{TYPED}" for control in CONTROLS),
            f"{TYPED}\x1b[2J{TYPED}",
        ):
            form = {**GRANT, "username": name}
            error = self.assertRaises(InvalidRequestError, parse_password_grant, form)
            self.assertEqual(self.refusal(error), "The parameter username is malformed")

    def test_spaces_around_a_user_name(self) -> None:
        """They are no part of it, as at Authentik; a name of nothing else is missing."""
        for name in (" alice", "alice ", "\u3000alice\u3000\u00a0", " \u2003alice"):
            form = parse(urlencode({**GRANT, "username": name}).encode())
            self.assertEqual(parse_password_grant(form).username, "alice")
        form = parse(urlencode({**GRANT, "username": " a lice "}).encode())
        self.assertEqual(parse_password_grant(form).username, "a lice")
        for name in (" ", "\u3000 \u00a0"):
            form = parse(urlencode({**GRANT, "username": name}).encode())
            error = self.assertRaises(InvalidRequestError, parse_password_grant, form)
            self.assertEqual(self.refusal(error), "The parameter username is missing")
        form = parse(urlencode({**GRANT, "password": " secret "}).encode())
        self.assertEqual(parse_password_grant(form).password, " secret ")

    def test_secrets_do_not_show(self) -> None:
        """No representation of what was parsed holds a password or a secret."""
        form = {**GRANT, "password": TYPED, "client_secret": TYPED}
        self.assertNotIn(TYPED, repr(parse_password_grant(form)))
        self.assertNotIn(TYPED, repr(parse_client(form, None)))

    @given(st.binary(), st.binary(), st.none() | st.text(), st.binary(max_size=2))
    def test_any_bytes_are_parsed_or_refused(
        self, before: bytes, after: bytes, header: str | None, query: bytes
    ) -> None:
        """No body and no header leads to anything but parameters or an answer without them."""
        body = before + b"&password=" + TYPED.encode() + after
        for start in (b"", b"grant_type=password&client_id=mac&username=alice"):
            try:
                form = parse(start + body, query=query)
                parse_client(form, header)
                self.parse_all(form)
            except OAuthError as error:
                self.refusal(error)


class ClientCredentialsTests(RequestTestCase):
    """Client credentials, by the form or by HTTP Basic."""

    @given(st.text(min_size=1), st.text())
    def test_basic_credentials_come_through_exactly(self, client_id: str, secret: str) -> None:
        """The secret is read as form-encoded (RFC 6749 section 2.3.1), and as it stands."""
        header = basic(f"{quote_plus(client_id)}:{quote_plus(secret)}")
        expected = (secret, quote_plus(secret)) if secret else ()
        self.assertEqual(parse_client({}, header), ClientCredentials(client_id, expected, True))

    @parametrize(
        {
            "form": ({"client_id": "mac"}, None, BY_FORM),
            "an empty header": ({"client_id": "mac"}, "", BY_FORM),
            "another scheme": ({"client_id": "mac"}, "Bearer bWFjOmE6Yg==", BY_FORM),
            "form with a secret": (
                {"client_id": "mac", "client_secret": "a:b"},
                None,
                BY_FORM_WITH_SECRET,
            ),
            "Basic": ({}, basic("mac:a:b"), BY_BASIC),
            "Basic in small letters": ({}, basic("mac:a:b", "bASIC"), BY_BASIC),
            "Basic with an escape": ({}, basic("mac:a%3Ab", "Basic "), ENCODED),
            "Basic and form": ({"client_id": "mac"}, basic("mac:a:b"), BY_BASIC),
            "Basic without a colon": ({}, basic("mac"), ClientCredentials("mac", (), basic=True)),
            "Basic without a secret": ({}, basic("mac:"), ClientCredentials("mac", (), basic=True)),
        }
    )
    def test_credentials(self, form: Form, header: str | None, expected: ClientCredentials) -> None:
        """The form, Basic, or Basic with the same id in the form; other schemes say nothing."""
        self.assertEqual(parse_client(form, header), expected)

    @parametrize(
        {
            "no client": ({}, None, "client_id is missing"),
            "only a secret": ({"client_secret": TYPED}, None, "client_id is missing"),
            "another scheme": ({}, f"Bearer {TYPED}", "client_id is missing"),
            "another id": ({"client_id": "web"}, basic(f"mac:{TYPED}"), "more than one way"),
            "two secrets": ({"client_secret": TYPED}, basic(f"mac:{TYPED}"), "more than one way"),
            "a secret beside an empty one": (
                {"client_id": "mac", "client_secret": TYPED},
                basic("mac:"),
                "more than one way",
            ),
            "no base64": ({}, f"Basic mac:{TYPED}", "malformed"),
            "no colon": ({}, f"Basic {TYPED}=", "malformed"),
            "a line end": ({}, "Basic bWFj\nOmE6Yg==", "malformed"),
            "no UTF-8": ({}, "Basic bWFjOv8=", "malformed"),
            "no ASCII": ({}, "Basic ümlaut", "malformed"),
        }
    )
    def test_refusal(self, form: Form, header: str | None, expected: str) -> None:
        """No client, two ways at once, and what is no Basic header."""
        error = self.assertRaises(InvalidRequestError, parse_client, form, header)
        self.assertIn(expected, self.refusal(error))
