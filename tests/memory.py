"""The whole daemon in memory, made from its settings, on a clock, with the sandbox behind it."""

from __future__ import annotations

import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import jwt
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request
from zope.interface import implementer

from ropg_twisted.authentik.evidence import FlowEvidence
from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.sandbox.http.app import Sandbox
from ropg_twisted.sandbox.oauth2.applications import LOOPBACK_URI
from ropg_twisted.sandbox.oauth2.signing import SigningKey
from ropg_twisted.settings.sources import read_settings
from tests.client import FORM, Connection, Reply, post
from tests.composition import AUTHENTIK, ISSUER, build_daemon, client_with, proven_flow
from tests.fakes import CapturedLog
from tests.sandbox_browser import DEFAULT, Browser

HOST = urlsplit(AUTHENTIK).netloc
OAUTH = "/application/o/"
TOKEN = f"{OAUTH}token/"
AUTHORIZE = f"{OAUTH}authorize/"
DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/.well-known/jwks.json"
VERIFIER = "a-verifier-of-at-least-43-characters-0123456789"
CHALLENGE = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request that has come to Authentik. ``path``: without its query."""

    method: str
    path: str
    query: str
    authorization: str | None = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def form(self) -> dict[str, str]:
        """The fields of the body."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


class RequestRecorder(Resource):
    """Authentik, and the requests that it has received.

    ``resource``: answers the requests. ``overrides``: responses in place of its own, by path;
    bytes are JSON, a number is a status without a body, and a function returns one of both.
    """

    isLeaf = True

    def __init__(self, authentik: IResource) -> None:
        super().__init__()
        self.requests: list[ReceivedRequest] = []
        self.overrides: dict[str, bytes | int | Callable[[Request], bytes | int]] = {}
        self.resource = authentik

    def render(self, request: Request) -> Any:
        """Keep the request, and answer it."""
        path, _, query = request.uri.decode("latin-1").partition("?")
        method, authorization = request.method.decode("latin-1"), request.getHeader("authorization")
        content: Any = request.content
        self.requests.append(ReceivedRequest(method, path, query, authorization, content.read()))
        content.seek(0)
        answer = self.overrides.get(path)
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, int):
            request.setResponseCode(answer)
            return b""
        if answer is not None:
            request.setHeader("Content-Type", "application/json")
            return answer
        return self.resource.render(request)

    def count(self, method: str, path: str) -> int:
        """The number of such requests."""
        return sum((received.method, received.path) == (method, path) for received in self.requests)


@implementer(IAgent)
class UnreliableAgent:
    """The way to Authentik.

    ``failure``: fails every request. ``silent``: no request is ever answered.
    """

    def __init__(self, authentik: IResource) -> None:
        self.failure: Exception | None = None
        self.silent = False
        self._agent = RequestTraversalAgent(authentik)

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """See :class:`IAgent`."""
        if self.failure is not None:
            return fail(self.failure)
        if self.silent:
            return Deferred()
        answer: Deferred[IResponse] = self._agent.request(method, uri, headers, bodyProducer)
        return answer


class InMemoryDaemon:
    """``twistd ropg`` without its process and sockets.

    ``clients``: the tables of the settings file, as TOML. ``environ``: the other settings. The
    clock begins a little before now: PyJWT compares the times in tokens with the wall clock.
    """

    def __init__(self, test: SynchronousTestCase, clients: str = "", **environ: str) -> None:
        folder = Path(test.mktemp())
        folder.mkdir()
        self.state_dir = folder / "state"
        self.events = CapturedLog(test).events
        self.clock = MemoryReactorClock()
        self.clock.advance(int(time.time()) - 600)
        self.sandbox = self.make_sandbox()
        self.sandbox.provider.key = signing_key(0)
        self.authentik = RequestRecorder(self.sandbox.resource)
        self.agent = UnreliableAgent(self.authentik)
        (folder / "ropg.toml").write_text(clients)
        usual = {
            "AUTHENTIK_URL": AUTHENTIK,
            "PROXY_ISSUER": ISSUER,
            "ROPG_CONFIG": str(folder / "ropg.toml"),
            "ROPG_STATE_DIR": str(self.state_dir),
            "ROPG_SIGNING_ALG": "ES256",
        }
        if "JWT_SECRET" in environ:
            del usual["ROPG_SIGNING_ALG"]
        settings = read_settings({}, usual | environ)
        daemon = build_daemon(
            settings, self.clock, client_with(self.agent), make_evidence=self.make_evidence
        )
        daemon.service.privilegedStartService()
        self.site = daemon.site

    def make_sandbox(self) -> Sandbox:
        """The sandbox, on the clock of the test."""
        return Sandbox(self.clock)

    def make_evidence(self, clock: IReactorTime) -> FlowEvidence:
        """The evidence of how the flow refuses, which is known from the start."""
        return proven_flow(clock)

    def connect(self) -> Connection:
        """A new connection."""
        return Connection(self.site)

    def send(self, data: bytes) -> Reply | None:
        """The answer to a request, ``None`` if the connection is cut instead."""
        peer = self.connect()
        peer.send(data)
        if peer.transport.disconnected and not peer.replies:
            return None
        [reply] = peer.replies
        return reply

    def get(self, path: str, headers: str = "") -> Reply:
        """The answer to a GET."""
        reply = self.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
        assert reply is not None, "the connection was cut"
        return reply

    def authentik_get(self, path: str) -> Any:
        """The JSON that Authentik itself answers to a GET, from a browser without cookies."""
        return Browser(self.sandbox).ask("GET", path, headers={"Host": HOST}).json

    def post(self, path: str, form: Mapping[str, str], headers: str = "") -> Reply:
        """The answer to a form."""
        reply = self.send(post(urlencode(form), FORM + headers, path))
        assert reply is not None, "the connection was cut"
        return reply

    def password(self, username: str, password: str = USUAL_PASSWORD, **more: str) -> Reply:
        """The answer to a password check."""
        form = {"grant_type": "password", "client_id": "jamf-connect", "username": username}
        return self.post("/oauth/token", {**form, "password": password, **more})

    def redeem(self, code: str, headers: str = "", **more: str) -> Reply:
        """The answer to an authorization code."""
        form = {
            "grant_type": "authorization_code",
            "client_id": "jamf-connect",
            "redirect_uri": LOOPBACK_URI,
            "code": code,
            "code_verifier": VERIFIER,
        }
        form |= more
        return self.post("/oauth/token", {k: v for k, v in form.items() if v}, headers)

    def code(self, username: str = "alice", **query: str) -> str:
        """An authorization code, as a browser brings it that somebody has logged in with."""
        browser = Browser(self.sandbox)
        browser.walk(DEFAULT, username, USUAL_PASSWORD)
        usual = {
            "response_type": "code",
            "client_id": "jamf-connect",
            "redirect_uri": LOOPBACK_URI,
            "scope": "openid profile email offline_access",
            "state": "a state",
            "nonce": "a nonce",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        answer = browser.ask("GET", f"{AUTHORIZE}?{urlencode(usual | query)}")
        [location] = answer.values("location")
        return parse_qs(urlsplit(location).query)["code"][0]

    def userinfo(self, token: str) -> Reply:
        """The response of userinfo to a token."""
        return self.get("/userinfo", f"Authorization: Bearer {token}\r\n")

    def logged(self, name: str) -> list[Any]:
        """The values of one field in all lines of the log that have it."""
        return [event[name] for event in self.events if name in event]

    def verified(self, token: str, client_id: str = "jamf-connect") -> dict[str, Any]:
        """The claims of a token, as somebody reads it who knows only what is published."""
        keys = jwt.PyJWKSet.from_dict(self.get(JWKS).json)
        key = keys[jwt.get_unverified_header(token)["kid"]]
        return jwt.decode(token, key, [key.algorithm_name], audience=client_id, issuer=ISSUER)


@cache
def signing_key(number: int) -> SigningKey:
    """A key of Authentik's; the same for all tests, as it takes long to make."""
    return SigningKey.make(time.time() - 1)


def claims(token: str) -> dict[str, Any]:
    """The claims of a token, whoever has signed it."""
    return jwt.decode(token, options={"verify_signature": False})
