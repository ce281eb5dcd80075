"""The table of all settings: names, parser, default and meaning of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, TypeAlias

from ropg_twisted.settings import values
from ropg_twisted.settings.errors import InvalidValueError, SettingError
from ropg_twisted.settings.model import Client, Settings, SigningAlgorithm

Value: TypeAlias = Any  # Each setting has a type of its own.
"""Parsed value of a setting."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Row of the table of settings, or of the table of a client's settings.

    ``name``: its name in the environment; the settings of a client are in the file only.
    ``parse``: a parser of :mod:`~ropg_twisted.settings.values`. ``option``: its option of ``twistd
    ropg``. ``may_be_empty``: an empty text means ``None``. ``repeatable``: the file may have a
    list. ``attribute``: that of :class:`Settings` or :class:`Client`, if its name is not ``key``.
    ``inherits``: the setting of the daemon that applies to a client without this one.
    """

    name: str
    parse: Callable[[str], Value]
    example: str
    meaning: str
    default: str | None = None
    option: str | None = None
    required: bool = False
    may_be_empty: bool = False
    repeatable: bool = False
    attribute: str | None = None
    inherits: str | None = None

    @property
    def key(self) -> str:
        """The key in the settings file: the name in lower case, without ``ROPG_``."""
        return self.name.removeprefix("ROPG_").removeprefix("clients.").lower()

    @property
    def assignment(self) -> str:
        """A line that sets it to its example."""
        if self.name.isupper():
            return f"{self.name}={self.example}"
        return f'{self.key} = "{self.example}"'

    def value(self, raw: str | None) -> Value:
        """Return the parsed value of ``raw``, or the default if that is ``None``.

        An empty text is an error, not a missing value: an empty secret would disable
        authentication. Raises :exc:`SettingError` for an invalid text, and for ``None`` if a value
        is required.
        """
        if raw is None:
            raw = self.default
        if raw is None and self.required:
            raise SettingError(self.name, "is missing", self.assignment)
        if raw is None or (self.may_be_empty and not raw.strip()):
            return None
        try:
            if not raw.strip():
                raise InvalidValueError("is empty")
            return self.parse(raw)
        except InvalidValueError as problem:
            raise SettingError(self.name, str(problem), self.assignment) from None

    def text_in_file(self, value: object) -> str | None:
        """Return a value of the settings file as the text that the environment would have.

        Raises :exc:`SettingError` for a type that it does not accept.
        """
        match value:
            case None | str():
                return value
            case int() | float() if not isinstance(value, bool):
                # Python refuses to format a number of thousands of digits; no setting has one.
                with suppress(ValueError):
                    return str(value)
            case list() if self.repeatable and all(isinstance(item, str) for item in value):
                return " ".join(value)
        raise SettingError(self.name, "is not a text or a number", self.assignment)


def attributes(
    kind: type[Settings] | type[Client], rows: Iterable[Setting], value: Mapping[str, Value]
) -> dict[str, Value]:
    """Return the arguments for ``kind`` among ``value``, which has values by names of settings.

    ``None`` is left out, so that the default of ``kind`` applies.
    """
    names = {field.name for field in fields(kind)}
    found = {row.attribute or row.key: value[row.name] for row in rows}
    return {name: each for name, each in found.items() if name in names and each is not None}


DEFAULT_LIMITS: Final = "user 10 per 15 minutes, address 60 per minute"

TABLE: Final = {
    setting.name: setting
    for setting in (
        Setting(
            "AUTHENTIK_URL",
            values.authentik,
            "https://authentik.example.com",
            "base URL of Authentik; sandbox: runs the embedded sandbox instead",
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
            attribute="issuer",
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
            "directory of the signing keys, and of the key for ROPG_LOG_USERS",
            option="state-dir",
        ),
        Setting(
            "ROPG_SIGNING_ALG",
            values.choice({algorithm.value: algorithm for algorithm in SigningAlgorithm}),
            "RS256",
            "algorithm of the signing key: " + ", ".join(SigningAlgorithm),
            default="RS256",
            option="signing-alg",
        ),
        Setting(
            "ROPG_TOKEN_LIFETIME", values.lifetime, "3600", "seconds that a token is valid", "3600"
        ),
        Setting(
            "ROPG_LOGIN_STAGE",
            values.login_stage,
            "required",
            "none if the flow has no user-login stage",
            default="required",
        ),
        Setting(
            "ROPG_APP_SLUG",
            values.slug,
            "jamf-connect",
            "slug of the application in Authentik; by default the id of the first client",
            option="application",
        ),
        Setting(
            "ROPG_CHECK_ACCESS",
            values.check_access,
            "on",
            "off: do not ask Authentik whether the user may use the application",
            default="on",
            attribute="checks_access",
        ),
        Setting(
            "ROPG_MFA",
            values.second_factor,
            "interaction_required",
            "answer if a second factor is required: interaction_required, tokens or code",
            default="interaction_required",
        ),
        Setting(
            "ROPG_TOKENS",
            values.upstream_tokens,
            "own",
            "authentik: a password grant returns Authentik's own tokens",
            default="own",
        ),
        Setting(
            "ROPG_CLAIMS",
            values.claims_from_username,
            "authentik",
            "typed: take the claims from the user name only",
            default="authentik",
            attribute="claims_from_username",
        ),
        Setting(
            "ROPG_INVALIDATION_FLOW",
            values.slug,
            "default-invalidation-flow",
            "flow that removes the session after each check; empty to keep it",
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
            "makes Authentik see the addresses of the clients",
        ),
        Setting(
            "ROPG_TRUSTED_PROXIES",
            values.networks,
            "127.0.0.1 10.0.0.0/8",
            "networks whose X-Forwarded-For is trusted; unix for a UNIX socket",
            repeatable=True,
        ),
        Setting(
            "ROPG_ALLOWED_NETWORKS",
            values.networks,
            "10.0.0.0/8 2001:db8::/32",
            "networks that may send requests; unix for a UNIX socket",
            default="0.0.0.0/0 ::/0 unix",
            repeatable=True,
        ),
        Setting("ROPG_DEADLINE", values.deadline, "15", "seconds for one check", "15"),
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
            "limits of failed checks of a user and of checks from an address; off for none",
            default=DEFAULT_LIMITS,
        ),
        Setting(
            "ROPG_LIMITS_STORE",
            values.store,
            "redis://127.0.0.1:6379/0",
            "where attempts are counted; redis:// shares the counts between daemons",
            default="memory://",
        ),
        Setting(
            "ROPG_PASSWORD_HASH_KEY",
            values.secret,
            "the output of: openssl rand -hex 32",
            "shares keyed hashes of accepted passwords through ROPG_LIMITS_STORE",
        ),
        Setting(
            "ROPG_SLOW_REFUSAL",
            values.slow_refusal,
            "5",
            "seconds after which a refusal of a password is not believed; 0: always believe it",
            default="5",
        ),
        Setting(
            "ROPG_OUTAGE",
            values.drop_on_outage,
            "503",
            "abort: drop the connection, for clients that read every error as a wrong password",
            default="503",
            attribute="drop_on_outage",
        ),
        Setting(
            "ROPG_LOG",
            values.one_of("json", "text"),
            "json",
            "json or text; by default text on a terminal, else json",
        ),
        Setting(
            "ROPG_AUDIT_LOG",
            values.file,
            "/var/log/ropg/audit.json",
            "file of its own for the lines about requests; SIGHUP opens it again",
        ),
        Setting(
            "ROPG_LOG_USERS",
            values.log_users,
            "hashed",
            "hashed: the log has a keyed hash in place of each user name",
            default="plain",
            attribute="hash_users",
        ),
    )
}

CONFIG: Final = Setting(
    "ROPG_CONFIG", values.readable, "/etc/ropg.toml", "settings file (TOML)", option="config"
)
