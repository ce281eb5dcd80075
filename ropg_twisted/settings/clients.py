"""Clients: what a table ``[[clients]]`` of the file may say, and what is ready-made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from ropg_twisted.errors import SettingError
from ropg_twisted.settings import values
from ropg_twisted.settings.model import GRANTS, Client, SecondFactor
from ropg_twisted.settings.table import Setting

PROFILES: Final[Mapping[str, Mapping[str, str]]] = {
    "jamf-connect": {"aliases": "unique_name=preferred_username"},
    "xcreds": {
        "outage": "abort",
        "aliases": "unique_name=preferred_username, upn=email",
    },
    "himmelblau": {"tokens": "authentik", "extra_scopes": "openid offline_access"},
    "fleet": {"limits": "user 10 per 15 minutes"},
}
"""What the makers' programs want, where it is not the usual. A table may say otherwise.

XCreds takes every answer for a wrong password, and looks for names of its own. Himmelblau will have
a refresh token. The checks of a server come from its one address.
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
            "the SHA-256 of its client_secret, instead of that",
        ),
        Setting(
            "clients.profile",
            values.one_of(*PROFILES),
            "xcreds",
            "what program it is: " + ", ".join(PROFILES),
        ),
        Setting(
            "clients.redirect_uri",
            values.url,
            "https://127.0.0.1/jamfconnect",
            'registered in Authentik, to fetch its tokens by; needed with tokens = "authentik"',
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
            "the scopes that it may have; any if not set",
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
            "claims that it gets under another name as well",
            repeatable=True,
        ),
        Setting("clients.mfa", values.second_factor, "code", "as ROPG_MFA"),
        Setting("clients.tokens", values.one_of("own", "authentik"), "own", "as ROPG_TOKENS"),
        Setting("clients.limits", values.rates, "off", "as ROPG_LIMITS"),
        Setting("clients.outage", values.one_of("503", "abort"), "abort", "as ROPG_OUTAGE"),
        Setting(
            "clients.body",
            values.one_of("form", "undecoded"),
            "undecoded",
            "undecoded: it sends its form without escapes, as XCreds 5.3 does",
            default="form",
        ),
    )
}
"""What a table ``[[clients]]`` may hold. What it does not say is as its profile, or as for all."""


def read_client(table: Mapping[str, object], common: Mapping[str, Any]) -> Client:
    """The client of a table; ``common``: the settings for all, by their names.

    Raises :exc:`SettingError`.
    """
    for key in table:
        if key not in CLIENT_TABLE:
            raise SettingError(f"clients.{key}", "is not a setting", ", ".join(CLIENT_TABLE))
    profile = CLIENT_TABLE["profile"]
    ready_made = PROFILES.get(profile.value(profile.text_in_file(table.get("profile"))), {})
    said = {**ready_made, **table}
    value = {
        key: setting.value(setting.text_in_file(said.get(key)))
        for key, setting in CLIENT_TABLE.items()
    }
    if value["secret"] and value["secret_sha256"]:
        raise SettingError("clients.secret_sha256", "stands beside a secret", "one of them")
    return Client(
        id=value["id"],
        secret=value["secret"],
        secret_hash=value["secret_sha256"],
        redirect_uri=value["redirect_uri"],
        grants=value["grants"],
        scopes=value["scopes"],
        extra_scopes=value["extra_scopes"] or (),
        second_factor=value["mfa"] or common["ROPG_MFA"],
        upstream_tokens=(value["tokens"] or common["ROPG_TOKENS"]) == "authentik",
        aliases=value["aliases"] or (),
        rates=value["limits"] or common["ROPG_LIMITS"],
        drop_on_outage=(value["outage"] or common["ROPG_OUTAGE"]) == "abort",
        unencoded=value["body"] == "undecoded",
    )


def check_clients(clients: Iterable[Client], common: Mapping[str, Any]) -> None:
    """Raise :exc:`SettingError` for what does not go together."""
    for client in clients:
        if client.second_factor is SecondFactor.TOKENS:
            _check_tokens_without_second_factor(client, common)
        if client.upstream_tokens:
            _check_upstream_tokens(client, common)


def _check_tokens_without_second_factor(client: Client, common: Mapping[str, Any]) -> None:
    """A login that stops at a second factor has no session, so Authentik tells nothing of it."""
    if common["ROPG_CLAIMS"] != "typed":
        problem = "must be typed where ROPG_MFA is tokens: Authentik tells no name then"
        raise SettingError("ROPG_CLAIMS", problem, "ROPG_CLAIMS=typed")
    if common["ROPG_CHECK_ACCESS"] != "off":
        problem = "must be off where ROPG_MFA is tokens: Authentik cannot be asked then"
        raise SettingError("ROPG_CHECK_ACCESS", problem, "ROPG_CHECK_ACCESS=off")
    if client.upstream_tokens:
        problem = "cannot be authentik where ROPG_MFA is tokens: there is no session to fetch them"
        raise SettingError("ROPG_TOKENS", problem, "ROPG_TOKENS=own")


def _check_upstream_tokens(client: Client, common: Mapping[str, Any]) -> None:
    if client.redirect_uri is None:
        problem = f"is missing for {client.id}, which gets Authentik's own tokens"
        raise SettingError("clients.redirect_uri", problem, "https://127.0.0.1/jamfconnect")
    if client.secret_hash is not None:
        problem = f"is missing for {client.id}: its hash is not enough to fetch Authentik's tokens"
        raise SettingError("clients.secret", problem, "a long random text")
    if common["ROPG_LOGIN_STAGE"] == "none":
        problem = "cannot be authentik for a flow without a login stage, which leaves no session"
        raise SettingError("ROPG_TOKENS", problem, "ROPG_TOKENS=own")
