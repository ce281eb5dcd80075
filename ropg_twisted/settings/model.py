"""The settings of one daemon, checked and typed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from limits import RateLimitItem

from ropg_twisted.networks import Networks


@dataclass(frozen=True, slots=True)
class Rates:
    """How often one user name may fail, and one address ask; ``None`` for any number."""

    user: RateLimitItem | None = None
    address: RateLimitItem | None = None


@dataclass(frozen=True, slots=True)
class Client:
    """An OAuth2 client. Without a secret it is a public one (RFC 6749 section 2.1).

    ``aborts``: an outage cuts its connection. ``undecoded``: it sends forms without escapes.
    """

    id: str
    secret: str | None = field(default=None, repr=False)
    rates: Rates = Rates()
    aborts: bool = False
    undecoded: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """How one daemon runs. Durations are in seconds."""

    authentik_url: str
    """Base URL of Authentik without a slash at its end."""
    sandbox_port: int | None
    """Where the embedded stand-in listens on 127.0.0.1, if that is what is asked."""
    flow_slug: str
    clients: tuple[Client, ...]
    issuer: str
    jwt_secret: str | None = field(repr=False)
    listen: tuple[str, ...]
    admin_listen: str | None
    state_dir: Path
    signing_alg: str
    token_lifetime: int
    login_stage: bool
    typed_claims: bool
    invalidation_flow: str | None
    ca_file: Path | None
    outpost_token: str | None = field(repr=False)
    trusted_proxies: Networks
    allowed_networks: Networks
    deadline: float
    max_checks: int
    limits_store: str = field(repr=False)
    """Where attempts are counted, a URL of the limits library. It may hold a password."""
    aborts: bool
    """Whether an outage cuts connections where no client says otherwise."""
    log: str | None
