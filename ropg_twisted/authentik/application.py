"""An application of Authentik and the endpoints of its OAuth2 provider."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_urlsafe
from typing import cast
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from ropg_twisted.authentik.challenges import Response, read_json
from ropg_twisted.authentik.client import FlowSession
from ropg_twisted.interfaces import CodeRequest, RequestKind, UpstreamTokenResponse
from ropg_twisted.types import JSONObject
from ropg_twisted.verdict import Reason, UpstreamError


@dataclass(frozen=True, slots=True)
class Application:
    """An application of Authentik.

    Attributes:
        authentik_url: base URL without a trailing slash.
        slug: names it in Authentik.
        named: the slug is configured, so the application must exist. Otherwise the slug is the id
            of a client, and it need not.
    """

    authentik_url: str
    slug: str
    named: bool = True

    async def check_access(self, session: FlowSession) -> bool:
        """Return whether the user of ``session`` may use the application (``check_access``).

        An application that need not exist, and does not, may be used by everybody. Without a login
        Authentik always says yes. Raises :exc:`UpstreamError`.
        """
        slug = quote(self.slug)
        url = f"{self.authentik_url}/api/v3/core/applications/{slug}/check_access/"
        response = await session.get(url, RequestKind.ACCESS)
        if response.status == 404:
            if self.named:
                raise UpstreamError(Reason.APPLICATION_MISSING)
            return True
        passing = read_json(response).get("passing")
        if not isinstance(passing, bool):
            raise UpstreamError(Reason.UPSTREAM_BODY)
        return passing

    async def fetch_tokens(
        self, wanted: CodeRequest, session: FlowSession
    ) -> UpstreamTokenResponse:
        """Fetch tokens for the user of ``session`` by an authorization code grant with PKCE.

        The redirect with the code is read, never followed. Raises :exc:`UpstreamError`.
        """
        verifier = token_urlsafe(48)
        challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        state = token_urlsafe()
        query = {
            "response_type": "code",
            "client_id": wanted.client_id,
            "redirect_uri": wanted.redirect_uri,
            "scope": " ".join(wanted.scope),
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **({} if wanted.nonce is None else {"nonce": wanted.nonce}),
        }
        url = f"{self.authentik_url}/application/o/authorize/?{urlencode(query)}"
        code = _code(await session.get(url, RequestKind.TOKENS), wanted.redirect_uri, state)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": wanted.redirect_uri,
            "client_id": wanted.client_id,
            "code_verifier": verifier,
            **({} if wanted.client_secret is None else {"client_secret": wanted.client_secret}),
        }
        return read_tokens(await self.request_tokens(form, None, session))

    async def request_tokens(
        self, form: Mapping[str, str], authorization: str | None, session: FlowSession
    ) -> Response:
        """Return the response of the token endpoint. Not retried: a code works once."""
        url = f"{self.authentik_url}/application/o/token/"
        return await session.post_form(url, RequestKind.TOKENS, form, authorization)

    async def userinfo(self, authorization: str, session: FlowSession) -> Response:
        """Return the response of the userinfo endpoint to an Authorization header."""
        url = f"{self.authentik_url}/application/o/userinfo/"
        return await session.get(url, RequestKind.USERINFO, authorization)

    async def introspect(self, form: Mapping[str, str], session: FlowSession) -> Response:
        """Return the response of the introspection endpoint (RFC 7662)."""
        url = f"{self.authentik_url}/application/o/introspect/"
        return await session.post_form(url, RequestKind.INTROSPECTION, form)

    async def discovery(self, session: FlowSession) -> JSONObject | None:
        """Fetch the discovery document; ``None`` if the application does not exist and need not.

        Raises :exc:`UpstreamError`.
        """
        response = await session.get(self.discovery_url, RequestKind.METADATA)
        if response.status != 404:
            return read_json(response)
        if self.named:
            raise UpstreamError(Reason.APPLICATION_MISSING)
        return None

    async def jwks(self, session: FlowSession) -> JSONObject:
        """Fetch the key set, ``{}`` if the provider has no key. Raises :exc:`UpstreamError`."""
        return read_json(await session.get(f"{self._provider}/jwks/", RequestKind.METADATA))

    @property
    def discovery_url(self) -> str:
        """The URL of the discovery document."""
        return f"{self._provider}/.well-known/openid-configuration"

    @property
    def _provider(self) -> str:
        return f"{self.authentik_url}/application/o/{quote(self.slug)}"


def read_tokens(response: Response) -> UpstreamTokenResponse:
    """Return the tokens in a 200 response. Raises :exc:`UpstreamError` for any other response."""
    return cast(UpstreamTokenResponse, read_json(response))  # A JSON object fits every member.


def _code(response: Response, redirect_uri: str, state: str) -> str:
    """Return the code in the redirect to ``redirect_uri`` (RFC 6749 section 4.1.2)."""
    target, _, query = (response.location or "").partition("?")
    if response.status == 302 and target == redirect_uri.partition("?")[0]:
        parameters = parse_qs(urlsplit("?" + query).query)
        if parameters.get("state") == [state] and len(parameters.get("code", ())) == 1:
            return parameters["code"][0]
    raise UpstreamError(Reason.APPLICATION_NO_CODE)
