"""The situations that are recorded: flows, what users type in them, and damage on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD, find
from ropg_twisted.sandbox.flow.devices import totp
from ropg_twisted.sandbox.flow.flows import (
    FLOWS,
    Dummy,
    Flow,
    Identification,
    Login,
    Password,
    SecondFactor,
)
from ropg_twisted.sandbox.flow.refusing_flows import REFUSING_FLOWS
from ropg_twisted.sandbox.http.outposts import OUTPOST_TOKEN, SERVICE_TOKEN
from tests.exchanges.parts import Received, Sent
from tests.sandbox_browser import DEFAULT, EXECUTOR, START

Damage: TypeAlias = Callable[[int, Sent], Sent | Received]
"""Damages a request of a check, the number of which counts from 0; or answers as a proxy."""

_BOB = find("bob")
_DAVE = find("dave")
assert _BOB is not None and _BOB.totp_key is not None and _DAVE is not None
_BOBS_CODE = totp(_BOB.totp_key, START)


@dataclass(frozen=True, slots=True)
class Situation:
    """A check. ``score``: the reputation of the user at our address before it."""

    name: str
    username: str = "alice"
    password: str = USUAL_PASSWORD
    code: str | None = None
    score: int = 0
    damage: Damage = lambda number, sent: sent


@dataclass(frozen=True, slots=True)
class FlowSituations:
    """A flow and the checks that are made with it.

    ``login_stage`` and ``outpost_token``: as in the settings of the daemon.
    """

    flow: str
    situations: tuple[Situation, ...]
    login_stage: bool = True
    outpost_token: str | None = None


RIGHT = Situation("right password")
WRONG = Situation("wrong password", password="wrong")
UNKNOWN = Situation("unknown user", "nosuch", "wrong")
RIGHT_TOTP = Situation("right password, second factor", "bob")
WRONG_TOTP = Situation("wrong password, second factor", "bob", "wrong")
WITH_CODE = Situation("right password and code", "bob", code=_BOBS_CODE)
WRONG_CODE = Situation("right password, wrong code", "bob", code="000000")
EXPIRED = Situation("right password, expired", "heidi")
WRONG_EXPIRED = Situation("wrong password, expired", "heidi", "wrong")

_USERS = (
    RIGHT,
    WRONG,
    UNKNOWN,
    Situation("e-mail address", "alice@example.com"),
    Situation("user name in capitals", "ALICE"),
    Situation("disabled user", "carol"),
    Situation("password with spaces and umlauts", "dave", _DAVE.password),
    Situation("password without its outer spaces", "dave", _DAVE.password.strip()),
    Situation("app password", password="alice-app-password-0123456789"),
    Situation("no right to the application", "grace"),
    RIGHT_TOTP,
    WRONG_TOTP,
    WITH_CODE,
    WRONG_CODE,
    Situation("wrong password and right code", "bob", "wrong", _BOBS_CODE),
    Situation("right password, static tokens", "frank"),
    Situation("right password and static token", "frank", code="frankstatic01"),
    Situation("code without a device", code="000000"),
)

_OF_FLOW: dict[str, tuple[Situation, ...]] = {
    DEFAULT: _USERS,
    "empty-flow": (RIGHT,),
    "inbuilt-only": (
        RIGHT,
        Situation("app password", password="alice-app-password-0123456789"),
    ),
    "mfa-first": (RIGHT, RIGHT_TOTP, WRONG_TOTP),
    "no-pretend": (RIGHT, UNKNOWN),
    "no-pretend-mfa": (RIGHT, WRONG, UNKNOWN, RIGHT_TOTP, WITH_CODE),
    "pw-change": (RIGHT, EXPIRED),
    "pw-expiry-login": (RIGHT, EXPIRED, WRONG_EXPIRED),
    "pw-expiry-password": (RIGHT, EXPIRED, WRONG_EXPIRED),
    "reputation-deny": (RIGHT, Situation("bad reputation", "rep5", score=-5)),
    "ropg-combined": (
        RIGHT,
        WRONG,
        UNKNOWN,
        Situation("password with outer spaces", "dave", _DAVE.password),
        RIGHT_TOTP,
        WITH_CODE,
        WRONG_CODE,
    ),
    "t-default-combined-plus-pw": (RIGHT, WRONG, RIGHT_TOTP),
    "t-ident-restart-nopretend": (RIGHT, WRONG, UNKNOWN),
}
"""The checks of a flow, where they are not ``RIGHT`` and ``WRONG``."""

OWN_FLOWS = (
    Flow.of("password-first", Password(), Identification(), Login()),
    Flow.of("two-passwords", Identification(), Password(), Password(), Login()),
    Flow.of("dummy-first", Dummy(), Identification(), Password(), Login()),
    Flow.of(
        "no-pretend-mfa",
        Identification(pretend_user_exists=False),
        Password(),
        SecondFactor(),
        Login(),
    ),
)
"""Flows that the sandbox does not have: in the wrong order, or with nothing proved by a canary."""


def _accepts_html(number: int, sent: Sent) -> Sent:
    return replace(sent, headers=sent.headers | {"accept": "text/html"})


def _other_query(number: int, sent: Sent) -> Sent:
    return replace(sent, path=sent.path.replace("?query=", "?query=a%20b"))


def _no_slash(number: int, sent: Sent) -> Sent:
    return replace(sent, path=sent.path.replace("/?", "?"))


def _other_slug_of_posts(number: int, sent: Sent) -> Sent:
    slug = f"{EXECUTOR}no-such-flow/"
    return replace(sent, path=f"{slug}?query=") if sent.method == "POST" else sent


def _put(number: int, sent: Sent) -> Sent:
    return replace(sent, method="PUT") if sent.method == "POST" else sent


def _no_json(number: int, sent: Sent) -> Sent:
    return replace(sent, body="{") if number == 1 else sent


def _no_object(number: int, sent: Sent) -> Sent:
    return replace(sent, body="[]") if number == 1 else sent


def _password_without_session(number: int, sent: Sent) -> Sent:
    return replace(sent, cookie=False) if number == 3 else sent


def _user_without_session(number: int, sent: Sent) -> Sent:
    return replace(sent, cookie=False) if sent.path.endswith("/users/me/") else sent


def _proxy(number: int, response: Received) -> Damage:
    """Return the damage in which a proxy answers the request of this number."""
    return lambda count, sent: response if count == number else sent


_JSON = {"content-type": "application/json"}
_HTML = {"content-type": "text/html; charset=utf-8"}
_STARTING = Received(503, _JSON | {"retry-after": "5"}, [], {"error": "authentik starting"})
_BAD_GATEWAY = Received(502, _HTML, [], "<h1>502 Bad Gateway</h1>")
_TOO_MANY = Received(429, _HTML | {"retry-after": "1"}, [])
_PAGE = Received(200, _HTML, [], "<h1>Log in to the network</h1>")
_ELSEWHERE = Received(302, _HTML | {"location": "https://network.example.com/"}, [])

_DAMAGED = (
    Situation("Accept without JSON", damage=_accepts_html),
    Situation("query that Authentik writes otherwise", damage=_other_query),
    Situation("path without its slash", damage=_no_slash),
    Situation("POST to a flow that does not exist", damage=_other_slug_of_posts),
    Situation("PUT in place of POST", damage=_put),
    Situation("body that is not JSON", damage=_no_json),
    Situation("body that is not an object", damage=_no_object),
    Situation("session lost before a right password", damage=_password_without_session),
    Situation(
        "session lost before a wrong password", password="wrong", damage=_password_without_session
    ),
    Situation("session lost before the user is asked for", damage=_user_without_session),
    Situation("Authentik starts, one request", damage=_proxy(0, _STARTING)),
    Situation("no Authentik behind its front server", damage=lambda *_: _BAD_GATEWAY),
    Situation("too many requests", damage=_proxy(1, _TOO_MANY)),
    Situation("502 in reply to the password", damage=_proxy(3, _BAD_GATEWAY)),
    Situation("page of a proxy in reply to the password", damage=_proxy(3, _PAGE)),
    Situation("redirect of a proxy in reply to the password", damage=_proxy(3, _ELSEWHERE)),
)


def _all() -> dict[str, FlowSituations]:
    slugs = [*FLOWS, *(flow.slug for flow in (*REFUSING_FLOWS, *OWN_FLOWS))]
    slugs.remove("default-invalidation-flow")
    files = {slug: FlowSituations(slug, _OF_FLOW.get(slug, (RIGHT, WRONG))) for slug in slugs}
    without_login = ("ropg-nologin", "ropg-combined-nologin", "t-flowrep-restart-nologin")
    return files | {
        **{
            f"{slug}--no-login-stage": replace(files[slug], login_stage=False)
            for slug in without_login
        },
        "req-outpost--outpost": replace(files["req-outpost"], outpost_token=OUTPOST_TOKEN),
        "damage--default-authentication-flow": FlowSituations(DEFAULT, _DAMAGED),
        "damage--service-account": FlowSituations(DEFAULT, (RIGHT,), outpost_token=SERVICE_TOKEN),
        "no-such-flow": FlowSituations("no-such-flow", (RIGHT,)),
    }


SITUATIONS = _all()
"""All situations by the name of their file."""
