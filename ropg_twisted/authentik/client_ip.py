"""Telling Authentik whose login it is, so that its audit log and reputation see the client."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class ClientIPHeaders:
    """How a client's address is told to Authentik.

    With the token of an outpost, Authentik takes our word for it. An X-Forwarded-For header says it
    to an Authentik that trusts us as its proxy: it passes over a token that it does not know in
    silence. ``refused``: the token has been found not to work.
    """

    outpost_token: str | None = field(default=None, repr=False)
    refused: bool = False

    def headers(self, address: str | None, *, force: bool = False) -> dict[str, str]:
        """The headers of a request for a client at ``address``, ``None`` if nobody knows it.

        ``force``: use the token even if it has been found not to work.
        """
        if address is None:
            return {}
        forwarded = {"X-Forwarded-For": address}
        if self.outpost_token is None or (self.refused and not force):
            return forwarded
        return forwarded | {
            "X-authentik-remote-ip": address,
            "X-authentik-outpost-token": self.outpost_token,
        }
