"""HTTP/1.1 responses of Authentik, as their bytes come in."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.authentik.responses import (
    MAX_BODY,
    MAX_HEAD,
    MAX_RESPONSE,
    CompleteResponse,
    MalformedResponseError,
    ResponseParser,
)
from ropg_twisted.verdict import Reason, UpstreamError
from tests.parametrize import parametrize

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = OK + b"Content-Type: application/json\r\nContent-Length: 4\r\n\r\nbody"
CHUNKS = OK + b"Transfer-Encoding: Chunked\r\n\r\n3\r\nbod\r\n1\r\ny\r\n0\r\n\r\n"
UNTIL_THE_END = OK + b"\r\nbody"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"


def parse(*parts: bytes) -> CompleteResponse | None:
    """The response that comes in these parts, ``None`` if it is not complete."""
    parser = ResponseParser()
    for part in parts:
        parser.feed(part)
    return parser.response


class CompleteTests(SynchronousTestCase):
    """Responses whose end is known."""

    @parametrize(
        {
            "a length": (LENGTH,),
            "chunks": (CHUNKS,),
            "a trailer": (CHUNKS[:-2] + b"Content-Type: text/html\r\n\r\n",),
            "informational responses before": (EARLY + LENGTH,),
        }
    )
    def test_the_body_is_whole(self, data: bytes) -> None:
        """The response is complete at its last byte, not before."""
        self.assertIsNone(parse(data[:-1]))
        response = parse(data)
        assert response is not None
        self.assertEqual((response.code, response.body), (200, b"body"))

    @given(st.lists(st.integers(0, len(EARLY + CHUNKS)), max_size=8))
    def test_any_parts_make_the_same(self, cuts: list[int]) -> None:
        """It does not matter how the bytes are cut."""
        data = EARLY + CHUNKS
        edges = [0, *sorted(cuts), len(data)]
        response = parse(*(data[a:b] for a, b in pairwise(edges)))
        assert response is not None
        self.assertEqual(response.body, b"body")
        self.assertFalse(response.headers.hasHeader("Link"))

    def test_headers_are_kept_and_trailers_are_not(self) -> None:
        """A trailer cannot change the type of a body."""
        response = parse(LENGTH)
        assert response is not None
        self.assertEqual(response.headers.getRawHeaders("content-type"), ["application/json"])
        trailed = parse(CHUNKS[:-2] + b"Content-Type: text/html\r\n\r\n")
        assert trailed is not None
        self.assertIsNone(trailed.headers.getRawHeaders("content-type"))

    def test_no_content(self) -> None:
        """A 204 has no body, whatever follows."""
        response = parse(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert response is not None
        self.assertEqual((response.code, response.body), (204, b""))

    def test_the_end_of_the_connection(self) -> None:
        """It ends a body without a length, and no other."""
        for data, body in ((UNTIL_THE_END, b"body"), (LENGTH[:-1], None), (CHUNKS[:-1], None)):
            parser = ResponseParser()
            parser.feed(data)
            self.assertIsNone(parser.response)
            parser.end()
            self.assertEqual(parser.response and parser.response.body, body)


class ReuseTests(SynchronousTestCase):
    """Whether another request may follow."""

    @parametrize(
        {
            "HTTP 1 1": (LENGTH, True),
            "chunks": (CHUNKS, True),
            "close": (LENGTH.replace(b"Content-Type: ", b"Connection: close\r\nX: "), False),
            "HTTP 1 0": (LENGTH.replace(b"HTTP/1.1", b"HTTP/1.0"), False),
            "a second response": (LENGTH + LENGTH, False),
            "garbage behind it": (LENGTH + b"garbage", False),
        }
    )
    def test_reusable(self, data: bytes, reusable: bool) -> None:
        """Bytes that nobody has asked for end the connection, but not the response before them."""
        parser = ResponseParser()
        parser.feed(data)
        assert parser.response is not None
        self.assertEqual((parser.response.body, parser.reusable), (b"body", reusable))

    def test_the_next_response(self) -> None:
        """Nothing of one response is left in the next one."""
        parser = ResponseParser()
        parser.feed(CHUNKS)
        parser.expect()
        self.assertIsNone(parser.response)
        parser.feed(LENGTH.replace(b"body", b"next"))
        assert parser.response is not None
        self.assertEqual(parser.response.body, b"next")


class RefusedTests(SynchronousTestCase):
    """Bytes that are no response, or too much of one."""

    @parametrize(
        {
            "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n",),
            "another version": (LENGTH.replace(b"1.1", b"3.1"),),
            "a protocol switch": (SWITCHING,),
            "two lengths": (LENGTH.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n"),),
            "a length and chunks": (
                CHUNKS.replace(b"\r\n\r\n", b"\r\nContent-Length: 4\r\n\r\n", 1),
            ),
            "an unknown coding": (CHUNKS.replace(b"Chunked", b"gzip"),),
            "a bad chunk": (CHUNKS.replace(b"\r\n3\r\n", b"\r\nxyz\r\n"),),
            "a bad header name": (LENGTH.replace(b"Content-Type", b"Content Type"),),
            "a header that is too large": (OK + b"X: " + b"x" * MAX_HEAD,),
            "many headers": (OK + b"X: y\r\n" * MAX_HEAD,),
            "informational responses without end": (EARLY * MAX_HEAD,),
            "a trailer that is too large": (CHUNKS[:-2] + b"X: y\r\n" * MAX_HEAD,),
            "chunks that are too small": (
                CHUNKS[:43] + b"1;x=yyyy\r\na\r\n" * (MAX_RESPONSE // 13),
            ),
        }
    )
    def test_malformed(self, data: bytes) -> None:
        """It is refused as soon as it is seen."""
        parser = ResponseParser()
        with self.assertRaises(MalformedResponseError):
            for start in range(0, len(data), 4096):
                parser.feed(data[start : start + 4096])
        self.assertIsNone(parser.response)

    @parametrize(
        {
            "too large": (LENGTH.replace(b": 4", b": %d" % (MAX_BODY + 1)) + b"x" * MAX_BODY,),
            "gzip": (LENGTH.replace(b"Content-Type: ", b"Content-Encoding: gzip\r\nX: "),),
            "two codings": (
                LENGTH.replace(
                    b"Content-Type: ", b"Content-Encoding: identity\r\nContent-Encoding: br\r\nX: "
                ),
            ),
        }
    )
    def test_bodies(self, data: bytes) -> None:
        """A body that is too large or encoded is not read."""
        with self.assertRaises(UpstreamError) as caught:
            parse(data)
        self.assertIs(caught.exception.reason, Reason.UPSTREAM_BODY)

    @given(st.binary(max_size=200), st.sampled_from([b"", OK, LENGTH[:-4], CHUNKS[:-10]]))
    def test_any_bytes(self, data: bytes, head: bytes) -> None:
        """Whatever comes is a response, or a part of one, or is refused."""
        parser = ResponseParser()
        try:
            parser.feed(head + data)
        except (MalformedResponseError, UpstreamError):
            self.assertFalse(parser.reusable)
