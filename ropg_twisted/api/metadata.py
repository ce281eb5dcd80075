"""The two documents that clients begin with: discovery and keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ropg_twisted.authentik.metadata import ProviderMetadata
from ropg_twisted.oauth.keys import KeyRing
from ropg_twisted.oauth.metadata import IssuerInfo, own_document, relaying_document
from ropg_twisted.verdict import UpstreamError


class MetadataEndpoint:
    """What is published: Authentik's documents, with ours in them, or ours alone.

    ``keys``: tells the key ring now.
    """

    def __init__(
        self, provided: IssuerInfo, documents: ProviderMetadata, keys: Callable[[], KeyRing]
    ) -> None:
        self._provided = provided
        self._documents = documents
        self._keys = keys

    async def discovery(self) -> dict[str, Any]:
        """The discovery document. Raises :exc:`UpstreamError` if Authentik does not answer."""
        theirs = await self._documents.discovery()
        if theirs is None:
            return own_document(self._provided)
        return relaying_document(self._provided, theirs)

    async def jwks(self) -> dict[str, Any]:
        """Our keys, and those of Authentik's that clients may meet on its access tokens."""
        ours = self._keys().jwks()["keys"]
        try:
            theirs = await self._documents.jwks()
        except UpstreamError:
            theirs = []
        return {"keys": [*ours, *theirs]}
