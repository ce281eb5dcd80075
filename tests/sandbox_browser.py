"""A client of the sandbox in memory, and a test case that has both."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from ropg_twisted.sandbox.accounts import Account, find
from ropg_twisted.sandbox.flow.devices import totp
from ropg_twisted.sandbox.http.app import Sandbox

EXECUTOR = "/api/v3/flows/executor/"
DEFAULT = "default-authentication-flow"
ME = "/api/v3/core/users/me/"
ACCESS = "/api/v3/core/applications/jamf-connect/check_access/"
START = 1_800_000_000

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Answer:
    """A response of the sandbox. ``headers``: names in lower case, one pair for each line."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)

    def values(self, name: str) -> list[str]:
        """Return all values of a header, in order; ``name`` in lower case."""
        return [value for key, value in self.headers if key == name]

    @property
    def json(self) -> Any:
        """The JSON of the body, None for a body of another type."""
        return (
            json.loads(self.body) if self.values("content-type") == ["application/json"] else None
        )

    @property
    def component(self) -> str | None:
        """The component of a challenge, None for anything else."""
        return self.json.get("component") if isinstance(self.json, dict) else None

    @property
    def error_codes(self) -> dict[str, list[str]]:
        """The codes in ``response_errors`` by field."""
        errors = self.json.get("response_errors", {})
        return {name: [error["code"] for error in all_of] for name, all_of in errors.items()}


class Browser:
    """Asks the sandbox, and keeps the cookies of its answers in ``jar``."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.jar: dict[str, str] = {}

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        *,
        sends_cookies: bool = True,
    ) -> Answer:
        """Send one request, follow nothing. A ``body`` that is no text is sent as JSON."""
        lines = {name: [value] for name, value in (headers or {}).items()}
        sent = Headers({"Accept": ["application/json"], **lines})
        if sends_cookies and self.jar:
            sent.setRawHeaders("Cookie", ["; ".join(f"{k}={v}" for k, v in self.jar.items())])
        if body is not None and not isinstance(body, str):
            body = json.dumps(body)
            sent.setRawHeaders("Content-Type", ["application/json"])
        client: Any = StubTreq(self.sandbox.resource)
        response = client.request(
            method,
            f"http://127.0.0.1{path}",
            headers=sent,
            data=None if body is None else str(body).encode(),
            allow_redirects=False,
            unbuffered=True,
        )
        client.flush()
        got: IResponse = result_of(response)
        content = client.content(got)
        client.flush()
        pairs = tuple(
            (name.decode().lower(), value.decode())
            for name, values in got.headers.getAllRawHeaders()
            for value in values
        )
        answer = Answer(got.code, pairs, result_of(content))
        self._keep(answer.values("set-cookie"))
        return answer

    def get(self, slug: str, **headers: str) -> Answer:
        """GET a flow's executor."""
        return self.ask("GET", f"{EXECUTOR}{slug}/?query=", headers=headers)

    def post(self, slug: str, **fields: object) -> Answer:
        """POST an answer to a flow's executor."""
        return self.ask("POST", f"{EXECUTOR}{slug}/?query=", fields)

    def walk(self, slug: str, name: str, password: str) -> Answer:
        """Identify, give the password, and follow 302s: return where that leads."""
        self.get(slug)
        answer = self.settle(slug, self.post(slug, uid_field=name))
        if answer.component == "ak-stage-password":
            answer = self.settle(slug, self.post(slug, password=password))
        return answer

    def settle(self, slug: str, answer: Answer) -> Answer:
        """Follow 302s to the executor itself."""
        for _ in range(10):
            if answer.status != 302:
                return answer
            answer = self.get(slug)
        raise AssertionError("the executor redirects for ever")

    @property
    def claims(self) -> dict[str, Any]:
        """The claims of the session cookie in the jar."""
        return cookie_claims(self.jar["authentik_session"])

    def _keep(self, lines: list[str]) -> None:
        for line in lines:
            name, _, value = line.partition(";")[0].partition("=")
            if "Max-Age=0" in line:
                self.jar.pop(name, None)
            else:
                self.jar[name] = value


def cookie_claims(value: str) -> dict[str, Any]:
    """Return the payload of a session cookie, without a look at its signature."""
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(value.split(".")[1] + "=="))
    return claims


def result_of(deferred: Deferred[_T]) -> _T:
    """Return the result of a Deferred that has fired already."""
    results: list[_T] = []
    deferred.addCallback(results.append)
    if not results:
        raise AssertionError("no answer yet")
    return results[0]


def account(name: str) -> Account:
    """The person of this name."""
    found = find(name)
    assert found is not None
    return found


class SandboxTestCase(SynchronousTestCase):
    """A sandbox on a clock, and a browser with an empty jar."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(START)
        self.sandbox = Sandbox(self.clock)
        self.browser = Browser(self.sandbox)

    def code(self, name: str) -> str:
        """The TOTP code of this person now."""
        key = account(name).totp_key
        assert key is not None
        return totp(key, self.clock.seconds())

    def assert_redirect(self, answer: Answer, to: str = "/") -> None:
        """Assert that the flow is done, or goes on at another place."""
        self.assertEqual(answer.json, {"component": "xak-flow-redirect", "to": to})
