"""Checks of settings that depend on each other."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from ropg_twisted.settings.errors import ConflictError, SettingError
from ropg_twisted.settings.model import Client, SecondFactor, Settings, SigningAlgorithm

DIRECTORY_SECONDS: Final = 15
"""Seconds after which Authentik gives up a directory that hangs, and refuses the password."""


def check_combinations(settings: Settings, given: Collection[str]) -> None:
    """Raise :exc:`SettingError` for the first settings that contradict each other.

    ``given``: the names of the settings that do not come from defaults; ``clients`` is among them
    if the settings file has tables of clients.
    """
    if settings.jwt_secret is not None and "ROPG_SIGNING_ALG" in given:
        raise ConflictError("JWT_SECRET", "ROPG_SIGNING_ALG")
    if {"clients", "CLIENT_SECRET"} <= set(given) and "CLIENT_ID" not in given:
        raise SettingError("CLIENT_SECRET", "is set without CLIENT_ID", "CLIENT_ID=jamf-connect")
    if len({client.id for client in settings.clients}) < len(settings.clients):
        raise SettingError("clients", "have the same id twice", 'id = "mac"')
    for client in settings.clients:
        if client.secret is not None and client.secret_hash is not None:
            raise ConflictError("secret", "secret_sha256", f"client {client.id}: ")
        if not settings.login_stage:
            _check_without_session(settings, client, "ROPG_LOGIN_STAGE is none")
        if client.second_factor is SecondFactor.TOKENS:
            _check_without_session(settings, client, "ROPG_MFA is tokens")
        if client.upstream_tokens:
            _check_upstream_tokens(client)


def warnings(settings: Settings) -> list[str]:
    """Return a line for each setting that is valid, but may not do what is expected."""
    lines = []
    if settings.deadline > DIRECTORY_SECONDS:
        lines.append(
            f"ROPG_DEADLINE is over {DIRECTORY_SECONDS} seconds: Authentik gives up a directory "
            "that hangs before that, and refuses the password (see docs/directories.md)"
        )
    if settings.password_hash_key is not None and settings.limits_store is None:
        lines.append("ROPG_PASSWORD_HASH_KEY has no effect without a redis:// ROPG_LIMITS_STORE")
    for client in settings.clients:
        lines += _profile_warnings(settings, client)
    return lines


def _profile_warnings(settings: Settings, client: Client) -> Iterator[str]:
    """Yield a line for each setting with which the client program cannot work."""
    if client.profile == "xcreds":
        problem = f"and XCreds (client {client.id}) reads only RS256 and ES256"
        if settings.jwt_secret is not None:
            yield f"JWT_SECRET signs with HS256, {problem}"
        elif settings.signing_alg is SigningAlgorithm.EDDSA:
            yield f"ROPG_SIGNING_ALG is EdDSA, {problem}"
    if client.profile == "dovecot" and client.expected_secret_hash is None:
        yield f"clients.secret is missing for {client.id}: without one it cannot introspect tokens"


def _check_without_session(settings: Settings, client: Client, cause: str) -> None:
    """Check the settings of a login that leaves no session with which to ask Authentik more."""
    problem = f"because no session is left if {cause}"
    if not settings.claims_from_username:
        raise SettingError("ROPG_CLAIMS", f"must be typed, {problem}", "ROPG_CLAIMS=typed")
    if settings.checks_access:
        raise SettingError("ROPG_CHECK_ACCESS", f"must be off, {problem}", "ROPG_CHECK_ACCESS=off")
    if client.upstream_tokens:
        raise SettingError("ROPG_TOKENS", f"must be own, {problem}", "ROPG_TOKENS=own")


def _check_upstream_tokens(client: Client) -> None:
    if client.redirect_uri is None:
        problem = f"is missing for {client.id}, which gets Authentik's own tokens"
        raise SettingError("clients.redirect_uri", problem, "https://127.0.0.1/jamfconnect")
    if client.secret_hash is not None:
        problem = f"is missing for {client.id}: a hash is not enough to fetch Authentik's tokens"
        raise SettingError("clients.secret", problem, "a long random text")
