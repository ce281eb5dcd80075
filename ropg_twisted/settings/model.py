"""The settings of one daemon, checked and typed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Client:
    """An OAuth2 client. Without a secret it is a public one (RFC 6749 section 2.1)."""

    id: str
    secret: str | None = field(default=None, repr=False)


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
    state_dir: Path
    signing_alg: str
    token_lifetime: int
    login_stage: bool
    typed_claims: bool
    invalidation_flow: str | None
    ca_file: Path | None
    deadline: float
    log: str | None
