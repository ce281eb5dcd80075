"""The shorthand of the files: what almost every exchange of a flow has is left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from tests.exchanges.parts import Exchange, Received, Sent
from tests.sandbox_browser import EXECUTOR

_JSON: Final = "application/json"
_MANNERS: Final = {"vary": "Accept-Language, Cookie", "allow": "GET, POST, HEAD, OPTIONS"}
_ANONYMOUS: Final = "anonymous"
_COOKIE: Final = "authentik_session"
_ATTRIBUTES: Final = "HttpOnly; Path=/; SameSite=Lax"


@dataclass(frozen=True, slots=True)
class Shorthand:
    """Shortens and lengthens the exchanges of one flow with clients at one address."""

    slug: str
    address: str

    def shorten(self, exchange: Exchange) -> dict[str, Any]:
        """Return an exchange as it is written."""
        response = exchange.response
        short = self._shorten_request(exchange.request)
        if exchange.altered is not None:
            short["altered"] = self._shorten_request(exchange.altered)
        if exchange.proxy:
            short["proxy"] = True
        short["status"] = response.status
        if response.headers != self._usual_headers(response.status):
            short["headers"] = response.headers
        if response.cookies:
            short["cookies"] = [_shorten_cookie(cookie) for cookie in response.cookies]
        if response.body is not None:
            short["body"] = self._shorten_body(response.body)
        return short

    def lengthen(self, short: dict[str, Any]) -> Exchange:
        """Return an exchange as it was before :meth:`shorten`."""
        return Exchange(
            self._lengthen_request(short),
            Received(
                short["status"],
                short.get("headers", self._usual_headers(short["status"])),
                [_lengthen_cookie(cookie) for cookie in short.get("cookies", ())],
                self._lengthen_body(short.get("body")),
            ),
            self._lengthen_request(short["altered"]) if "altered" in short else None,
            short.get("proxy", False),
        )

    @property
    def _path(self) -> str:
        return f"{EXECUTOR}{self.slug}/?query="

    def _shorten_request(self, sent: Sent) -> dict[str, Any]:
        short: dict[str, Any] = {"request": sent.method}
        if sent.path != self._path:
            short["request"] += f" {sent.path}"
        if not sent.cookie:
            short["cookie"] = False
        if sent.headers != self._usual_request_headers(sent.method):
            short["request_headers"] = sent.headers
        if sent.body is not None:
            short["sent"] = sent.body
        return short

    def _lengthen_request(self, short: dict[str, Any]) -> Sent:
        method, _, path = short["request"].partition(" ")
        return Sent(
            method,
            path or self._path,
            short.get("request_headers", self._usual_request_headers(method)),
            short.get("cookie", True),
            short.get("sent"),
        )

    def _usual_request_headers(self, method: str) -> dict[str, str]:
        posts = {"content-type": _JSON} if method == "POST" else {}
        return {"accept": _JSON} | posts | {"x-forwarded-for": self.address}

    def _usual_headers(self, status: int) -> dict[str, str]:
        if status == 302:
            return {"content-type": "text/html; charset=utf-8", "location": self._path} | _MANNERS
        return {"content-type": _JSON} | _MANNERS

    @property
    def _flow_info(self) -> dict[str, str]:
        return {
            "title": f"Sandbox: {self.slug}",
            "background": "/static/dist/assets/images/flow_background.jpg",
            "cancel_url": "/flows/-/cancel/",
            "layout": "stacked",
        }

    def _shorten_body(self, body: Any) -> Any:
        if isinstance(body, dict) and body.get("flow_info") == self._flow_info:
            return body | {"flow_info": "usual"}
        return body

    def _lengthen_body(self, body: Any) -> Any:
        if isinstance(body, dict) and body.get("flow_info") == "usual":
            return body | {"flow_info": self._flow_info}
        return body


def _claims(sid: str, sub: str) -> dict[str, Any]:
    return {
        "sid": sid,
        "iss": "authentik",
        "sub": sub,
        "authenticated": sub != _ANONYMOUS,
        "acr": "goauthentik.io/core/default",
    }


def _shorten_cookie(cookie: list[Any]) -> Any:
    name, content, attributes = cookie
    if isinstance(content, dict) and "sid" in content:
        sid, sub = content["sid"], content["sub"]
        if [name, content, attributes] == [_COOKIE, _claims(sid, sub), _ATTRIBUTES]:
            return f"{sid}, {sub}"
    return cookie


def _lengthen_cookie(cookie: Any) -> list[Any]:
    if isinstance(cookie, str):
        sid, _, sub = cookie.partition(", ")
        return [_COOKIE, _claims(sid, sub), _ATTRIBUTES]
    return list(cookie)
