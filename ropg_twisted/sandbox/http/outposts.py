"""Tokens of Authentik's API: those of outposts, and that of another service account."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ropg_twisted.sandbox.flow.sessions import Clock

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


@dataclass(frozen=True, slots=True)
class OutpostToken:
    """A token of another outpost. ``expires``: a time on the clock, ``None`` for never."""

    key: str = field(repr=False)
    expires: float | None = None


class OutpostTokens:
    """The tokens of one sandbox, beside the built-in one."""

    def __init__(self, clock: Clock, tokens: Iterable[OutpostToken]) -> None:
        self._clock = clock
        self._tokens = tuple(tokens)

    def valid(self) -> frozenset[str]:
        """Return the keys of the tokens that have not expired."""
        now = self._clock.seconds()
        return frozenset(
            token.key for token in self._tokens if token.expires is None or now < token.expires
        )
