"""The registered clients and their authentication (RFC 6749 section 2.3)."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from hmac import compare_digest

from ropg_twisted.errors import InvalidClientError
from ropg_twisted.oauth.request import ClientCredentials
from ropg_twisted.settings.model import Client


class Clients:
    """All clients, by their id."""

    def __init__(self, clients: Iterable[Client]) -> None:
        self._clients = {client.id: client for client in clients}

    def find(self, client_id: str | None) -> Client | None:
        """Return the client with this id, without authenticating it."""
        return None if client_id is None else self._clients.get(client_id)

    def identify(self, credentials: ClientCredentials) -> Client:
        """Return the client that ``credentials`` name, without authenticating it.

        Raises :exc:`InvalidClientError` if it is unknown.
        """
        client = self._clients.get(credentials.id)
        if client is None:
            raise InvalidClientError(basic=credentials.basic)
        return client

    def authenticate(self, credentials: ClientCredentials) -> Client:
        """Return the client that ``credentials`` name if their secret is right.

        A public client needs no secret; if it sends one, the secret is ignored.

        Raises :exc:`InvalidClientError` if the client is unknown or the secret is wrong. The two
        errors look the same.
        """
        client = self.identify(credentials)
        if client.expected_secret_hash is not None and matching_secret(client, credentials) is None:
            raise InvalidClientError(basic=credentials.basic)
        return client

    def authenticate_confidential(self, credentials: ClientCredentials) -> tuple[Client, str]:
        """Return the confidential client that ``credentials`` name, and its secret.

        Raises :exc:`InvalidClientError` if the client is unknown or public, or the secret is
        wrong. The errors look the same.
        """
        client = self.identify(credentials)
        secret = matching_secret(client, credentials)
        if secret is None:
            raise InvalidClientError(basic=credentials.basic)
        return client, secret


def matching_secret(client: Client, credentials: ClientCredentials) -> str | None:
    """Return the reading of the secret that is the client's own, ``None`` if no reading is."""
    expected = client.expected_secret_hash
    for secret in credentials.secrets:
        if expected and compare_digest(expected, sha256(secret.encode()).digest()):
            return secret
    return None
