"""Our own exchanges have the shape of those that were recorded with a real Authentik."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from tests import recordings, refusals
from tests.exchanges.files import RecordedCheck, recorded_flows
from tests.exchanges.parts import Exchange
from tests.parametrize import parametrize
from tests.recordings import RecordedExchange
from tests.sandbox_browser import EXECUTOR

DEFAULT = "default-authentication-flow"
COMBINED = "ropg-combined"
RIGHT, WRONG = "right password", "wrong password"
DAMAGED = f"damage--{DEFAULT}"

SAME = {
    "accept-html": (DAMAGED, "Accept without JSON"),
    "after-me-alice": (DEFAULT, RIGHT),
    "app-password-in-flow": (DEFAULT, "app password"),
    "app-password-inbuilt-only": ("inbuilt-only", "app password"),
    "attempts-1": ("attempts-1", WRONG),
    "captcha-flow--right": ("captcha-flow", RIGHT),
    "captcha-flow--wrong": ("captcha-flow", WRONG),
    "captcha-ident--right": ("captcha-ident", RIGHT),
    "consent-flow--right": ("consent-flow", RIGHT),
    "dave-stripped": (DEFAULT, "password without its outer spaces"),
    "denied-continue--right": ("denied-continue", RIGHT),
    "denied-continue--wrong": ("denied-continue", WRONG),
    "denied-message--right": ("denied-message", RIGHT),
    "empty-flow": ("empty-flow", RIGHT),
    "ident-only": ("ident-only", WRONG),
    "inactive-right": (DEFAULT, "disabled user"),
    "mfa-configure-totp--right": ("mfa-configure-totp", RIGHT),
    "mfa-deny--right": ("mfa-deny", RIGHT),
    "mfa-deny--wrong": ("mfa-deny", WRONG),
    "mfa-first-bob--right": ("mfa-first", "right password, second factor"),
    "mfa-first-bob--wrong": ("mfa-first", "wrong password, second factor"),
    "mfa-static-right": (DEFAULT, "right password and static token"),
    "mfa-totp-right": (DEFAULT, "right password, wrong code"),
    "mfa-totp-right-combined": (COMBINED, "right password, second factor"),
    "mfa-totp-wrong": (DEFAULT, "wrong password, second factor"),
    "no-trailing-slash": (DAMAGED, "path without its slash"),
    "prompt-flow--right": ("prompt-flow", RIGHT),
    "pw-change--right": ("pw-change", "right password, expired"),
    "pw-expiry-login--right": ("pw-expiry-login", "right password, expired"),
    "pw-expiry-password--wrong": ("pw-expiry-password", "wrong password, expired"),
    "query-pct20--right": (DAMAGED, "query that Authentik writes otherwise"),
    "redirect-first--wrong": ("redirect-first", WRONG),
    "redirect-stage--right": ("redirect-stage", RIGHT),
    "remember-me--right": ("remember-me", RIGHT),
    "remote-ip-internal-svc": ("damage--service-account", RIGHT),
    "reputation-deny--5-right": ("reputation-deny", "bad reputation"),
    "req-outpost--outpost-token": ("req-outpost--outpost", RIGHT),
    "ropg-combined--dave": (COMBINED, "password with outer spaces"),
    "ropg-combined--right": (COMBINED, RIGHT),
    "ropg-combined--wrong": (COMBINED, WRONG),
    "ropg-nologin--right": ("ropg-nologin", RIGHT),
    "ropg-nologin--wrong": ("ropg-nologin", WRONG),
    "success-case": (DEFAULT, "user name in capitals"),
    "success-dave": (DEFAULT, "password with spaces and umlauts"),
    "success-default": (DEFAULT, RIGHT),
    "success-email": (DEFAULT, "e-mail address"),
    "unknown-user": (DEFAULT, "unknown user"),
    "unknown-user-combined": (COMBINED, "unknown user"),
    "unknown-user-nopretend": ("no-pretend", "unknown user"),
    "wrong-password-once": (DEFAULT, WRONG),
    "wrong-slug": ("no-such-flow", RIGHT),
}
"""The recordings of a situation that is ours as well, with the file and the check."""

GOES_ON = ("mfa-static-right", "mfa-totp-right")
"""Recordings that go on with a code, behind the verdict that they name: ours typed it at once."""

HEADERS = ("content-type", "allow", "vary")


def ours(exchange: Exchange) -> tuple[Any, ...]:
    """Return the shape of an exchange: what the client decides on."""
    request, response = exchange.altered or exchange.request, exchange.response
    return (
        request.method,
        response.status,
        response.headers.get("location"),
        _headers(response.headers.items()),
        sorted({cookie[0] for cookie in response.cookies}),
        _challenge(response.body),
    )


def theirs(exchange: RecordedExchange) -> tuple[Any, ...]:
    """Return the same of an exchange with a real Authentik."""
    request, response = exchange.request, exchange.response
    assert response is not None
    return (
        request.method,
        response.status,
        next(iter(response.values("location")), None),
        _headers(response.headers),
        sorted({line.partition("=")[0] for line in response.values("set-cookie")}),
        _challenge(response.json),
    )


def _headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in headers if name in HEADERS}


def _challenge(body: Any) -> Any:
    """Return the fields but ``flow_info``, which recordings leave out, and what they decide."""
    if not isinstance(body, dict):
        return None
    errors = body.get("response_errors", {})
    return (
        sorted(set(body) - {"flow_info"}),
        body.get("component"),
        body.get("to"),
        {name: [error["code"] for error in all_of] for name, all_of in errors.items()},
    )


def step(exchange: Exchange) -> tuple[Any, ...]:
    """Return what a recorded step of a refusing flow says of an exchange."""
    response = exchange.response
    if response.status == 302:
        return exchange.request.method, 302, response.headers["location"], None, ()
    body = response.body
    errors = tuple(body.get("response_errors", {}))
    return exchange.request.method, response.status, body["component"], body.get("to"), errors


def _check(name: str) -> tuple[str, RecordedCheck]:
    """Return the slug and the check that are the same as a recording."""
    file, check_name = SAME[name]
    flow = recorded_flows()[file]
    [check] = [one for one in flow.checks if one.name == check_name]
    return flow.flow, check


class RecordingTests(SynchronousTestCase):
    """The situations that were recorded with a real Authentik."""

    skip = recordings.MISSING

    @parametrize({name: (name,) for name in SAME})
    def test_each_has_the_same_shape(self, name: str) -> None:
        """Status, headers, cookies, fields and codes agree for as long as the login is the same."""
        slug, check = _check(name)
        path = f"{EXECUTOR}{slug}"
        real = [
            theirs(exchange)
            for exchange in recordings.recordings()[name].exchanges
            if exchange.response and exchange.request.path.startswith(path)
        ]
        mine = [ours(one) for one in check.exchanges if one.request.path.startswith(path)]
        shared = min(len(real), len(mine))
        self.assertGreater(shared, 0)
        self.assertEqual(mine[:shared], real[:shared])

    @parametrize({name: (name,) for name in SAME if name not in GOES_ON})
    def test_each_leads_to_the_same_verdict(self, name: str) -> None:
        """The verdict that people have given to the recording is that of our check."""
        expected = recordings.recordings()[name].expected_verdict
        if expected is not None:
            self.assertEqual(_check(name)[1].verdict, expected)


class RefusalTests(SynchronousTestCase):
    """The flows of a real Authentik whose refusal is not what it seems."""

    skip = refusals.MISSING

    def test_each_has_the_same_steps(self) -> None:
        """Component or target, and fields with errors, agree for as long as ours goes on."""
        compared = 0
        for flow in refusals.recorded_flows():
            for real in flow.checks:
                mine = [step(one) for one in self._exchanges(flow.slug, real)]
                steps = [(s.method, s.status, s.came, s.to, s.errors_of) for s in real.steps]
                case = f"{flow.slug}, {real.user} {real.password}"
                self.assertEqual(mine[: len(steps)], steps[: len(mine)], case)
                compared += bool(mine)
        self.assertGreater(compared, 50)

    def _exchanges(self, slug: str, real: refusals.RecordedCheck) -> list[Exchange]:
        """Return ours of the same user and password; of an unknown user, the canary's."""
        flow = recorded_flows()[slug]
        if real.user == "nosuch":
            return flow.canary
        password = real.password if real.password == "wrong" else USUAL_PASSWORD
        for check in flow.checks:
            if (check.username, check.password) == (real.user, password):
                return [one for one in check.exchanges if slug in one.request.path]
        return []
