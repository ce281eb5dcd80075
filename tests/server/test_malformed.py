"""Malformed requests."""

from __future__ import annotations

from urllib.parse import urlencode

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionLost

from ropg_twisted.server.site import IDLE_SECONDS
from tests.client import FORM, GOOD
from tests.fakes import RIGHT, FixedVerifier
from tests.parametrize import parametrize
from tests.server.sites import CHECK, HEALTH, LAST, SiteTestCase

TOKEN = f"POST /oauth/token HTTP/1.1\r\nHost: x\r\n{FORM}".encode()
GET = b"GET /health HTTP/1.1\r\nHost: x\r\n"
CHUNKED = TOKEN + b"Transfer-Encoding: chunked\r\n\r\n"
FILLED = str(len(urlencode(GOOD))).encode()
BODY = urlencode(GOOD).encode()

MALFORMED = {
    "chunk size that is no number": CHUNKED + b"zz\r\nabc\r\n0\r\n\r\n",
    "chunk size below zero": CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n",
    "chunk size with a sign": CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n",
    "chunk size with 0x": CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "chunk size with a blank": CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n",
    "chunk size with an underscore": CHUNKED + b"0_3\r\nabc\r\n0\r\n\r\n",
    "no chunk size": CHUNKED + b"\r\nabc\r\n0\r\n\r\n",
    "endless chunk size": CHUNKED + b"f" * 5000,
    "endless chunk extension": CHUNKED + b"3;" + b"x" * 5000,
    "control character in a chunk extension": CHUNKED + b"3;\0\r\nabc\r\n0\r\n\r\n",
    "chunk longer than it says": CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
    "chunks ended by LF": CHUNKED + b"3\nabc\n0\n\n",
    "endless trailer": CHUNKED + b"0\r\n" + b"a: b\r\n" * 20000,
    "endless trailer line": CHUNKED + b"0\r\n" + b"a" * 100_000,
    "length below zero": TOKEN + b"Content-Length: -1\r\n\r\n",
    "length with a sign": TOKEN + b"Content-Length: +" + FILLED + b"\r\n\r\n" + BODY,
    "length in hex": TOKEN + b"Content-Length: 0x10\r\n\r\n" + BODY,
    "length with an underscore": TOKEN + b"Content-Length: 1_0\r\n\r\n" + BODY,
    "length with a fraction": TOKEN + b"Content-Length: 10.0\r\n\r\n" + BODY,
    "length in other digits": TOKEN + "Content-Length: ٣²\r\n\r\n".encode() + BODY,
    "empty length": TOKEN + b"Content-Length:\r\n\r\n" + BODY,
    "list of lengths": TOKEN + b"Content-Length: 3, 3\r\n\r\n" + BODY,
    "same length twice": TOKEN + b"Content-Length: 3\r\n" * 2 + b"\r\n" + BODY,
    "name with a blank": GET + b"a b: c\r\n\r\n",
    "name with a blank behind it": GET + b"a : b\r\n\r\n",
    "name with NUL": GET + b"a\0: b\r\n\r\n",
    "name with other letters": GET + "ü: c\r\n\r\n".encode(),
    "empty name": GET + b": b\r\n\r\n",
    "no name": GET + b"abc\r\n\r\n",
    "no name, and more": GET + b"abc\r\nX: y\r\n\r\n",
    "value with NUL": GET + b"a: \0\r\n\r\n",
    "value with CR": GET + b"a: b\rc: d\r\n\r\n",
    "value with LF": GET + b"a: b\nc: d\r\n\r\n",
    "folded first line": b"GET /health HTTP/1.1\r\n Host: x\r\n\r\n",
    "only LF": b"GET /health HTTP/1.1\nHost: x\n\n",
    "only CR": b"GET /health HTTP/1.1\rHost: x\r\r",
    "HTTP/0.9": b"GET /health\r\n\r\n",
    "HTTP/1.2": b"GET /health HTTP/1.2\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP in small letters": b"GET /health http/1.1\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
    "two blanks": b"GET  /health HTTP/1.1\r\n\r\n",
    "tabs": b"GET\t/health\tHTTP/1.1\r\n\r\n",
    "blank behind": b"GET /health HTTP/1.1 \r\n\r\n",
    "blank in the path": b"GET /hea lth HTTP/1.1\r\n\r\n",
    "no path": b"GET  HTTP/1.1\r\n\r\n",
    "control character in the path": b"GET /health\x01 HTTP/1.1\r\n\r\n",
    "NUL in the path": b"GET /health\0 HTTP/1.1\r\n\r\n",
    "DEL and Latin-1 in the path": b"GET /h\xe9alth\x7f HTTP/1.1\r\n\r\n",
    "no blanks": b"GARBAGE\r\n\r\n",
    "nothing but line ends": b"\r\n\r\n\r\n",
    "method with a bracket": b"G(ET /health HTTP/1.1\r\n\r\n",
    "method of other letters": "ÜET /health HTTP/1.1\r\n\r\n".encode(),
    "method of signs": b"!#$%&'*+-.^_`|~ /health HTTP/1.1\r\nHost: x\r\n\r\n",
    "method without end": b"X" * 20000,
    "long method": b"X" * 16000 + b" /health HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT": b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "TRACE": b"TRACE /health HTTP/1.1\r\nHost: x\r\n\r\n",
    "no method but a star": b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
    "somebody else's URL": b"GET http://example.com/health HTTP/1.1\r\nHost: x\r\n\r\n",
    "path without a slash": b"GET health HTTP/1.1\r\nHost: x\r\n\r\n",
    "path that goes up": b"GET /x/../health HTTP/1.1\r\nHost: x\r\n\r\n",
    "escaped NUL": b"GET /health%00 HTTP/1.1\r\nHost: x\r\n\r\n",
    "escaped line end": b"GET /health%0d%0aX:%20y HTTP/1.1\r\nHost: x\r\n\r\n",
    "half an escape": b"GET /health% HTTP/1.1\r\nHost: x\r\n\r\n",
    "no escape": b"GET /health%zz HTTP/1.1\r\nHost: x\r\n\r\n",
    "escaped UTF-8": b"GET /%c3%bc HTTP/1.1\r\nHost: x\r\n\r\n",
    "URL of 20 kB": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "URL of 15 kB": b"GET /" + b"a" * 15_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "header of 20 kB": GET + b"X: " + b"y" * 20_000 + b"\r\n\r\n",
    "600 headers": GET + b"".join(b"X-%d: y\r\n" % i for i in range(600)) + b"\r\n",
    "the same header 600 times": GET + b"X: y\r\n" * 600 + b"\r\n",
    "folded header of 20 kB": GET + b"X: y\r\n" + b" z\r\n" * 20_000 + b"\r\n",
    "credentials that are no text": TOKEN
    + b"Authorization: Basic \xff\xfe\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    + BODY,
    "content type that is no text": b"POST /oauth/token HTTP/1.1\r\nHost: x\r\n"
    b"Content-Type: \xff\xfe\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY,
    "query that is no text": b"POST /oauth/token?%ff=\xa0 HTTP/1.1\r\nHost: x\r\n"
    + FORM.encode()
    + b"Content-Length: %d\r\n\r\n" % len(BODY)
    + BODY,
}
"""Requests that no right client sends. None of them may bring more than a 4xx."""

SMUGGLED = {
    "both lengths": TOKEN + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both, the other way": TOKEN
    + b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n",
    "two lengths": TOKEN + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
    "two codings": TOKEN + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n",
    "unknown coding": TOKEN + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two codings in one": TOKEN + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding behind a vertical tab": TOKEN + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "coding with a blank before the colon": TOKEN + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "coding behind NUL": TOKEN + b"Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n",
    "coding behind LF": TOKEN + b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "length behind CR": TOKEN + b"X: y\rContent-Length: 44\r\n\r\n",
    "chunk that ends with LF": CHUNKED + b"1\r\na\n0\r\n\r\n",
}
"""Heads that two servers in a row may read in two ways; each is followed by one more request."""


class MalformedTests(SiteTestCase):
    """Requests that are none."""

    def setUp(self) -> None:
        super().setUp()
        self.site = self.make_site(FixedVerifier(RIGHT))

    def assert_refused(self, case: str, data: bytes) -> list[int]:
        """Each answer is a 4xx, or the connection ends; the next one works as ever."""
        peer = self.connect()
        for piece in (data[:1], data[1:-1], data[-1:]):
            peer.send(piece)
        statuses = peer.statuses
        if not statuses:
            self.pass_time(IDLE_SECONDS + 1)
            self.assertFalse(peer.is_open, case)
        for reply in peer.replies:
            self.assertIn(reply.status, range(400, 500), case)
            self.assertNotIn(b"<", reply.body, case)
            self.assertNotIn(b"Traceback", reply.body, case)
        self.assert_quiet(case)
        self.assertEqual(self.connect().send(HEALTH).statuses, [200], case)
        return statuses

    @parametrize({name: (row,) for name, row in MALFORMED.items()})
    def test_what_is_malformed_is_refused(self, data: bytes) -> None:
        """The response is a 4xx, or the connection ends."""
        self.assert_refused(repr(data[:80]), data)

    @parametrize({name: (row,) for name, row in SMUGGLED.items()})
    def test_no_second_request_can_be_smuggled(self, data: bytes) -> None:
        """After a head that can be read in two ways, nothing behind it is looked at."""
        statuses = self.assert_refused(repr(data[:80]), data + HEALTH)
        self.assertEqual(statuses, [400])

    def test_a_length_of_very_many_digits_is_refused(self) -> None:
        """Python refuses to read such a number at all."""
        for digits in (20, 1000, 5000):
            head = TOKEN + b"Content-Length: " + b"9" * digits + b"\r\n\r\n"
            self.assert_refused(f"{digits} digits", head)
            self.assertIn(self.connect().send(head).statuses, ([400], [413]), digits)

    def test_a_path_that_is_not_utf_8_is_not_there(self) -> None:
        """Such a path is answered in JSON, as any other that is not there, and not worth a line."""
        for path in (b"/h\xa9\xb0", b"/h%ff%fe", b"/%80/health", b"/oauth/token%ff", b"*%ff"):
            statuses = self.assert_refused(repr(path), b"GET " + path + b" HTTP/1.1\r\n\r\n")
            self.assertEqual(len(statuses), 1, path)

    def test_no_host_header_does_harm(self) -> None:
        """Any Host header is answered as usual, or with a 4xx."""
        for host in (
            *("", ".", "a..b", "a" * 64, "x" * 300, "xn--a", "xn--ü", "ü", "-", "a_b", "a b"),
            *("a:b", "a:99999999", "[::1]:8580", "[::1", "]", "<x>", "a/b?c#d@e", "%41", "a,b"),
        ):
            head = b"GET /health HTTP/1.1\r\nHost: %s\r\n\r\n" % host.encode()
            [reply] = self.connect().send(head).replies
            self.assertIn(reply.status, (200, *range(400, 500)), host)
            self.assert_quiet(host)
        [reply] = self.connect().send(b"GET /health HTTP/1.1\r\nHost: \xff\r\n\r\n").replies
        self.assertIn(reply.status, (200, *range(400, 500)))
        self.assert_quiet("Latin-1")

    def test_http_1_0_is_answered_and_closed(self) -> None:
        """The last request of a connection of old."""
        peer = self.connect().send(b"GET /health HTTP/1.0\r\n\r\n")
        self.assertEqual(peer.statuses, [200])
        self.clock.advance(0)
        self.assertFalse(peer.is_open)

    def test_bytes_behind_the_end_are_not_looked_at(self) -> None:
        """Over TLS they still come in when the connection is being closed."""
        for start in (
            b"GARBAGE\r\n",
            TOKEN + b"Content-Length: 1\r\nContent-Length: 2\r\nX: y\r\n",
            CHUNKED + b"zz\r\n",
            TOKEN + b"Content-Length: 9999999\r\n\r\n",
            LAST,
        ):
            peer = self.connect(deaf=True).send(start)
            said = peer.transport.value()
            for more in (b"X: y\r\n\r\n", HEALTH, b"\r\n\r\n0\r\n\r\n", b"\xff" * 20_000):
                peer.send(more)
            self.assertEqual(peer.transport.value(), said, start)
            self.assert_quiet(start)

    def test_nobody_is_asked_to_go_on_with_what_is_refused(self) -> None:
        """A body that is too large is refused before ``100 Continue``, which does not follow."""
        head = TOKEN + b"Expect: 100-continue\r\nContent-Length: 9999999\r\n\r\n"
        self.assertEqual(self.connect().send(head).statuses, [413])

    @given(st.lists(st.binary(max_size=200), max_size=5), st.booleans())
    def test_arbitrary_bytes_never_break_a_connection(
        self, pieces: list[bytes], deaf: bool
    ) -> None:
        """Nothing that a client sends raises, or is worth an error in the log."""
        self.assert_harmless(pieces, deaf)

    @given(
        st.lists(
            st.sampled_from(
                (
                    *(b"GET ", b"POST ", b"\xff ", b"/oauth/token", b"/health", b"*", b"/\xa9"),
                    *(b"/%ff", b"?a=%ff", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" ", b"\r\n"),
                    *(b"\n", b"\r", b"\0", b"\t", b": ", b";", b"Host: x\r\n", b"Host: a..b\r\n"),
                    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n"),
                    *(b"Content-Length: 9999999\r\n", b"Connection: close\r\n", FORM.encode()),
                    *(b"Expect: 100-continue\r\n", b"X-Forwarded-For: \xff, ::1%1\r\n"),
                    *(b"Authorization: Basic \xff\r\n", b"Cookie: \xff=;=\r\n", b"3\r\n"),
                    *(b"abc", b"0\r\n", b"\r\n\r\n", BODY, HEALTH, CHECK, LAST),
                )
            ),
            max_size=16,
        ),
        st.integers(1, 40),
        st.booleans(),
    )
    def test_pieces_of_requests_in_any_order_never_break_a_connection(
        self, words: list[bytes], step: int, deaf: bool
    ) -> None:
        """Neither does what looks like HTTP, however it is cut."""
        data = b"".join(words)
        self.assert_harmless([data[i : i + step] for i in range(0, len(data), step)], deaf)

    def assert_harmless(self, pieces: list[bytes], deaf: bool) -> None:
        """Send the pieces, then go; nothing raises, nothing is logged and nothing is left."""
        self.events.clear()
        peer = self.connect(deaf=deaf)
        for piece in pieces:
            peer.send(piece)
        peer.transport.lose(ConnectionLost())
        self.clock.advance(0)
        self.assert_quiet(pieces)
        self.assert_nothing_left(pieces)
