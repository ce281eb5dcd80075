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
    ``inherits``: the setting of the daemon that applies to a client without this one. ``meaning``,
    ``unset`` (the default in words) and ``details`` (sentences for the documents only) are in
    Markdown; ``meaning`` and ``unset`` have no links.
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
    unset: str | None = None
    details: str = ""

    @property
    def key(self) -> str:
        """The key in the settings file: the name in lower case, without ``ROPG_``."""
        return self.name.removeprefix("ROPG_").removeprefix("clients.").lower()

    @property
    def help(self) -> str:
        """The meaning in plain text, as in the help of a command."""
        text = self.meaning if self.unset is None else f"{self.meaning}; by default {self.unset}"
        return text.replace("`", "")

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
            "base URL of Authentik, or `sandbox:` for the built-in sandbox",
            option="authentik",
            required=True,
            details="A path is kept. `sandbox:PORT` chooses the port of the sandbox on "
            "127.0.0.1, which is 8581 otherwise.",
        ),
        Setting(
            "FLOW_SLUG",
            values.slug,
            "default-authentication-flow",
            "slug of the login flow",
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
            details="If the file has `[[clients]]`, `CLIENT_ID` adds one more client, but only "
            "if you set it.",
        ),
        Setting(
            "CLIENT_SECRET",
            values.text,
            "a long random text",
            "secret of that client",
            details="Without one the client is public.",
        ),
        Setting(
            "PROXY_ISSUER",
            values.url,
            "https://ropg.example.com",
            "public base URL of the daemon and issuer of its tokens, exactly as clients see it",
            option="issuer",
            attribute="issuer",
            required=True,
        ),
        Setting(
            "JWT_SECRET",
            values.secret,
            "the output of: openssl rand -hex 32",
            "sign with HS256 and this secret instead of keys",
            details="At least 32 bytes. Whoever knows it can issue tokens. Cannot be combined "
            "with `ROPG_SIGNING_ALG`.",
        ),
        Setting(
            "ROPG_LISTEN",
            values.endpoints,
            "tcp:8580:interface=127.0.0.1",
            "Twisted endpoint to listen on",
            default="tcp:8580:interface=127.0.0.1",
            option="listen",
            repeatable=True,
            details="Several [endpoint strings](#endpoint-strings) are separated by spaces.",
        ),
        Setting(
            "ROPG_ADMIN_LISTEN",
            values.text,
            "tcp:8582:interface=127.0.0.1",
            "endpoint of metrics, readiness and the status page",
            option="admin-listen",
            unset="off",
            details="One [endpoint string](#endpoint-strings).",
        ),
        Setting(
            "ROPG_STATE_DIR",
            Path,
            "/var/lib/ropg",
            "folder of the signing keys, and of the key for `ROPG_LOG_USERS=hashed`",
            option="state-dir",
            unset="`$STATE_DIRECTORY`, else `./state`",
            details="It is created if it does not exist. See [keys and their "
            "backup](operations.md#keys-and-their-backup).",
        ),
        Setting(
            "ROPG_SIGNING_ALG",
            values.choice({algorithm.value: algorithm for algorithm in SigningAlgorithm}),
            "RS256",
            "algorithm of the signing key: " + ", ".join(f"`{name}`" for name in SigningAlgorithm),
            default="RS256",
            option="signing-alg",
        ),
        Setting(
            "ROPG_TOKEN_LIFETIME",
            values.lifetime,
            "3600",
            "seconds for which the daemon's own tokens are valid",
            "3600",
            details="60 to 86400.",
        ),
        Setting(
            "ROPG_LOGIN_STAGE",
            values.login_stage,
            "required",
            "`none` if the flow has no user login stage",
            default="required",
            details="Needs `ROPG_CLAIMS=typed` and `ROPG_CHECK_ACCESS=off`, because such a flow"
            " leaves no session.",
        ),
        Setting(
            "ROPG_APP_SLUG",
            values.slug,
            "jamf-connect",
            "slug of the application in Authentik",
            option="application",
            unset="the id of the first client, if Authentik has an application with that slug",
            details="If you set it and the [application](authentik.md#the-application) does not"
            " exist, the daemon is not ready. If you do not set it, the application is "
            "optional.",
        ),
        Setting(
            "ROPG_CHECK_ACCESS",
            values.check_access,
            "on",
            "`off`: do not ask Authentik whether the user may use the application",
            default="on",
            attribute="checks_access",
        ),
        Setting(
            "ROPG_MFA",
            values.second_factor,
            "interaction_required",
            "answer when a second factor follows a right password: "
            "`interaction_required`, `tokens` or `code`",
            default="interaction_required",
            details="See [second factors](authentik.md#second-factors).",
        ),
        Setting(
            "ROPG_TOKENS",
            values.upstream_tokens,
            "own",
            "`authentik`: a right password returns Authentik's own tokens",
            default="own",
            details="These are [upstream tokens](authentik.md#upstream-tokens). Each client "
            "that it applies to needs a `redirect_uri`, so set it in the file, usually "
            "in the table of a client.",
        ),
        Setting(
            "ROPG_CLAIMS",
            values.claims_from_username,
            "authentik",
            "source of the claims: `authentik`, or `typed` for the user name only",
            default="authentik",
            attribute="claims_from_username",
            details="`authentik` asks for the user of the session. `typed` uses the typed name "
            "as subject, user name and name, and as e-mail address if it contains an "
            "`@`.",
        ),
        Setting(
            "ROPG_INVALIDATION_FLOW",
            values.slug,
            "default-invalidation-flow",
            "slug of the flow that removes the session after a check; empty to keep it",
            default="default-invalidation-flow",
            may_be_empty=True,
        ),
        Setting(
            "ROPG_SESSION_REMOVAL",
            values.session_removal,
            "always",
            "sessions to remove after a check: `auto`, `always` or `never`",
            default="auto",
            details="`auto` leaves a session to end by itself if its cookie says that it does so "
            "within five minutes. A removal costs Authentik a fifth of a check.",
        ),
        Setting(
            "ROPG_CA_FILE",
            values.readable,
            "/etc/ssl/certs/our-ca.pem",
            "PEM file of the certificates to trust for Authentik instead of the system's",
            unset="the system's",
        ),
        Setting(
            "ROPG_OUTPOST_TOKEN",
            values.text,
            "the token of an outpost",
            "token of an outpost, with which Authentik accepts the addresses of the clients",
            details="See [client addresses](authentik.md#client-addresses).",
        ),
        Setting(
            "ROPG_TRUSTED_PROXIES",
            values.networks,
            "127.0.0.1 10.0.0.0/8",
            "networks whose `X-Forwarded-For` is believed; `unix` for peers at a UNIX socket",
            repeatable=True,
            details="Separated by spaces or commas.",
        ),
        Setting(
            "ROPG_ALLOWED_NETWORKS",
            values.networks,
            "10.0.0.0/8 2001:db8::/32",
            "networks that may use the token endpoint, `/userinfo` and `/introspect`; `unix`"
            " for peers at a UNIX socket",
            default="0.0.0.0/0 ::/0 unix",
            repeatable=True,
            unset="all",
            details="For passwords, codes and refresh tokens. Separated by spaces or commas.",
        ),
        Setting(
            "ROPG_DEADLINE",
            values.deadline,
            "15",
            "seconds for one check, including the wait for a slot",
            "15",
            details="0.1 to 300.",
        ),
        Setting(
            "ROPG_MAX_CHECKS",
            values.max_checks,
            "64",
            "checks at Authentik at a time; at most four times as many wait",
            default="64",
            details="They wait in order, for at most half of `ROPG_DEADLINE`. The others are "
            "answered 503 at once. 1 to 10000.",
        ),
        Setting(
            "ROPG_LIMITS",
            values.rates,
            DEFAULT_LIMITS,
            "limits of failed checks of a user and of checks from an address; `off` for none",
            default=DEFAULT_LIMITS,
            details="See [limits](#limits).",
        ),
        Setting(
            "ROPG_LIMITS_STORE",
            values.store,
            "redis://127.0.0.1:6379/0",
            "where attempts are counted; a Redis shares the counts among daemons",
            default="memory://",
            details="`redis://`, `rediss://` and `redis+unix://` share the counts and the known"
            " networks: `redis://:password@host:6379/0`, "
            "`redis+unix:///run/redis.sock`, with options of redis-py after a `?`. "
            "Needs the package `redis`: `pip install '.[redis]'`.",
        ),
        Setting(
            "ROPG_PASSWORD_HASH_KEY",
            values.secret,
            "the output of: openssl rand -hex 32",
            "shares keyed hashes of accepted passwords among daemons with the same key",
            details="Needs a Redis in `ROPG_LIMITS_STORE`. At least 32 bytes. See "
            "[directories.md](directories.md#the-daemons-part).",
        ),
        Setting(
            "ROPG_SLOW_REFUSAL",
            values.slow_refusal,
            "5",
            "seconds after which a refusal of a password is not believed; 0: believe every refusal",
            default="5",
            details="After so long [a directory](directories.md#which-refusals-are-believed) "
            "may have timed out. 0 to 300.",
        ),
        Setting(
            "ROPG_OUTAGE",
            values.drop_on_outage,
            "503",
            "`abort`: drop the connection instead of answering 503",
            default="503",
            attribute="drop_on_outage",
            details="For clients that read every error as a wrong password. See "
            "[outages](operations.md#outages).",
        ),
        Setting(
            "ROPG_LOG",
            values.one_of("json", "text"),
            "json",
            "format of the log: `json` or `text`",
            unset="`text` on a terminal, else `json`",
        ),
        Setting(
            "ROPG_LOG_USERS",
            values.log_users,
            "hashed",
            "`hashed`: every log has a keyed hash in place of a user name",
            default="plain",
            attribute="hash_users",
            details="See [answers.md](answers.md#user-names).",
        ),
        Setting(
            "ROPG_AUDIT_LOG",
            values.file,
            "/var/log/ropg/audit.json",
            "file of its own for the audit lines, in place of the log",
            details="SIGHUP opens it again. See "
            "[answers.md](answers.md#a-file-for-the-audit-lines).",
        ),
    )
}

CONFIG: Final = Setting(
    "ROPG_CONFIG", values.readable, "/etc/ropg.toml", "the TOML file of settings", option="config"
)
