"""One application of Authentik and its OAuth2 provider, as the daemon asks them."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_urlsafe
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from ropg_twisted.authentik.challenges import JSONObject, Response, read_json
from ropg_twisted.authentik.client import FlowSession
from ropg_twisted.interfaces import CodeRequest
from ropg_twisted.verdict import Reason, UnverifiableError


@dataclass(frozen=True, slots=True)
class Application:
    """One application.

    ``authentik_url``: base URL without a slash at its end. ``named``: the operator has named it;
    else it is looked for under the name of the client, and need not be there.
    """

    authentik_url: str
    slug: str
    named: bool = True

    async def admits(self, session: FlowSession) -> bool:
        """Whether the person who is logged in with ``session`` may use it (``check_access``).

        An application that is not there admits everybody, unless it has been named. Without a
        session Authentik always says yes. Raises :exc:`UnverifiableError`.
        """
        slug = quote(self.slug)
        url = f"{self.authentik_url}/api/v3/core/applications/{slug}/check_access/"
        response = await session.get(url)
        if response.status == 404:
            if self.named:
                raise UnverifiableError(Reason.APPLICATION_MISSING)
            return True
        passing = read_json(response).get("passing")
        if not isinstance(passing, bool):
            raise UnverifiableError(Reason.UPSTREAM_BODY)
        return passing

    async def fetch_tokens(self, wanted: CodeRequest, session: FlowSession) -> JSONObject:
        """Tokens of the person who is logged in with ``session``, by an authorization code.

        The redirect that brings the code is read, never followed. Raises :exc:`UnverifiableError`.
        """
        proof = token_urlsafe(48)
        challenge = urlsafe_b64encode(sha256(proof.encode()).digest()).rstrip(b"=").decode()
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
        code = _code(await session.get(url), wanted.redirect_uri, state)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": wanted.redirect_uri,
            "client_id": wanted.client_id,
            "code_verifier": proof,
            **({} if wanted.client_secret is None else {"client_secret": wanted.client_secret}),
        }
        return read_json(await self.ask_for_tokens(form, None, session))

    async def ask_for_tokens(
        self, form: Mapping[str, str], authorization: str | None, session: FlowSession
    ) -> Response:
        """What the token endpoint answers; asked once, because a code works once."""
        url = f"{self.authentik_url}/application/o/token/"
        return await session.post_form(url, form, authorization)

    async def userinfo(self, authorization: str, session: FlowSession) -> Response:
        """What the userinfo endpoint answers to a bearer of one of Authentik's access tokens."""
        return await session.get(f"{self.authentik_url}/application/o/userinfo/", authorization)

    async def discovery(self, session: FlowSession) -> JSONObject | None:
        """Its discovery document; ``None`` if it is not there and need not be.

        Raises :exc:`UnverifiableError`.
        """
        url = f"{self._provider}/.well-known/openid-configuration"
        response = await session.get(url)
        if response.status != 404:
            return read_json(response)
        if self.named:
            raise UnverifiableError(Reason.APPLICATION_MISSING)
        return None

    async def jwks(self, session: FlowSession) -> JSONObject:
        """Its key set, ``{}`` from a provider without a key. Raises :exc:`UnverifiableError`."""
        return read_json(await session.get(f"{self._provider}/jwks/"))

    @property
    def _provider(self) -> str:
        return f"{self.authentik_url}/application/o/{quote(self.slug)}"


def _code(response: Response, redirect_uri: str, state: str) -> str:
    """The code in the redirect to ``redirect_uri`` (RFC 6749 section 4.1.2)."""
    target, _, query = (response.location or "").partition("?")
    if response.status == 302 and target == redirect_uri.partition("?")[0]:
        answer = parse_qs(urlsplit("?" + query).query)
        if answer.get("state") == [state] and len(answer.get("code", ())) == 1:
            return answer["code"][0]
    raise UnverifiableError(Reason.APPLICATION_NO_CODE)
