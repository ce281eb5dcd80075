"""The admin listener: metrics, readiness, and a status page."""

from __future__ import annotations

from html import escape
from typing import ClassVar

from klein import Klein
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from twisted.web.iweb import IRequest

from ropg_twisted import __version__
from ropg_twisted.interfaces import IReadinessProbe, Readiness
from ropg_twisted.server.responses import readiness_body

PAGE = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>ropg-twisted</title>
<style>body {{ font: 16px/1.5 sans-serif; margin: 2em }} td {{ padding-right: 2em }}</style>
<h1>ropg-twisted {version}</h1>
<p>{state}</p>
<table>{rows}</table>
<p>In figures for machines: <a href="metrics">metrics</a>, <a href="ready">ready</a>.</p>
"""


class Admin:
    """The routes for operators. None shows anything about a user."""

    app: ClassVar[Klein] = Klein()

    def __init__(self, readiness: IReadinessProbe, registry: CollectorRegistry) -> None:
        self._readiness = readiness
        self._registry = registry

    @app.route("/metrics", methods=["GET"])
    def metrics(self, request: IRequest) -> bytes:
        """Return all metrics in the Prometheus text format."""
        request.setHeader("Content-Type", CONTENT_TYPE_LATEST)
        return generate_latest(self._registry)

    @app.route("/ready", methods=["GET"])
    async def ready(self, request: IRequest) -> bytes:
        """Return whether a password could be checked now, and the reason if not."""
        return readiness_body(request, await self._readiness.probe())

    @app.route("/", methods=["GET"])
    async def page(self, request: IRequest) -> bytes:
        """Return a page with the readiness and every metric that is not zero."""
        rows = [
            f"<tr><td>{escape(_label(sample.name, sample.labels))}<td>{sample.value:g}"
            for family in self._registry.collect()
            for sample in family.samples
            if sample.value and sample.name.startswith("ropg_") and "le" not in sample.labels
            if not sample.name.endswith("_created")
        ]
        state = escape(_state(await self._readiness.probe()))
        request.setHeader("Content-Type", "text/html; charset=utf-8")
        page = PAGE.format(version=__version__, state=state, rows="\n".join(rows))
        return page.encode()


def _label(name: str, labels: dict[str, str]) -> str:
    return " ".join([name.removeprefix("ropg_").replace("_", " "), *labels.values()])


def _state(readiness: Readiness) -> str:
    if readiness.reason is not None:
        return f"Not ready: {readiness.reason.value}"
    if readiness.warning is not None:
        return f"Ready, but: {readiness.warning.value}"
    return "Ready"
