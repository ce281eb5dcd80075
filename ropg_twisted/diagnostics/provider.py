"""Checks of the application in Authentik and of its OAuth2 provider."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

from ropg_twisted.authentik.challenges import Response, parse_json
from ropg_twisted.authentik.metadata import ProviderMetadata
from ropg_twisted.diagnostics.configuration import LOOPBACK_HOSTS
from ropg_twisted.diagnostics.findings import Finding, State
from ropg_twisted.diagnostics.installation import Installation
from ropg_twisted.diagnostics.texts import failure, from_reason, ok, warning
from ropg_twisted.interfaces import RequestKind
from ropg_twisted.remedies import DOCUMENTATION
from ropg_twisted.settings.model import RELAYED_GRANTS, Client
from ropg_twisted.types import JSONObject
from ropg_twisted.verdict import Reason, UpstreamError

JAMF_REDIRECT_URI: Final = "https://127.0.0.1/jamfconnect"
"""The redirect URI that Jamf Connect uses by default, for clients whose own is not set."""

_NONSENSE: Final = "ropg-check"
"""A refresh token that nobody has."""

_PAGE: Final = "authentik.md#the-application"
_HELP: Final = DOCUMENTATION + _PAGE


async def check_application(installation: Installation) -> AsyncIterator[Finding]:
    """Yield the findings about the application, its keys, its clients and who may use it."""
    application, settings = installation.application, installation.settings
    metadata = ProviderMetadata(
        application, installation.authentik, settings.deadline, installation.reactor
    )
    try:
        document = await metadata.discovery()
    except UpstreamError as error:
        yield from_reason("application", error.reason)
        return
    if document is None:
        text = (
            f"Authentik has no application {application.slug}: everybody with a right password "
            "gets tokens, and codes and refresh tokens are refused. Create the application, or "
            "set ROPG_APP_SLUG."
        )
        yield warning("application", text, _PAGE)
        return
    yield ok("application", f"{application.slug} exists.")
    for finding in _document(installation, document):
        yield finding
    yield await _signing_key(installation, metadata)
    async for finding in _access(installation):
        yield finding
    for client in installation.clients:
        async for finding in _client(installation, client):
            yield finding


def _document(installation: Installation, document: JSONObject) -> list[Finding]:
    """Return the findings about Authentik's discovery document."""
    findings = []
    login = urlsplit(str(document.get("authorization_endpoint", "")))
    if login.scheme != "https" and login.hostname not in LOOPBACK_HOSTS:
        text = (
            f"Browsers are sent to {login.scheme}://{login.netloc} to log in, because "
            "AUTHENTIK_URL is that: set it to the https URL that Macs use."
        )
        findings.append(warning("application-url", text, "settings.md#authentik"))
    scopes = document.get("scopes_supported")
    needs_refresh = any(
        client.upstream_tokens and "refresh_token" in client.grants
        for client in installation.clients
    )
    if needs_refresh and isinstance(scopes, list) and "offline_access" not in scopes:
        text = (
            "The provider has no scope mapping offline_access, so nobody gets a refresh token: add "
            "it in Authentik."
        )
        findings.append(warning("application-scopes", text, "authentik.md#upstream-tokens"))
    return findings


async def _signing_key(installation: Installation, metadata: ProviderMetadata) -> Finding:
    try:
        keys = await metadata.jwks()
    except UpstreamError as error:
        return from_reason("application-key", error.reason)
    if keys:
        return ok("application-key", "The provider has a signing key.")
    needed = any(client.upstream_tokens for client in installation.clients)
    state = State.FAILURE if needed else State.WARNING
    return from_reason("application-key", Reason.PROVIDER_WITHOUT_KEY, state)


async def _access(installation: Installation) -> AsyncIterator[Finding]:
    """Yield whether the application is open to anybody at all.

    Authentik says yes without a login. A no means that nobody may use the application, for example
    because it has no bindings and ``core_default_app_access`` is off.
    """
    if not installation.settings.checks_access:
        yield ok("application-access", "Not asked, because of ROPG_CHECK_ACCESS=off.")
        return
    session = installation.session()
    try:
        passing = await installation.ask(installation.application.check_access(session))
    except UpstreamError as error:
        yield from_reason("application-access", error.reason)
        return
    if passing:
        text = "Authentik says who may use it. Only a check with --user shows it for one user."
        yield ok("application-access", text)
    else:
        text = (
            f"{installation.application.slug} is open to nobody: bind a group to it in Authentik."
        )
        yield failure("application-access", text, _PAGE)


async def _client(installation: Installation, client: Client) -> AsyncIterator[Finding]:
    """Yield whether Authentik knows a client that exchanges codes or refresh tokens there."""
    if not client.upstream_tokens and not set(client.grants) & set(RELAYED_GRANTS):
        return
    name, state = "client", State.FAILURE if client.upstream_tokens else State.WARNING
    try:
        error = await _token_error(installation, client)
        if error == "invalid_client":
            text = (
                f"No provider in Authentik has the client ID {client.id} with this secret. Its "
                "codes and refresh tokens are refused; passwords are checked all the same."
            )
            yield Finding(name, state, text, _HELP)
            return
        if error != "invalid_grant":
            text = f"The token endpoint of Authentik answers {client.id} with {error}."
            yield Finding(name, state, text, _HELP)
            return
        yield ok(name, f"Authentik knows {client.id}.")
        yield await _authorization(installation, client)
    except UpstreamError as problem:
        yield from_reason(name, problem.reason, state)


async def _token_error(installation: Installation, client: Client) -> str:
    """Return the error code for a refresh token that nobody has, a status if there is none."""
    form = {"grant_type": "refresh_token", "refresh_token": _NONSENSE, "client_id": client.id}
    if client.secret is not None:
        form["client_secret"] = client.secret
    session = installation.session()
    request = installation.application.request_tokens(form, None, session)
    response = await installation.ask(request)
    error = parse_json(response).get("error")
    return error if isinstance(error, str) and error.isidentifier() else f"HTTP {response.status}"


async def _authorization(installation: Installation, client: Client) -> Finding:
    """Return the finding about an authorization request, which ends before the login."""
    redirect_uri = client.redirect_uri or JAMF_REDIRECT_URI
    query = {
        "response_type": "code",
        "client_id": client.id,
        "redirect_uri": redirect_uri,
        "scope": "openid",
        "state": _NONSENSE,
        "nonce": _NONSENSE,
    }
    url = f"{installation.settings.authentik_url}/application/o/authorize/?{urlencode(query)}"
    session = installation.session()
    response = await installation.ask(session.get(url, RequestKind.PROBE))
    name = "client-login"
    state = State.FAILURE if client.upstream_tokens else State.WARNING
    match _authorization_error(response, redirect_uri):
        case "":
            return ok(name, f"{client.id} may log in with {redirect_uri}.")
        case "redirect_uri" if client.redirect_uri is None:
            text = f"Not checked for {client.id}: set its redirect_uri in the file of settings."
            return ok(name, text)
        case "redirect_uri":
            text = f"The provider of {client.id} does not have {redirect_uri}: add it in Authentik."
            return Finding(name, state, text, _HELP)
        case "invalid_request":
            text = (
                f"Authentik calls the login of {client.id} malformed: most likely its provider has "
                "no grant types (grant_types), as after an import. Choose authorization_code and "
                "refresh_token in the provider."
            )
            return Finding(name, state, text, _HELP)
        case error:
            text = f"Authentik refuses the login of {client.id} with {error}: see its log."
            return Finding(name, state, text, _HELP)


def _authorization_error(response: Response, redirect_uri: str) -> str:
    """Return the error of an authorization request, empty if the login comes next.

    The error is ``redirect_uri`` if the client may not use that one. Then Authentik shows a page.
    """
    if response.status == 400:
        return "redirect_uri"
    if response.status != 302:
        return f"HTTP {response.status}"
    target, _, query = (response.location or "").partition("?")
    if target != redirect_uri:
        return ""
    errors = parse_qs(query).get("error", [""])
    return errors[0] if errors[0].isidentifier() else ""
