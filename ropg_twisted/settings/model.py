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

PASSWORD_GRANT: Final = "password"

RELAYED_GRANTS: Final = ("authorization_code", "refresh_token")
"""The grant types that Authentik answers."""

GRANTS: Final = (PASSWORD_GRANT, *RELAYED_GRANTS)
"""The grant types that the token endpoint serves."""

MAX_TOKEN_LIFETIME: Final = 86400
"""Maximum lifetime of a token, in seconds."""


class SigningAlgorithm(StrEnum):
    """The algorithms of keys in the key store (RFC 7518 section 3.1, RFC 8037)."""

    RS256 = "RS256"
    ES256 = "ES256"
    EDDSA = "EdDSA"


class SecondFactor(StrEnum):
    """The answer to a right password in a flow that then asks for a second factor."""

    REFUSED = "interaction_required"
    """The error ``interaction_required``."""
    TOKENS = "tokens"
    """Tokens: the password alone is enough."""
    CODE = "code"
    """Tokens if a valid code came with the password, else as ``REFUSED``."""


class SessionRemoval(StrEnum):
    """The sessions that are removed after a check."""

    AUTO = "auto"
    """Sessions that do not end by themselves within five minutes."""
    ALWAYS = "always"
    NEVER = "never"


class NameSplit(StrEnum):
    """The rule that splits a full name into ``given_name`` and ``family_name``."""

    NONE = "none"
    """No split: ``given_name`` is the full name, as in Authentik's own tokens."""
    FAMILY_LAST = "family_last"
    """The last word is the family name."""
    GIVEN_FIRST = "given_first"
    """The first word is the given name."""
    FAMILY_FIRST = "family_first"
    """The first word is the family name."""
    COMMA = "comma"
    """The family name ends at the first comma. Without a comma, as ``FAMILY_LAST``."""


@dataclass(frozen=True, slots=True)
class Client:
    """An OAuth2 client. Without a secret it is a public client (RFC 6749 section 2.1).

    ``secret_hash``: SHA-256 of the secret, set instead of ``secret``. ``scopes``: the scopes that
    it may have, ``None`` for any. ``extra_scopes``: scopes that it gets without asking.
    ``upstream_tokens``: a password grant returns Authentik's own tokens, fetched with
    ``redirect_uri``. ``name_split``: how its tokens divide the full name. ``aliases``: pairs of a
    new claim name and the claim that it copies. ``drop_on_outage``: an outage drops the connection.
    ``unencoded``: the client sends forms without percent-encoding. ``profile``: the client program,
    if it has a profile.
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
    name_split: NameSplit = NameSplit.NONE
    aliases: tuple[tuple[str, str], ...] = ()
    rates: Rates = field(default=Rates())
    drop_on_outage: bool = False
    unencoded: bool = False
    profile: str | None = None

    @property
    def expected_secret_hash(self) -> bytes | None:
        """The SHA-256 of the secret that it must present; ``None`` for a public client."""
        if self.secret is not None:
            return sha256(self.secret.encode()).digest()
        return self.secret_hash

    def filter_scope(self, scope: Iterable[str]) -> tuple[str, ...]:
        """Return the words of ``scope`` that it may have, each once."""
        return tuple(
            word for word in dict.fromkeys(scope) if self.scopes is None or word in self.scopes
        )


@dataclass(frozen=True, slots=True)
class LimitsStore:
    """A Redis, not connected yet. Its URL may have a password."""

    url: str = field(repr=False)
    storage: RedisStorage = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one daemon. Durations are in seconds.

    A field without a default always has a value, from its row of ``settings/table.py``.
    """

    authentik_url: str
    """Base URL of Authentik without a slash at its end."""
    sandbox_port: int | None = None
    """Port of the embedded sandbox on 127.0.0.1, if it is the Authentik of this daemon."""
    flow_slug: str
    app_slug: str
    """Slug of the application."""
    app_required: bool
    """Not ready without the application."""
    checks_access: bool
    clients: tuple[Client, ...]
    issuer: str
    jwt_secret: str | None = field(default=None, repr=False)
    listen: tuple[str, ...]
    admin_listen: str | None = None
    state_dir: Path
    signing_alg: SigningAlgorithm
    token_lifetime: int
    login_stage: bool
    claims_from_username: bool
    invalidation_flow: str | None = None
    session_removal: SessionRemoval
    ca_file: Path | None = None
    outpost_token: str | None = field(default=None, repr=False)
    trusted_proxies: Networks = field(default=Networks())
    allowed_networks: Networks
    deadline: float
    max_checks: int
    limits_store: LimitsStore | None = None
    """The store of counts that daemons share; ``None`` for this daemon's memory."""
    password_hash_key: str | None = field(default=None, repr=False)
    """The key of the hashes of accepted passwords in that store; ``None`` to keep them out."""
    slow_refusal: float
    """Duration after which a refusal is not believed; infinity to believe every refusal."""
    drop_on_outage: bool
    """Drop connections on an outage, for clients without a setting of their own."""
    log: str | None = None
    audit_log: Path | None = None
    """File of the audit lines; ``None`` to have them in the log."""
    hash_users: bool
    """Log a keyed hash in place of each user name."""
