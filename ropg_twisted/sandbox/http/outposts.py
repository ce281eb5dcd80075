"""Tokens of Authentik's API: those of outposts, and that of another service account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

OUTPOST_TOKEN = "outpost-api-token-0123456789"
"""The token of an outpost of type proxy: with it, ``X-authentik-remote-ip`` is believed."""

LDAP_OUTPOST_TOKEN = "ldap-outpost-api-token-0123456789"
"""The token of an outpost of type ldap, which can also list all users."""

SERVICE_TOKEN = "internal-svc-api-token-0123456789"
"""The token of a service account that is not an outpost: every request with it fails."""


@dataclass(frozen=True, slots=True)
class Outpost:
    """An outpost. ``kind``: its type in Authentik."""

    pk: str
    name: str
    kind: str

    @property
    def username(self) -> str:
        """The user name of its service account."""
        return f"ak-outpost-{self.pk.replace('-', '')}"

    def as_json(self) -> dict[str, object]:
        """Return it as in ``outposts/instances/``."""
        identifier = f"ak-outpost-{self.pk}-api"
        fields = {"pk": self.pk, "name": self.name, "type": self.kind}
        return {**fields, "token_identifier": identifier}


OUTPOSTS: Mapping[str, Outpost] = {
    OUTPOST_TOKEN: Outpost("5a8b4a6e-3c55-4c4c-9d34-64a8c4e2a6b1", "ropg", "proxy"),
    LDAP_OUTPOST_TOKEN: Outpost("0f4c2d11-86a4-4a66-8a0c-8fb0b50ad17e", "LDAP", "ldap"),
}
"""Outposts by their tokens."""
