"""Cookies of one login."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import CookieAgent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from ropg_twisted.authentik.cookies import OriginCookie, OriginCookieJar
from ropg_twisted.authentik.responses import CompleteResponse
from tests.parametrize import parametrize

URL = b"http://authentik.example.com/"


@implementer(IAgent)
class CookieServer:
    """Answers with ``Set-Cookie`` lines. ``sent``: the Cookie headers of the requests."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.sent: list[list[str]] = []

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """See :class:`IAgent`."""
        assert headers is not None
        self.sent.append(list(headers.getRawHeaders("Cookie", [])))
        return succeed(CompleteResponse(200, Headers({"Set-Cookie": self.lines}), b""))


class OriginCookieJarTests(SynchronousTestCase):
    """The jar under Twisted's own agent for cookies."""

    def setUp(self) -> None:
        """Begin without a cookie."""
        self.server = CookieServer()
        self.jar = OriginCookieJar()
        self.agent = CookieAgent(self.server, self.jar)

    def receive(self, *lines: str) -> list[str]:
        """Make two requests; the response to the first has these lines. Return what is sent."""
        self.server.lines = list(lines)
        self.successResultOf(self.agent.request(b"GET", URL, Headers()))
        self.server.lines = []
        self.successResultOf(self.agent.request(b"GET", URL, Headers()))
        return self.server.sent[-1]

    def test_they_are_sent_back(self) -> None:
        """All of them, in one header."""
        self.assertEqual(self.server.sent, [])
        self.assertEqual(self.receive("a=1; HttpOnly; Path=/", "b=2=3"), ["a=1; b=2=3"])
        self.assertEqual(self.server.sent[0], [])
        self.assertEqual(self.receive("a=4"), ["a=4; b=2=3"])

    @parametrize(
        {
            "https only": ("a=1; Secure; SameSite=None",),
            "another domain": ("a=1; Domain=sso.example.org",),
            "another path": ("a=1; Path=/elsewhere",),
            "spaces": (" a = 1 ; x",),
            "a Max Age that is no number": ("a=1; Max-Age=soon",),
        }
    )
    def test_all_are_for_this_origin(self, line: str) -> None:
        """Nothing that tells where else to send a cookie keeps it from being sent here."""
        self.assertEqual(self.receive(line), ["a=1"])

    @parametrize({"no name": ("=1",), "no value": ("a",), "empty": ("",), "attribute": ("; a=1",)})
    def test_no_cookie(self, line: str) -> None:
        """A line without a name and a value is ignored."""
        self.assertEqual(self.receive(line), [])

    @parametrize(
        {
            "as Authentik": ('a=""; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/',),
            "in the past": ("a=1; max-age = -10",),
        }
    )
    def test_deletion(self, line: str) -> None:
        """A Max-Age that is not positive deletes the cookie, if there is one."""
        self.assertEqual(self.receive(line), [])
        self.receive("a=1")
        self.assertEqual(self.receive(line), [])

    def test_max_age(self) -> None:
        """It is kept in seconds, and that of another attribute is not."""
        self.receive("a=1; HttpOnly; Max-Age=120; Path=/", "b=2; x-max-age=5", "c=max-age=7")
        self.assertEqual(
            self.jar.cookies,
            {"a": OriginCookie("1", 120), "b": OriginCookie("2"), "c": OriginCookie("max-age=7")},
        )
        self.assertNotIn("secret", repr(OriginCookie("secret", 5)))
