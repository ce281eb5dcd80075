"""Fuzz targets, and the properties that must hold for every input.

A target is a function that takes bytes and raises if anything is not as it must be. ``*`` in the
bytes stands for a secret that nothing may show.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from ipaddress import ip_network
from typing import Any, Final, TypeAlias, cast
from unicodedata import category
from urllib.parse import urlencode

from twisted.internet.protocol import connectionDone
from twisted.web.server import Site

from ropg_twisted.authentik.challenges import (
    Challenge,
    Redirect,
    Response,
    SessionCookie,
    read_executor_response,
    read_session_cookie,
)
from ropg_twisted.authentik.client import FlowSession
from ropg_twisted.authentik.conversation import MAX_STEPS, ChallengeResponse, Conversation
from ropg_twisted.authentik.evidence import Evidence
from ropg_twisted.authentik.users import fetch_user
from ropg_twisted.errors import OAuthError
from ropg_twisted.interfaces import LoginAttempt, RequestKind
from ropg_twisted.networks import client_address, network_of, parse_networks
from ropg_twisted.oauth.access_tokens import INACTIVE, AccessTokens
from ropg_twisted.oauth.claims import claims_of
from ropg_twisted.oauth.forms import parse_form, parse_unencoded_form
from ropg_twisted.oauth.keys import shared_secret
from ropg_twisted.oauth.request import (
    CONTROL,
    MAX_USERNAME,
    parse_client,
    parse_grant_type,
    parse_password_grant,
)
from ropg_twisted.oauth.scopes import SCOPES
from ropg_twisted.oauth.tokens import sign
from ropg_twisted.settings.model import Client
from ropg_twisted.verdict import Outcome, Reason, UpstreamError, Verdict
from tests.client import Connection, post
from tests.composition import daemon_site
from tests.fakes import RIGHT, FixedVerifier

Run: TypeAlias = Callable[[bytes], None]

CANARY: Final = "canary-27182818"
"""The secret that ``*`` stands for."""


@dataclass(frozen=True, slots=True)
class Target:
    """Something to throw bytes at.

    ``run`` raises if anything is wrong. ``seeds``: inputs that reach far. ``words``: what is worth
    putting into others.
    """

    name: str
    run: Run
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()


def hide(*shown: object) -> None:
    """Fail if any of these shows the secret."""
    for item in shown:
        assert CANARY not in f"{item!r} {item}", "the secret shows"


def hide_cause(error: Exception) -> None:
    """Fail if an error, or one that a log would print with it, shows the secret."""
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    hide(error, error.args)


def with_canary(data: bytes) -> bytes:
    """The input with the secret in it."""
    return data.replace(b"*", CANARY.encode())


# Token requests.

URLENCODED: Final = "application/x-www-form-urlencoded"


def token_request(data: bytes) -> None:
    """The Authorization header in a line, and a body, which is read in both ways."""
    header, _, body = with_canary(data).partition(b"\n")
    unencoded = parse_unencoded_form(body)
    if unencoded is not None:
        pair = [f"&{name}={unencoded.get(name, '')}" for name in ("username", "password")]
        assert "".join([*pair, "&client_id="]) in body.decode()
        _read_grant(unencoded, header)
    try:
        form = parse_form(body)
    except OAuthError as error:
        hide_cause(error)
    else:
        again = urlencode(form).encode()
        assert not form or parse_form(again) == form
        _read_grant(form, header)


def _read_grant(form: Mapping[str, str], header: bytes) -> None:
    try:
        parse_grant_type(form)
        client = parse_client(form, header.decode("latin-1"))
        hide(replace(client, id=""))
        grant = parse_password_grant(form)
        hide(replace(grant, username="", scope=(), nonce=None))
    except OAuthError as error:
        hide_cause(error)
    else:
        assert grant.password == form["password"] != ""
        assert 0 < len(grant.username) <= MAX_USERNAME
        assert not CONTROL & set(map(category, grant.username))


KEY: Final = shared_secret(CANARY * 3)
ISSUER: Final = "https://ropg.example.com"
CLAIMS: Final = {"iss": ISSUER, "sub": "5ub", "aud": "mac", "exp": 2**40}


def access_token(data: bytes) -> None:
    """A token that a client introspects: only what our key has signed is active."""
    token = with_canary(data).decode("latin-1")
    tokens = AccessTokens(ISSUER, lambda: KEY)
    for client_id in ("mac", "web"):
        found = tokens.introspect(token, client_id)
        if found is not None and found != INACTIVE:
            assert client_id == "mac"
            assert found == {**CLAIMS, "active": True, "token_type": "Bearer"}
    try:
        tokens.userinfo(token)
    except OAuthError as error:
        hide_cause(error)


# Authentik's answers.

ROOT: Final = "https://authentik.example.com/"
EXECUTOR: Final = f"{ROOT}api/v3/flows/executor/f/?query="
MOVED: Final = Response(302, "", EXECUTOR, b"")
SESSIONS: Final = {
    b"!": SessionCookie("second", authenticated=True),
    b"~": SessionCookie("another"),
    b"?": SessionCookie(),
}
"""The session of a line of a conversation, by its first byte; else it is the first."""


EVIDENCE = {b"?": Evidence.UNKNOWN, b"!": Evidence.RESTARTS}
"""The evidence of a conversation, by its first byte; else in place."""


def conversation(data: bytes) -> None:
    """A line for each answer: empty for a 302, else the session's mark and the JSON of a body.

    The invariants are those of the recorded and of the random conversations: a success follows
    only upon a password that was sent once, and whose very next answer was a 302, or another
    component without errors. A code is sent once, and behind that. A ``-`` in front stands for a
    flow without a login stage, a ``#`` for a code that came with the password, a ``?`` for a flow
    that has not been seen to refuse, a ``!`` for one that restarts.
    """
    login_stage = not data.startswith(b"-")
    login = LoginAttempt("alice", CANARY, code=CANARY if data.startswith(b"#") else None)
    evidence = EVIDENCE.get(data[:1], Evidence.IN_PLACE)
    conversation = Conversation(login, root=ROOT, evidence=evidence, login_stage=login_stage)
    answers: list[ChallengeResponse] = []
    asked_by, accepted = "", None
    for number, line in enumerate(data.lstrip(b"-#?!").split(b"\n")):
        session = SESSIONS.get(line[:1], SessionCookie("first"))
        body = line[1:] if line[:1] in SESSIONS else line
        response = Response(200, "application/json", None, body) if line else MOVED
        try:
            heard = read_executor_response(response, EXECUTOR)
        except UpstreamError as error:
            hide_cause(error)
            break
        if asked_by and accepted is None:
            accepted = isinstance(heard, Redirect) or (
                heard.component != asked_by and not heard.fields.get("response_errors")
            )
        step = conversation.receive(heard, session)
        assert number <= MAX_STEPS, "a login without end"
        hide(step)
        if isinstance(step, ChallengeResponse):
            assert isinstance(heard, Challenge)
            answers.append(step)
            if "password" in step.body:
                asked_by = heard.component
            if "code" in step.body:
                assert accepted
        if isinstance(step, Outcome):
            sent = sum("password" in answer.body for answer in answers)
            codes = sum("code" in answer.body for answer in answers)
            assert max(sent, codes) <= 1
            assert (step.reason is Reason.VERIFIED_WITH_CODE) <= (codes == 1)
            assert conversation.password_sent == (sent == 1)
            if step.verdict in (Verdict.VERIFIED, Verdict.INTERACTION_REQUIRED):
                assert (sent, accepted) == (1, True)
            if step.verdict is Verdict.VERIFIED and login_stage:
                assert session.authenticated
            if step.verdict in (Verdict.REJECTED, Verdict.DENIED):
                assert answers, "a verdict before anything was sent"
            break


def answer(data: bytes) -> None:
    """Lines of status, content type and Location, and a body."""
    status, content_type, location, body = [*with_canary(data).split(b"\n", 3), b"", b"", b""][:4]
    response = Response(
        int(status) if re.fullmatch(rb"[1-9][0-9]{2}", status) else 200,
        content_type.decode("latin-1"),
        location.decode("latin-1") or None,
        body,
    )
    try:
        heard = read_executor_response(response, EXECUTOR)
    except UpstreamError as error:
        hide_cause(error)
        assert not error.transient or response.status >= 500
    else:
        assert response.status == (302 if isinstance(heard, Redirect) else 200)
        hide(replace(heard, component="") if isinstance(heard, Challenge) else heard)
    hide(replace(response, content_type="", location=None))


def cookie(data: bytes) -> None:
    """The value of a session cookie."""
    session = read_session_cookie(with_canary(data).decode("latin-1"))
    hide(session)
    assert session.sid is None or isinstance(session.sid, str)
    assert isinstance(session.authenticated, bool)


class _FixedFlowSession:
    """Stands for a browser that is logged in: every GET is answered with the same body."""

    cookie = SessionCookie("first", authenticated=True)

    def __init__(self, body: bytes) -> None:
        self._response = Response(200, "application/json", None, body)

    async def get(self, url: str, kind: RequestKind) -> Response:
        return self._response


def person(data: bytes) -> None:
    """The body of ``users/me/``."""
    try:
        fetch_user(ROOT, cast(FlowSession, _FixedFlowSession(data))).send(None)
    except UpstreamError as error:
        hide_cause(error)
        assert error.reason is Reason.UPSTREAM_IDENTITY
    except StopIteration as end:
        claims = claims_of(end.value, SCOPES)
        assert claims["sub"]
        assert claims["preferred_username"]
        assert json.loads(json.dumps(claims)) == claims


# Addresses.

TRUSTED: Final = parse_networks(("127.0.0.0/8", "10.0.0.0/8", "::1/128", "fd00::/8", "unix"))


def forwarded_for(data: bytes) -> None:
    """The peer, and lines of X-Forwarded-For.

    What is written on the left, where clients write what they like, changes no address but that
    of a client that is one of the trusted networks itself.
    """
    peer, *values = data.decode("latin-1").split("\n")
    found = client_address(peer or None, values, TRUSTED)
    if found not in TRUSTED:
        for claim in ("198.51.100.1", "10.0.0.1", "nonsense"):
            assert client_address(peer or None, [claim, *values], TRUSTED) == found
    if found is not None:
        assert found in ip_network(str(network_of(found)))


# Connections.

STATUSES: Final = {b"100", b"200", b"400", b"401", b"404", b"405", b"413"}


@cache
def _site() -> tuple[FixedVerifier, Site]:
    """A site for all inputs, without limits: it has nothing to remember."""
    verifier = FixedVerifier(RIGHT)
    clients = (Client("mac"), Client("web", secret=CANARY), Client("xcreds", unencoded=True))
    return verifier, daemon_site(verifier, *clients)


def connection(data: bytes) -> None:
    """All that a client sends on one connection; it may arrive in pieces and is answered alike."""
    data = with_canary(data)
    middle = len(data) // 2
    assert _served(data) == _served(data[:middle], data[middle:]), "pieces are answered differently"


def _served(*pieces: bytes) -> tuple[list[bytes], list[LoginAttempt]]:
    """The statuses of the answers, and what was asked of Authentik."""
    verifier, site = _site()
    verifier.asked.clear()
    wire = Connection(site)
    for piece in pieces:
        if not wire.transport.disconnecting:
            wire.send(piece)
    wire.protocol.connectionLost(connectionDone)
    said = wire.transport.value()
    hide(said)
    assert b"Traceback" not in said
    assert b"<html" not in said.lower()
    statuses = re.findall(rb"(?:^|\n|\})HTTP/1\.[01] (\d+) ", said)
    assert set(statuses) <= STATUSES, statuses
    assert len(verifier.asked) == len(re.findall(rb'"access_token":', said))
    return statuses, list(verifier.asked)


def _json(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


_FORM = b"grant_type=password&username=alice&password=*&client_id=mac"
_UNENCODED = b"grant_type=password&scope=openid&username=alice&password=*&client_id=mac"
_SIGNED = sign(KEY.signing, "at+jwt", CLAIMS).encode()
_BASIC = b"Basic d2ViOmNhbmFyeS0yNzE4MjgxOA=="
_COMPONENTS = tuple(
    _json(component=name, **more)
    for name, more in (
        ("ak-stage-identification", {"password_fields": False, "captcha_stage": None}),
        ("ak-stage-identification", {"password_fields": True}),
        ("ak-stage-password", {}),
        ("ak-stage-user-login", {}),
        ("ak-stage-access-denied", {}),
        ("ak-stage-authenticator-validate", {"device_challenges": []}),
        ("ak-stage-prompt", {"fields": []}),
        ("xak-flow-redirect", {"to": "/"}),
        ("xak-flow-redirect", {"to": EXECUTOR}),
        ("ak-stage-password", {"response_errors": {"password": [{"code": "invalid"}]}}),
        ("ak-stage-identification", {"response_errors": {"uid_field": [{"code": "blank"}]}}),
        ("ak-stage-authenticator-validate", {"device_challenges": [{"device_class": "totp"}]}),
        ("ak-stage-authenticator-validate", {"response_errors": {"code": [{"code": "invalid"}]}}),
    )
)
_WHO, _WHO_AND_PASSWORD, _PASSWORD, _LOGIN, _DENIED, _MFA, _PROMPT, _END = _COMPONENTS[:8]
_ME = _json(
    user={"uid": "5ub", "username": "alice", "name": "A", "email": "a@b", "groups": [{"name": "g"}]}
)
_COOKIE = b"e30.eyJzaWQiOiAiYWJjIiwgImF1dGhlbnRpY2F0ZWQiOiB0cnVlfQ.x"
_GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
_CHUNKED = post("", "Transfer-Encoding: chunked\r\n").replace(b"Content-Length: 0\r\n", b"")

TARGETS: Final = {
    target.name: target
    for target in (
        Target(
            "request",
            token_request,
            (
                b"\n" + _FORM + b"&client_secret=*&scope=openid+email&nonce=n",
                b"\n" + _UNENCODED + b"&client_secret=*",
                b"\n" + _FORM.replace(b"*", b"a+b%2B*") + b"&scope=openid%20profile",
                _BASIC + b"\n" + _FORM.replace(b"client_id=mac", b"client_id=web"),
                b"\n%ff=%ff&&=&a",
            ),
            (
                *(b"grant_type=password", b"&scope=", b"&username=", b"&password=", b"&nonce="),
                *(b"&client_id=", b"&client_secret=", b"%20", b"%2B", b"+", b"*", b"&" * 40),
                *(b"%ED%A0%80", b"\xed\xa0\x80", b"%00", b"\xe2\x80\xa8", b"Basic ", b"\n"),
            ),
        ),
        Target(
            "access-token",
            access_token,
            (
                _SIGNED,
                sign(KEY.signing, "at+jwt", {**CLAIMS, "exp": 1}).encode(),
                sign(KEY.signing, "JWT", CLAIMS).encode(),
                _SIGNED.rpartition(b".")[0] + b".",
                b"eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.e30.",
                b"a.b.c",
            ),
            (
                *(_SIGNED, *_SIGNED.split(b"."), b".", b"=", b"*", b"e30", b"W10", b"bnVsbA"),
                *(b"eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0", b"\xe9", b"\x00", b"eyJ" * 900),
            ),
        ),
        Target(
            "conversation",
            conversation,
            (
                b"\n".join((_WHO, b"", _PASSWORD, b"", _LOGIN, b"", b"!" + _END)),
                b"\n".join((_WHO, b"", _PASSWORD, b"", _MFA)),
                b"\n".join((_WHO, _PASSWORD, b"!" + _PROMPT)),
                b"\n".join((_WHO_AND_PASSWORD, b"", b"", b"!" + _END)),
                b"\n".join((_WHO_AND_PASSWORD, b"", b"~" + _WHO)),
                b"-" + b"\n".join((_WHO_AND_PASSWORD, _END)),
                b"#" + b"\n".join((_WHO_AND_PASSWORD, b"", _COMPONENTS[11], b"", b"!" + _END)),
                b"#" + b"\n".join((_WHO_AND_PASSWORD, _COMPONENTS[11], _COMPONENTS[12])),
                b"\n".join((_WHO, b"", _PASSWORD, _COMPONENTS[9])),
                b"\n".join((_WHO, b"", _PASSWORD, _DENIED)),
                b"\n" * (MAX_STEPS + 2),
            ),
            (
                *_COMPONENTS,
                *(b"\n", b"\n\n", b"\n!", b"\n~", b"\n?", b"null", b"[]", b"{}", b"true", b'""'),
                *(
                    b'"response_errors":',
                    b'"to":',
                    b'"http://["',
                    b'"non_field_errors"',
                    b'"code":',
                ),
                *(b'"required"', b'"password_fields":', b'"captcha_stage":', b"ak-stage-", b"//"),
            ),
        ),
        Target(
            "answer",
            answer,
            (
                b"200\napplication/json; charset=utf-8\n\n" + _WHO,
                b"302\n\n" + EXECUTOR.encode() + b"\n",
                b"302\n\n/api/v3/flows/executor/f/?query=*\n",
                b"503\ntext/plain\n\n*",
                b'200\napplication/json\n\n{"component": "*", "x": "*"}',
            ),
            (
                *(b"200\n", b"302\n", b"500\n", b"404\n", b"application/json\n", b"\n\n", b"*"),
                *(b"http://[", b"//x@y:z/", b"/api/v3/flows/executor/f/", b'{"component": "', b"?"),
                *(b"[" * 1500, b'{"a":' * 800, b"1" * 2000, b"1e999", b"NaN", b"\xff\xfe", b"#"),
            ),
        ),
        Target(
            "cookie",
            cookie,
            (_COOKIE, b"e30.eyJhIjoxfQ.x", b"e30.W10.x", b"e30.bnVsbA.x", b"e30.W1tbW1tbW1tb.x"),
            (b".", b"e30", b"eyJ", b"_-", b"=", b"\xff", b"*", b"MTE" * 700, b"W1tb" * 500),
        ),
        Target(
            "person",
            person,
            (_ME, _ME.replace(b'"A"', b'"\\ud800"'), b'{"user": null}', b"[]"),
            (
                *(
                    b'{"user": {',
                    b'"uid": ',
                    b'"username": ',
                    b'"groups": [',
                    b'{"name": ',
                    b"null",
                ),
                *(b'"x"', b"1", b'"\\ud800"', b'"\\u0000"', b"NaN", b"[]", b"{}", b"}}", b", "),
            ),
        ),
        Target(
            "forwarded-for",
            forwarded_for,
            (
                b"10.0.0.1\n192.0.2.1, 127.0.0.1\n10.0.0.9:80",
                b"::1\n[2001:db8::1]:443, fd00::1%eth0, ::ffff:10.0.0.1",
                b"\n192.0.2.1",
                b"192.0.2.1\n10.0.0.1",
                b"10.0.0.1\n" + b"10.0.0.2," * 40,
            ),
            (
                *(
                    b"127.0.0.1",
                    b"10.0.0.1",
                    b"192.0.2.1",
                    b"::1",
                    b"fe80::1%1",
                    b"[",
                    b"]",
                    b":80",
                ),
                *(b",", b", ", b"\n", b"::ffff:10.0.0.1", b"unknown", b"_hidden", b"\xb2", b"/8"),
            ),
        ),
        Target(
            "connection",
            connection,
            (
                post(_FORM),
                post(_FORM) + post(_FORM.replace(b"alice", b"bob")) + _GET,
                post(_UNENCODED.replace(b"=mac", b"=xcreds")),
                post(_FORM, f"Content-Type: {URLENCODED}\r\nExpect: 100-continue\r\n"),
                post(_FORM, f"Content-Type: {URLENCODED}\r\nAuthorization: {_BASIC.decode()}\r\n"),
                _CHUNKED + b"3\r\na=b\r\n0\r\n\r\n" + _GET,
                _GET.replace(b"/health", b"/.well-known/openid-configuration?x=*"),
                _GET.replace(b"1.1", b"1.0").replace(b"GET", b"HEAD"),
                b"POST /oauth/token HTTP/1.1\r\nContent-Length: 2000000\r\n\r\n",
                b"GET /%ff\xff HTTP/1.1\r\nHost: a..b\r\n\r\n",
            ),
            (
                _GET,
                post(_FORM),
                _CHUNKED,
                *(b"\r\n", b"\r\n\r\n", b"\n", b"0\r\n\r\n", b"ffffffff\r\n", b"HTTP/1.1", b"HEAD"),
                *(
                    b"Content-Length: 5\r\n",
                    b"Content-Length: -1\r\n",
                    b"Content-Length: 2000000\r\n",
                ),
                *(b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Host: x\r\n"),
                *(b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\n", b"Authorization: Basic *\r\n"),
                *(b"X-Forwarded-For: 10.0.0.1\r\n", b"Cookie: a=b; c\r\n", b"OPTIONS * ", b"\x00"),
                *(
                    b"http://[/",
                    b"/oauth/token",
                    b"/.well-known/jwks.json",
                    b"/ready",
                    b"%ff",
                    b";",
                ),
            ),
        ),
    )
}
