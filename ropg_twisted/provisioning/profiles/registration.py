"""A client as the daemon knows it, with the addresses that its program needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from ropg_twisted.authentik.application import Application
from ropg_twisted.oauth.metadata import DISCOVERY_PATH, INTROSPECTION_PATH, TOKEN_PATH
from ropg_twisted.settings.model import Client, Settings

SECRET_PLACEHOLDER: Final = "REPLACE-WITH-THE-CLIENT-SECRET"
"""Stands in a profile for a secret that is not shown."""


class ClientNotFoundError(Exception):
    """No client of the settings fits a profile, or more than one does. Its text says what to do."""


@dataclass(frozen=True, slots=True)
class Registration:
    """A client in the settings of the daemon. ``shows_secret``: write its secret into a profile."""

    client: Client
    settings: Settings
    shows_secret: bool = False

    @property
    def issuer(self) -> str:
        """The issuer of the daemon."""
        return self.settings.issuer

    @property
    def discovery_url(self) -> str:
        """The URL of the daemon's discovery document."""
        return f"{self._base}{DISCOVERY_PATH}"

    @property
    def own_discovery_url(self) -> str:
        """The same, with the client's name: in an outage it is answered as the client's checks."""
        return f"{self.discovery_url}?client_id={quote(self.client.id, safe='')}"

    @property
    def token_endpoint(self) -> str:
        """The URL of the daemon's token endpoint."""
        return f"{self._base}{TOKEN_PATH}"

    @property
    def introspection_endpoint(self) -> str:
        """The URL of the daemon's introspection endpoint (RFC 7662)."""
        return f"{self._base}{INTROSPECTION_PATH}"

    @property
    def authentik_discovery_url(self) -> str:
        """The URL of Authentik's discovery document for the application."""
        return authentik_discovery_url(self.settings)

    @property
    def is_confidential(self) -> bool:
        """Whether the client has a secret."""
        return self.client.expected_secret_hash is not None

    @property
    def secret(self) -> str | None:
        """The text for the secret in a profile; ``None`` for a public client."""
        if not self.is_confidential:
            return None
        shown = self.client.secret if self.shows_secret else None
        return shown or SECRET_PLACEHOLDER

    @property
    def _base(self) -> str:
        return self.issuer.rstrip("/")


def authentik_discovery_url(settings: Settings) -> str:
    """Return the URL of Authentik's discovery document for the daemon's application."""
    return Application(settings.authentik_url, settings.app_slug, named=False).discovery_url


def find_client(settings: Settings, program: str, client_id: str | None) -> Client:
    """Return the client of ``client_id``, else the one that fits ``program``.

    It fits by the preset that it has, by its id, or as the only client without a preset. Raises
    :exc:`ClientNotFoundError`.
    """
    known = ", ".join(client.id for client in settings.clients)
    if client_id is not None:
        for client in settings.clients:
            if client.id == client_id:
                return client
        raise ClientNotFoundError(f"The settings have no client {client_id}, only: {known}.")
    for candidates in (
        [client for client in settings.clients if client.profile == program],
        [client for client in settings.clients if client.id == program],
        [client for client in settings.clients if client.profile is None],
    ):
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            names = ", ".join(client.id for client in candidates)
            raise ClientNotFoundError(f"Choose a client with --client: {names}.")
    raise ClientNotFoundError(
        f"No client of the settings is for {program}. Add one to the settings file, or choose one "
        f"with --client: {known}."
    )


class UnwritableError(Exception):
    """A value cannot be written into the file of a client. Its text does not show the value."""


def plain(value: str, special: str) -> str:
    """Return a value that a file without quotation marks can hold.

    ``special``: characters that mean something else there. Raises :exc:`UnwritableError`.
    """
    if value != value.strip() or any(c in special for c in value):
        raise UnwritableError(
            "The id or the secret of the client begins or ends with a space, or has one of "
            f"{' '.join(special)}, which this file cannot hold. Change it in the settings."
        )
    return value
