"""The metadata endpoints: the discovery document and the JWK Set."""

from __future__ import annotations

from collections.abc import Callable

from ropg_twisted.authentik.metadata import ProviderMetadata
from ropg_twisted.oauth.keys import KeyRing
from ropg_twisted.oauth.metadata import IssuerInfo, own_document, relaying_document
from ropg_twisted.verdict import UpstreamError


class MetadataEndpoint:
    """Merges Authentik's metadata with our own.

    ``info``: our issuer. ``upstream``: Authentik's metadata. ``keys``: returns the current key
    ring.
    """

    def __init__(
        self, info: IssuerInfo, upstream: ProviderMetadata, keys: Callable[[], KeyRing]
    ) -> None:
        self._info = info
        self._upstream = upstream
        self._keys = keys

    async def discovery(self) -> dict[str, object]:
        """Return the discovery document (OpenID Connect Discovery 1.0 section 3).

        Raises :exc:`UpstreamError` if Authentik does not answer.
        """
        upstream = await self._upstream.discovery()
        if upstream is None:
            return own_document(self._info)
        return relaying_document(self._info, upstream)

    async def jwks(self) -> dict[str, object]:
        """Return our keys and Authentik's, which sign the access tokens that it grants.

        Authentik's are left out if it does not answer.
        """
        own = self._keys().jwks()["keys"]
        try:
            upstream = await self._upstream.jwks()
        except UpstreamError:
            upstream = []
        return {"keys": [*own, *upstream]}
