"""The parts of an exchange."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Sent:
    """A request. ``body``: JSON, or text for a body that is none; None for no body."""

    method: str
    path: str
    headers: dict[str, str]
    cookie: bool
    body: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Received:
    """A response. ``body``: JSON, or text for a page; None for an empty body."""

    status: int
    headers: dict[str, str]
    cookies: list[Any]
    body: Any = field(default=None, repr=False)

    @property
    def content(self) -> bytes:
        """The bytes of the body, in the spelling of Authentik's JSON."""
        if self.body is None:
            return b""
        if isinstance(self.body, str):
            return self.body.encode()
        return json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its response. See the package for ``altered`` and ``proxy``."""

    request: Sent
    response: Received
    altered: Sent | None = None
    proxy: bool = False
