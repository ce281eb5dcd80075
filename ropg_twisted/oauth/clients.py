"""The clients that may ask, and how they prove to be themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest

from ropg_twisted.context import RequestContext
from ropg_twisted.errors import InvalidClientError
from ropg_twisted.oauth.request import ClientCredentials, Form
from ropg_twisted.settings.model import Client


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A token request (RFC 6749 section 3.2) by a client that is known."""

    context: RequestContext
    client: Client
    credentials: ClientCredentials
    form: Form = field(repr=False)


class Clients:
    """All clients, by their id."""

    def __init__(self, clients: Iterable[Client]) -> None:
        self._clients = {client.id: client for client in clients}

    def find(self, client_id: str | None) -> Client | None:
        """The client of that id, whoever it is that says so."""
        return None if client_id is None else self._clients.get(client_id)

    def authenticate(self, credentials: ClientCredentials) -> Client:
        """The client that ``credentials`` belong to (RFC 6749 section 2.3).

        A public client has nothing to prove, and a secret that it sends is not looked at. Raises
        :exc:`InvalidClientError` for an unknown client and for a wrong secret, which look alike.
        """
        client = self.identify(credentials)
        if client.proof is not None and matching_secret(client, credentials) is None:
            raise InvalidClientError(basic=credentials.basic)
        return client

    def identify(self, credentials: ClientCredentials) -> Client:
        """The client that ``credentials`` name.

        Raises :exc:`InvalidClientError` for an unknown one.
        """
        client = self._clients.get(credentials.id)
        if client is None:
            raise InvalidClientError(basic=credentials.basic)
        return client


def matching_secret(client: Client, credentials: ClientCredentials) -> str | None:
    """That reading of the secret in ``credentials`` which is the one of ``client``, if any is."""
    for secret in credentials.secrets:
        if client.proof and compare_digest(client.proof, sha256(secret.encode()).digest()):
            return secret
    return None
