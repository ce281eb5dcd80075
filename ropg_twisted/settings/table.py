"""Every setting: its names, its check, its default and its meaning, in one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ropg_twisted.settings import values


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table.

    ``name`` is the environment's; in the file it is written in small letters without ``ROPG_``.
    ``parse`` raises for a value that it does not take.
    """

    name: str
    parse: Callable[[str], Any]
    example: str
    meaning: str
    default: str | None = None
    option: str | None = None
    required: bool = False
    may_be_empty: bool = False
    repeatable: bool = False

    @property
    def key(self) -> str:
        """Its name in the file."""
        return self.name.removeprefix("ROPG_").lower()

    @property
    def assignment(self) -> str:
        """A right way to set it."""
        return f"{self.name}={self.example}"


TABLE: Final = {
    setting.name: setting
    for setting in (
        Setting(
            "AUTHENTIK_URL",
            values.authentik,
            "https://authentik.example.com",
            "base URL of Authentik; sandbox: runs the embedded stand-in",
            option="authentik",
            required=True,
        ),
        Setting(
            "FLOW_SLUG",
            values.slug,
            "default-authentication-flow",
            "slug of the authentication flow",
            default="default-authentication-flow",
            option="flow",
        ),
        Setting(
            "CLIENT_ID",
            values.text,
            "jamf-connect",
            "the OAuth2 client",
            default="jamf-connect",
            option="client-id",
        ),
        Setting("CLIENT_SECRET", values.text, "a long random text", "the secret of that client"),
        Setting(
            "PROXY_ISSUER",
            values.url,
            "https://ropg.example.com",
            "public base URL of this service, and the issuer of its tokens",
            option="issuer",
            required=True,
        ),
        Setting(
            "JWT_SECRET",
            values.secret,
            "the output of: openssl rand -hex 32",
            "sign with HS256 and this secret instead of the key store",
        ),
        Setting(
            "ROPG_LISTEN",
            values.endpoints,
            "tcp:8580:interface=127.0.0.1",
            "Twisted endpoint to listen on",
            default="tcp:8580:interface=127.0.0.1",
            option="listen",
            repeatable=True,
        ),
        Setting(
            "ROPG_STATE_DIR",
            Path,
            "/var/lib/ropg",
            "folder of the signing keys",
            option="state-dir",
        ),
        Setting(
            "ROPG_SIGNING_ALG",
            values.one_of("RS256", "ES256", "EdDSA"),
            "RS256",
            "algorithm of the signing key: RS256, ES256 or EdDSA",
            default="RS256",
            option="signing-alg",
        ),
        Setting(
            "ROPG_TOKEN_LIFETIME", values.lifetime, "3600", "seconds that a token is valid", "3600"
        ),
        Setting(
            "ROPG_LOGIN_STAGE",
            values.one_of("required", "none"),
            "required",
            "none if the flow has no user-login stage",
            default="required",
        ),
        Setting(
            "ROPG_CLAIMS",
            values.one_of("authentik", "typed"),
            "authentik",
            "typed for claims made of the typed name only",
            default="authentik",
        ),
        Setting(
            "ROPG_INVALIDATION_FLOW",
            values.slug,
            "default-invalidation-flow",
            "flow that removes the session after each check; empty to leave it",
            default="default-invalidation-flow",
            may_be_empty=True,
        ),
        Setting(
            "ROPG_CA_FILE",
            values.readable,
            "/etc/ssl/certs/our-ca.pem",
            "PEM certificates to trust for Authentik instead of the system's",
        ),
        Setting("ROPG_DEADLINE", values.deadline, "15", "seconds for one whole check", "15"),
        Setting(
            "ROPG_LOG",
            values.one_of("json", "text"),
            "json",
            "json or text; by default text on a terminal, else json",
        ),
    )
}

CONFIG: Final = Setting(
    "ROPG_CONFIG", values.readable, "/etc/ropg.toml", "TOML file of settings", option="config"
)
