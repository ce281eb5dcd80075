"""The admin listener: metrics, readiness, and the status page."""

from __future__ import annotations

from typing import ClassVar, Final

from klein import Klein
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from twisted.web.iweb import IRequest

from ropg_twisted.interfaces import IReadinessProbe
from ropg_twisted.server.responses import readiness_body
from ropg_twisted.status.page import STYLE, STYLE_PATH, render
from ropg_twisted.status.state import StateReader

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
        self, readiness: IReadinessProbe, registry: CollectorRegistry, state: StateReader
    ) -> None:
        self._readiness = readiness
        self._registry = registry
        self._state = state

    @app.route("/metrics", methods=["GET"])
    def metrics(self, request: IRequest) -> bytes:
        """Return all metrics in the Prometheus text format."""
        _prepare(request, CONTENT_TYPE_LATEST)
        return generate_latest(self._registry)

    @app.route("/ready", methods=["GET"])
    async def ready(self, request: IRequest) -> bytes:
        """Return whether a password could be checked now, and the reason if not."""
        _prepare(request, "application/json")
        return readiness_body(request, await self._readiness.probe())

    @app.route("/", methods=["GET"])
    async def page(self, request: IRequest) -> bytes:
        """Return the status page."""
        _prepare(request, "text/html; charset=utf-8")
        return await render(await self._state.read())

    @app.route(f"/{STYLE_PATH}", methods=["GET"])
    def style(self, request: IRequest) -> bytes:
        """Return the style sheet of the status page."""
        _prepare(request, "text/css; charset=utf-8")
        return STYLE


def _prepare(request: IRequest, content_type: str) -> None:
    request.setHeader("Content-Type", content_type)
    for name, value in HEADERS.items():
        request.setHeader(name, value)
