"""The settings of a client: the keys of ``[[clients]]`` in the settings file, and the profiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ropg_twisted.settings import values
from ropg_twisted.settings.errors import UnknownSettingError
from ropg_twisted.settings.model import GRANTS, Client, NameSplit
from ropg_twisted.settings.table import Setting, Value, attributes

PROFILES: Final[Mapping[str, Mapping[str, str]]] = {
    "jamf-connect": {"aliases": "unique_name=preferred_username"},
    "xcreds": {
        "outage": "abort",
        "aliases": "unique_name=preferred_username, upn=email",
    },
    "himmelblau": {"tokens": "authentik", "extra_scopes": "openid offline_access"},
    "fleet": {"limits": "user 10 per 15 minutes"},
    "iru": {"name_split": "family_last", "extra_scopes": "openid profile email"},
    "dovecot": {"limits": "user 10 per 15 minutes", "extra_scopes": "profile email"},
}
"""Presets for known programs. A key in the client's table takes precedence.

XCreds reads every error as a wrong password, and expects claim names of its own. Himmelblau needs a
refresh token. Fleet and Dovecot send the checks of all users from one address. Iru needs a
``family_name``. Dovecot reads the user of an access token from its introspection.
"""

CLIENT_TABLE: Final = {
    setting.key: setting
    for setting in (
        Setting(
            "clients.id",
            values.text,
            "jamf-connect",
            "its `client_id`",
            required=True,
            details="If it uses codes, refresh tokens or upstream tokens, it has the same "
            "client ID in Authentik.",
        ),
        Setting(
            "clients.secret",
            values.text,
            "a long random text",
            "its secret for password checks",
            details="In the form or by HTTP Basic. Without one the client is public, and a "
            "secret that it sends is ignored.",
        ),
        Setting(
            "clients.secret_sha256",
            values.sha256_hex,
            "the output of: printf %s SECRET | sha256sum | cut -c1-64",
            "the SHA-256 of the secret, instead of the secret",
            attribute="secret_hash",
            details="In hexadecimal digits. For long random secrets only; not with `tokens = "
            '"authentik"`.',
        ),
        Setting(
            "clients.profile",
            values.one_of(*PROFILES),
            "xcreds",
            "the client program: " + ", ".join(f"`{name}`" for name in PROFILES),
            details="See below.",
        ),
        Setting(
            "clients.redirect_uri",
            values.url,
            "https://127.0.0.1/jamfconnect",
            "a redirect URI that is registered in Authentik",
            details='Required with `tokens = "authentik"`.',
        ),
        Setting(
            "clients.grants",
            values.grants,
            "password refresh_token",
            "the grants that it may use",
            default=" ".join(GRANTS),
            repeatable=True,
        ),
        Setting(
            "clients.scopes",
            values.words,
            "openid profile email",
            "the scopes that it may get with a password",
            repeatable=True,
            unset="any",
        ),
        Setting(
            "clients.extra_scopes",
            values.words,
            "groups",
            "scopes that it gets with a password without asking for them",
            repeatable=True,
        ),
        Setting(
            "clients.name_split",
            values.name_split,
            "family_last",
            "how `given_name` and `family_name` are made of the full name: "
            + ", ".join(f"`{rule}`" for rule in NameSplit),
            default=NameSplit.NONE,
            details="See [names](#names).",
        ),
        Setting(
            "clients.aliases",
            values.aliases,
            "unique_name=preferred_username, upn=email",
            "claims that it also gets under another name",
            repeatable=True,
        ),
        Setting(
            "clients.mfa",
            values.second_factor,
            "code",
            "`interaction_required`, `tokens` or `code`",
            attribute="second_factor",
            inherits="ROPG_MFA",
            details="See [second factors](authentik.md#second-factors).",
        ),
        Setting(
            "clients.tokens",
            values.upstream_tokens,
            "own",
            "`own` or `authentik`",
            attribute="upstream_tokens",
            inherits="ROPG_TOKENS",
            details="See [upstream tokens](authentik.md#upstream-tokens).",
        ),
        Setting(
            "clients.limits",
            values.rates,
            "off",
            "limits on checks by this client",
            attribute="rates",
            inherits="ROPG_LIMITS",
            details="See [limits](#limits).",
        ),
        Setting(
            "clients.outage",
            values.drop_on_outage,
            "abort",
            "`503` or `abort`",
            attribute="drop_on_outage",
            inherits="ROPG_OUTAGE",
            details="It also applies to its discovery document if the URL names the client, "
            "`?client_id=ID`.",
        ),
        Setting(
            "clients.body",
            values.unencoded,
            "unencoded",
            "`unencoded`: it sends its form without percent-encoding, as XCreds 5.3 does",
            default="form",
            attribute="unencoded",
            details="`undecoded` means the same.",
        ),
    )
}
"""The keys of a table ``[[clients]]``. The profile fills in a missing key, then ``inherits``."""


def read_client(table: Mapping[str, object], common: Mapping[str, Value]) -> Client:
    """Return the client of a table. ``common``: the settings of the daemon, by their names.

    Raises :exc:`SettingError` for the first setting that is invalid or missing.
    """
    for key in table:
        if key not in CLIENT_TABLE:
            raise UnknownSettingError(key, CLIENT_TABLE, " in [[clients]]")
    profile = CLIENT_TABLE["profile"]
    preset = PROFILES.get(profile.value(profile.text_in_file(table.get("profile"))), {})
    texts = {**preset, **table}
    value = {
        setting.name: setting.value(setting.text_in_file(texts.get(key)))
        for key, setting in CLIENT_TABLE.items()
    }
    for setting in CLIENT_TABLE.values():
        if setting.inherits is not None and value[setting.name] is None:
            value[setting.name] = common[setting.inherits]
    return Client(**attributes(Client, CLIENT_TABLE.values(), value))
