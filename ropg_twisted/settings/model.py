"""The settings of one daemon, checked and typed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Final

from limits.storage import RedisStorage

from ropg_twisted.interfaces import Rates
from ropg_twisted.networks import Networks


class SecondFactor(StrEnum):
    """What is told of a right password that a second factor must follow."""

    REFUSED = "interaction_required"
    """That a person is needed."""
    TOKENS = "tokens"
    """That it is right: tokens."""
    CODE = "code"
    """The same as ``REFUSED``, unless its code came with the password."""


GRANTS: Final = ("password", "authorization_code", "refresh_token")


@dataclass(frozen=True, slots=True)
class Client:
    """An OAuth2 client. Without a secret it is a public one (RFC 6749 section 2.1).

    ``secret_hash``: SHA-256 of its secret, where the secret itself is not known. ``scopes``: those
    that it may have, ``None`` for any. ``extra_scopes``: those that it gets without asking.
    ``upstream_tokens``: a password brings Authentik's own tokens, by way of ``redirect_uri``.
    ``aliases``: pairs of a new name and the claim that it stands for. ``drop_on_outage``: an
    outage drops its connection. ``unencoded``: it sends forms without escapes.
    """

    id: str
    secret: str | None = field(default=None, repr=False)
    secret_hash: bytes | None = field(default=None, repr=False)
    redirect_uri: str | None = None
    grants: tuple[str, ...] = GRANTS
    scopes: tuple[str, ...] | None = None
    extra_scopes: tuple[str, ...] = ()
    second_factor: SecondFactor = SecondFactor.REFUSED
    upstream_tokens: bool = False
    aliases: tuple[tuple[str, str], ...] = ()
    rates: Rates = field(default=Rates())
    drop_on_outage: bool = False
    unencoded: bool = False

    @property
    def proof(self) -> bytes | None:
        """The SHA-256 of the secret that it has to show, ``None`` if it need not."""
        if self.secret is not None:
            return sha256(self.secret.encode()).digest()
        return self.secret_hash

    def narrow(self, scope: Iterable[str]) -> tuple[str, ...]:
        """What it may have of ``scope``, each word once."""
        return tuple(
            word for word in dict.fromkeys(scope) if self.scopes is None or word in self.scopes
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """How one daemon runs. Durations are in seconds."""

    authentik_url: str
    """Base URL of Authentik without a slash at its end."""
    sandbox_port: int | None
    """Where the embedded stand-in listens on 127.0.0.1, if that is what is asked."""
    flow_slug: str
    app_slug: str | None
    """The application; ``None`` for one that is called as the first client, if there is one."""
    checks_access: bool
    clients: tuple[Client, ...]
    issuer: str
    jwt_secret: str | None = field(repr=False)
    listen: tuple[str, ...]
    admin_listen: str | None
    state_dir: Path
    signing_alg: str
    token_lifetime: int
    login_stage: bool
    claims_from_username: bool
    invalidation_flow: str | None
    ca_file: Path | None
    outpost_token: str | None = field(repr=False)
    trusted_proxies: Networks
    allowed_networks: Networks
    deadline: float
    max_checks: int
    limits_store: RedisStorage | None = field(repr=False)
    """Where attempts are counted for several daemons. It knows a password."""
    drop_on_outage: bool
    """Whether an outage cuts connections where no client says otherwise."""
    log: str | None
