"""Recorded exchanges with a real Authentik, where a checkout has them beside it.

They are no part of the package: a test that needs them is skipped where the folder is missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.paths import SHARED

FOLDER = SHARED / "authentik-wire"

MISSING = None if FOLDER.is_dir() else "the folder of recordings is not beside this checkout"
"""The reason to skip, or None where the recordings are there."""


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request. ``path`` has the query; ``body`` is JSON (an object) or text, None for none."""

    method: str
    path: str
    headers: Mapping[str, str]
    sends_cookie: bool
    body: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class RecordedResponse:
    """A response. ``json`` is None for a body that is no JSON, and ``text`` for an empty one.

    Long texts are cut, pictures and ``flow_info`` left out.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    json: Any
    text: str | None

    def values(self, name: str) -> list[str]:
        """Return all values of a header, in order; ``name`` in lower case."""
        return [value for key, value in self.headers if key == name]


@dataclass(frozen=True, slots=True)
class RecordedExchange:
    """A request and its response, None for a connection that failed."""

    request: RecordedRequest
    response: RecordedResponse | None


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording: ``expected_verdict`` is None where it is about no login attempt."""

    name: str
    what: str
    flow: str
    expected_verdict: str | None
    exchanges: tuple[RecordedExchange, ...]
    notes: Mapping[str, Any]


@cache
def recordings() -> dict[str, Recording]:
    """Return all recordings by name, or an empty dictionary where there are none."""
    if MISSING:
        return {}
    return {path.stem: _read(path) for path in sorted(FOLDER.glob("*.json"))}


def _read(path: Path) -> Recording:
    data = json.loads(path.read_text(encoding="utf-8"))
    return Recording(
        name=data.pop("name"),
        what=data.pop("what"),
        flow=data.pop("flow"),
        expected_verdict=data.pop("expected_verdict"),
        exchanges=tuple(_exchange(exchange) for exchange in data.pop("exchanges")),
        notes=data,
    )


def _exchange(data: dict[str, Any]) -> RecordedExchange:
    request, response = data["request"], data["response"]
    sent = RecordedRequest(
        method=request["method"],
        path=request["path"],
        headers=request.get("headers", {}),
        sends_cookie=request.get("sends_cookie", False),
        body=request.get("body"),
    )
    if "status" not in response:
        return RecordedExchange(sent, None)
    headers = tuple((name.lower(), value) for name, value in response.get("headers", ()))
    received = RecordedResponse(
        response["status"], headers, response.get("json"), response.get("text")
    )
    return RecordedExchange(sent, received)
