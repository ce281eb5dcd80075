"""The admin listener: metrics, readiness, and the status page."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from klein import Klein
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from twisted.web.iweb import IRequest

from ropg_twisted.interfaces import IReadinessProbe
from ropg_twisted.server.responses import readiness_body
from ropg_twisted.status.page import STYLE, STYLE_PATH, render
from ropg_twisted.status.state import State
from ropg_twisted.types import DeferredCoroutine

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of all responses. Nothing may be loaded, run, framed or kept."""


class Admin:
    """The routes for operators. None shows anything about a user."""

    app: ClassVar[Klein] = Klein()

    def __init__(
        self,
        readiness: IReadinessProbe,
        registry: CollectorRegistry,
        read_state: Callable[[], DeferredCoroutine[State]],
    ) -> None:
        self._readiness = readiness
        self._registry = registry
        self._read_state = read_state

    @app.route("/metrics", methods=["GET"])
    def metrics(self, request: IRequest) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return _body(request, generate_latest(self._registry), CONTENT_TYPE_LATEST)

    @app.route("/ready", methods=["GET"])
    async def ready(self, request: IRequest) -> bytes:
        """Return whether a password could be checked now, and the reason if not."""
        _set_headers(request)
        return readiness_body(request, await self._readiness.probe())

    @app.route("/", methods=["GET"])
    async def page(self, request: IRequest) -> bytes:
        """Return the status page."""
        page = await render(await self._read_state())
        return _body(request, page, "text/html; charset=utf-8")

    @app.route(f"/{STYLE_PATH}", methods=["GET"])
    def style(self, request: IRequest) -> bytes:
        """Return the style sheet of the status page."""
        return _body(request, STYLE, "text/css; charset=utf-8")


def _body(request: IRequest, body: bytes, content_type: str) -> bytes:
    """Return ``body``, and set the headers of the response."""
    _set_headers(request)
    request.setHeader("Content-Type", content_type)
    request.setHeader("Content-Length", str(len(body)))
    return body


def _set_headers(request: IRequest) -> None:
    for name, value in HEADERS.items():
        request.setHeader(name, value)
