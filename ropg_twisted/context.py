"""Whose request it is, as the log may tell it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestContext:
    """A token request that has been understood. No field of it is a secret.

    ``id``: the request's in the log. ``client``: its ``client_id``. ``grant``: its ``grant_type``.
    ``address``: the client's, ``None`` if nobody knows it.
    """

    id: str
    client: str
    grant: str
    address: str | None
