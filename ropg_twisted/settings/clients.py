"""The settings of a client: the keys of ``[[clients]]`` in the settings file, and the profiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ropg_twisted.settings import values
from ropg_twisted.settings.errors import UnknownSettingError
from ropg_twisted.settings.model import GRANTS, Client
from ropg_twisted.settings.table import Setting, Value, attributes

PROFILES: Final[Mapping[str, Mapping[str, str]]] = {
    "jamf-connect": {"aliases": "unique_name=preferred_username"},
    "xcreds": {
        "outage": "abort",
        "aliases": "unique_name=preferred_username, upn=email",
    },
    "himmelblau": {"tokens": "authentik", "extra_scopes": "openid offline_access"},
    "fleet": {"limits": "user 10 per 15 minutes"},
}
"""Presets for known programs. A key in the client's table takes precedence.

XCreds reads every error as a wrong password, and expects claim names of its own. Himmelblau needs a
refresh token. Fleet sends the checks of all users from one address.
"""

CLIENT_TABLE: Final = {
    setting.key: setting
    for setting in (
        Setting("clients.id", values.text, "jamf-connect", "its client_id", required=True),
        Setting("clients.secret", values.text, "a long random text", "its client_secret, if any"),
        Setting(
            "clients.secret_sha256",
            values.sha256_hex,
            "the output of: printf %s SECRET | sha256sum | cut -c1-64",
            "the SHA-256 of its client_secret, instead of secret",
            attribute="secret_hash",
        ),
        Setting(
            "clients.profile",
            values.one_of(*PROFILES),
            "xcreds",
            "preset for a known program: " + ", ".join(PROFILES),
        ),
        Setting(
            "clients.redirect_uri",
            values.url,
            "https://127.0.0.1/jamfconnect",
            'redirect URI registered in Authentik; required with tokens = "authentik"',
        ),
        Setting(
            "clients.grants",
            values.grants,
            "password refresh_token",
            "grant types that it may use",
            default=" ".join(GRANTS),
            repeatable=True,
        ),
        Setting(
            "clients.scopes",
            values.words,
            "openid profile email",
            "scopes that it may have; any if not set",
            repeatable=True,
        ),
        Setting(
            "clients.extra_scopes",
            values.words,
            "groups",
            "scopes that it gets without asking",
            repeatable=True,
        ),
        Setting(
            "clients.aliases",
            values.aliases,
            "unique_name=preferred_username, upn=email",
            "copies of claims under other names",
            repeatable=True,
        ),
        Setting(
            "clients.mfa",
            values.second_factor,
            "code",
            "as ROPG_MFA",
            attribute="second_factor",
            inherits="ROPG_MFA",
        ),
        Setting(
            "clients.tokens",
            values.upstream_tokens,
            "own",
            "as ROPG_TOKENS",
            attribute="upstream_tokens",
            inherits="ROPG_TOKENS",
        ),
        Setting(
            "clients.limits",
            values.rates,
            "off",
            "as ROPG_LIMITS",
            attribute="rates",
            inherits="ROPG_LIMITS",
        ),
        Setting(
            "clients.outage",
            values.drop_on_outage,
            "abort",
            "as ROPG_OUTAGE",
            attribute="drop_on_outage",
            inherits="ROPG_OUTAGE",
        ),
        Setting(
            "clients.body",
            values.unencoded,
            "unencoded",
            "unencoded: it sends forms without percent-encoding, as XCreds 5.3 does",
            default="form",
            attribute="unencoded",
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
