"""Every setting: its names, its check, its default and its meaning, in one table."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ropg_twisted.errors import SettingError
from ropg_twisted.settings import values


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of a table.

    ``name`` is the environment's; in the file it is written in small letters without ``ROPG_``.
    A client's settings are in the file only. ``parse`` raises for a value that it does not take.
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
        """Its name in its table of the file."""
        return self.name.removeprefix("ROPG_").removeprefix("clients.").lower()

    @property
    def assignment(self) -> str:
        """A right way to set it."""
        if self.name.isupper():
            return f"{self.name}={self.example}"
        return f'{self.key} = "{self.example}"'

    def value(self, raw: str | None) -> Any:
        """What a text stands for, or the default where there is none.

        An empty text is none of a secret, which would leave a door open. Raises
        :exc:`SettingError` for a wrong text, and for none if it is required.
        """
        if raw is None:
            raw = self.default
        if raw is None and self.required:
            raise SettingError(self.name, "is missing", self.assignment)
        if raw is None or (self.may_be_empty and not raw.strip()):
            return None
        try:
            if not raw.strip():
                raise values.InvalidValueError("is empty")
            return self.parse(raw)
        except values.InvalidValueError as wrong:
            raise SettingError(self.name, str(wrong), self.assignment) from None

    def text_in_file(self, value: object) -> str | None:
        """A value of the settings file, as the text that the environment would have."""
        match value:
            case None | str():
                return value
            case int() | float() if not isinstance(value, bool):
                # Python does not write numbers of thousands of digits, and none is a setting.
                with suppress(ValueError):
                    return str(value)
            case list() if self.repeatable and all(isinstance(item, str) for item in value):
                return " ".join(value)
        raise SettingError(self.name, "is not a text or a number", self.assignment)


DEFAULT_LIMITS: Final = "user 10 per 15 minutes, address 60 per minute"

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
            "ROPG_ADMIN_LISTEN",
            values.text,
            "tcp:8582:interface=127.0.0.1",
            "endpoint of metrics, readiness and the status page",
            option="admin-listen",
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
            "ROPG_APP_SLUG",
            values.slug,
            "jamf-connect",
            "application in Authentik; by default one called as the client, if there is one",
            option="application",
        ),
        Setting(
            "ROPG_CHECK_ACCESS",
            values.one_of("on", "off"),
            "on",
            "off: do not ask Authentik whether the person may use the application",
            default="on",
        ),
        Setting(
            "ROPG_MFA",
            values.second_factor,
            "interaction_required",
            "a second factor after a right password: interaction_required, tokens or code",
            default="interaction_required",
        ),
        Setting(
            "ROPG_TOKENS",
            values.one_of("own", "authentik"),
            "own",
            "authentik: a password brings Authentik's own tokens",
            default="own",
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
        Setting(
            "ROPG_OUTPOST_TOKEN",
            values.text,
            "the token of an outpost",
            "lets Authentik see the clients' own addresses",
        ),
        Setting(
            "ROPG_TRUSTED_PROXIES",
            values.networks,
            "127.0.0.1 10.0.0.0/8",
            "networks whose X-Forwarded-For is believed; unix for a UNIX socket",
            repeatable=True,
        ),
        Setting(
            "ROPG_ALLOWED_NETWORKS",
            values.networks,
            "10.0.0.0/8 2001:db8::/32",
            "networks that may ask at all",
            default="0.0.0.0/0 ::/0 unix",
            repeatable=True,
        ),
        Setting("ROPG_DEADLINE", values.deadline, "15", "seconds for one whole check", "15"),
        Setting(
            "ROPG_MAX_CHECKS",
            values.max_checks,
            "64",
            "checks at Authentik at a time; four times as many wait",
            default="64",
        ),
        Setting(
            "ROPG_LIMITS",
            values.rates,
            DEFAULT_LIMITS,
            "failed checks of a user, and checks of an address; off for any number",
            default=DEFAULT_LIMITS,
        ),
        Setting(
            "ROPG_LIMITS_STORE",
            values.store,
            "redis://127.0.0.1:6379/0",
            "where attempts are counted; redis:// shares the counts among several daemons",
            default="memory://",
        ),
        Setting(
            "ROPG_OUTAGE",
            values.one_of("503", "abort"),
            "503",
            "abort: cut the connection, for clients that take every answer for a wrong password",
            default="503",
        ),
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
