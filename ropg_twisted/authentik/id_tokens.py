"""Verification of the id tokens in Authentik's token responses."""

from __future__ import annotations

from typing import Final

import jwt
from jwt.exceptions import PyJWTError

from ropg_twisted.authentik.metadata import ProviderMetadata
from ropg_twisted.interfaces import GrantedTokens, UpstreamTokenResponse
from ropg_twisted.verdict import Reason, UpstreamError

LEEWAY: Final = 60
"""Seconds that Authentik's clock and ours may differ."""


class IDTokenVerifier:
    """Reads token responses, and verifies their id tokens by the provider's ``metadata``."""

    def __init__(self, metadata: ProviderMetadata) -> None:
        self._metadata = metadata

    async def read(self, response: UpstreamTokenResponse, client_id: str) -> GrantedTokens:
        """Return the tokens in a response to ``client_id``, with the claims of an id token.

        The id token must be signed by a published key, for this client, by the published issuer.
        Raises :exc:`UpstreamError` if it is not.
        """
        id_token = response.get("id_token")
        if id_token is None:
            return GrantedTokens(response)
        discovery = await self._metadata.discovery() or {}
        try:
            if not isinstance(id_token, str):
                raise TypeError
            kid = jwt.get_unverified_header(id_token).get("kid")
            key = await self._metadata.key(kid)
            claims = jwt.decode(
                id_token,
                key,
                algorithms=[key.algorithm_name],
                audience=client_id,
                issuer=str(discovery.get("issuer")),
                leeway=LEEWAY,
                options={"require": ["iss", "sub", "aud", "exp", "iat"]},
            )
        except (PyJWTError, TypeError, ValueError):
            raise UpstreamError(Reason.PROVIDER_TOKEN) from None
        return GrantedTokens(response, claims)
