"""The context of a token request for the log."""

from __future__ import annotations

from dataclasses import dataclass

from ropg_twisted.networks import Address


@dataclass(frozen=True, slots=True)
class RequestContext:
    """A parsed token request, without its secrets.

    Attributes:
        id: names the request in the log.
        client: the ``client_id``.
        grant: the ``grant_type``.
        address: the client's, ``None`` if it is unknown.
    """

    id: str
    client: str
    grant: str
    address: Address | None
