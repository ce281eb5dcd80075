"""Headers that tell Authentik the client's address, for its audit log and its reputation scores."""

from __future__ import annotations

from dataclasses import dataclass, field

from ropg_twisted.networks import Address


@dataclass(slots=True)
class ClientIPHeaders:
    """The headers with a client's address.

    Authentik trusts an address that comes with the token of an outpost. It ignores an unknown token
    silently. Then it uses X-Forwarded-For if it trusts us as a proxy, so this header is always
    sent.

    Attributes:
        outpost_token: the token, ``None`` without one.
        refused: Authentik was seen to refuse the token.
    """

    outpost_token: str | None = field(default=None, repr=False)
    refused: bool = False

    def headers(self, address: Address | None, *, force: bool = False) -> dict[str, str]:
        """Return the headers for a client at ``address``; none if it is ``None`` (unknown).

        ``force``: send the token even if it is refused.
        """
        if address is None:
            return {}
        forwarded = {"X-Forwarded-For": str(address)}
        if self.outpost_token is None or (self.refused and not force):
            return forwarded
        return forwarded | {
            "X-authentik-remote-ip": str(address),
            "X-authentik-outpost-token": self.outpost_token,
        }
