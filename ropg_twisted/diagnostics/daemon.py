"""Checks of the running daemon at its issuer: certificate, readiness and discovery, as a Mac."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Final
from urllib.parse import urlsplit

from ropg_twisted.authentik.challenges import Response, parse_json
from ropg_twisted.authentik.client import AuthentikClient, make_client
from ropg_twisted.authentik.client_ip import ClientIPHeaders
from ropg_twisted.diagnostics.findings import Finding, State
from ropg_twisted.diagnostics.handshake import connect_tls
from ropg_twisted.diagnostics.installation import Installation
from ropg_twisted.diagnostics.listeners import own_certificate
from ropg_twisted.diagnostics.texts import failure, from_reason, ok, skipped, warning
from ropg_twisted.diagnostics.upstream import (
    connection_problem,
    host_and_port,
    resolve,
    tls_words,
)
from ropg_twisted.interfaces import RequestKind
from ropg_twisted.oauth.metadata import DISCOVERY_PATH, JWKS_PATH, TOKEN_PATH
from ropg_twisted.types import JSONObject
from ropg_twisted.verdict import Reason, UpstreamError

_TLS: Final = "operations.md#tls"
_DISCOVERY: Final = "answers.md#discovery-keys-userinfo"


async def check_daemon(installation: Installation) -> AsyncIterator[Finding]:
    """Yield the findings about the daemon as clients reach it, if it runs."""
    settings = installation.settings
    host, port = host_and_port(settings.issuer)
    if not await resolve(host, installation.reactor, settings.deadline):
        text = f"{host}, the host of PROXY_ISSUER, has no address here: Macs need one."
        yield warning("daemon", text, "settings.md#clients-and-tokens")
        return
    problem = await connection_problem(host, port, installation.reactor, settings.deadline)
    if problem is not None:
        text = f"Nothing to see at PROXY_ISSUER yet: {problem} Start the daemon, then check again."
        yield warning("daemon", text, "operations.md#systemd")
        return
    ca_pem = None
    if urlsplit(settings.issuer).scheme == "https":
        try:
            handshake = await installation.ask(connect_tls(host, port, None, installation.reactor))
        except Exception as error:  # Whatever listens there may fail in many ways.
            text = (
                f"{host} does not speak what a Mac needs: TLS 1.2 or later with forward secrecy "
                f"({tls_words(error)})."
            )
            yield failure("certificate", text, _TLS)
            return
        findings = list(own_certificate(handshake, host, installation.now()))
        for finding in findings:
            yield finding
        if any(finding.state is State.FAILURE for finding in findings):
            yield skipped("daemon", "certificate")
            return
        if handshake.untrusted is not None:
            yield _untrusted(host, handshake.untrusted)
            ca_pem = installation.ca_pem
            if not await _is_trusted(installation, host, port, ca_pem):
                return
    client = make_client(installation.reactor, settings.issuer, ca_pem, ClientIPHeaders())
    async for finding in _answers(installation, client):
        yield finding


def _untrusted(host: str, cause: str) -> Finding:
    text = (
        f"This machine does not trust the certificate of {host}: {cause}. Macs need its "
        "authority, from their MDM. To check the rest as well: SSL_CERT_FILE=FILE ropg check"
    )
    return warning("certificate-trust", text, _TLS)


async def _is_trusted(
    installation: Installation, host: str, port: int, ca_pem: bytes | None
) -> bool:
    """Return whether a client with the authorities of Authentik accepts the certificate."""
    if ca_pem is None:
        return False
    handshake = await installation.ask(connect_tls(host, port, ca_pem, installation.reactor))
    return handshake.untrusted is None


async def _answers(installation: Installation, client: AuthentikClient) -> AsyncIterator[Finding]:
    base = installation.settings.issuer.rstrip("/")
    try:
        health = await _get(installation, client, f"{base}/health")
        if health.status != 200 or parse_json(health).get("status") != "healthy":
            raise UpstreamError(Reason.UPSTREAM_BODY)
    except UpstreamError as error:
        text = (
            f"{base}/health is not an answer of the daemon ({error.reason.value}): something else "
            "is at PROXY_ISSUER, or the proxy in front of the daemon cannot reach it."
        )
        yield failure("daemon", text, "operations.md#behind-nginx-or-haproxy")
        return
    yield ok("daemon", f"The daemon answers at {base}.")
    try:
        yield _readiness(parse_json(await _get(installation, client, f"{base}/ready")))
        document = parse_json(await _get(installation, client, f"{base}{DISCOVERY_PATH}"))
        keys = parse_json(await _get(installation, client, f"{base}{JWKS_PATH}")).get("keys")
    except UpstreamError as error:
        yield failure("discovery", f"{base} did not answer ({error.reason.value}).", _DISCOVERY)
        return
    problems = list(discovery_problems(document, keys, installation.settings.issuer))
    for problem in problems:
        yield failure("discovery", problem, _DISCOVERY)
    if not problems:
        yield ok("discovery", "A strict client accepts the discovery document and the keys.")


def _readiness(answer: JSONObject) -> Finding:
    for name, state in (("reason", State.FAILURE), ("warning", State.WARNING)):
        for reason in Reason:
            if answer.get(name) == reason.value:
                return from_reason("ready", reason, state, "The running daemon says:")
    if answer.get("status") == "ready":
        return ok("ready", "The daemon is ready to check passwords.")
    text = "The daemon does not say whether it is ready: see its log."
    return failure("ready", text, "answers.md#health-and-readiness")


def discovery_problems(document: JSONObject, keys: object, issuer: str) -> Iterator[str]:
    """Yield what a strict client refuses (OpenID Connect Discovery 1.0 sections 3 and 4.3).

    ``keys``: the member of the JWK Set.
    """
    if "error" in document:
        yield "There is no discovery document, because Authentik is not available to the daemon."
        return
    if document.get("issuer") != issuer:
        text = str(document.get("issuer"))
        yield f"The daemon calls itself {text}, not {issuer}: restart it with these settings."
    base = issuer.rstrip("/")
    for name, path in (("token_endpoint", TOKEN_PATH), ("jwks_uri", JWKS_PATH)):
        if document.get(name) != base + path:
            yield f"{name} is not {base}{path}: something in front of the daemon changes it."
    if not isinstance(document.get("authorization_endpoint"), str):
        yield "authorization_endpoint is missing."
    algorithms = document.get("id_token_signing_alg_values_supported")
    if not isinstance(algorithms, list) or not algorithms:
        yield "No signing algorithm is named."
    elif "HS256" not in algorithms:
        published = keys if isinstance(keys, list) else []
        names = [key.get("alg") for key in published if isinstance(key, dict)]
        if not set(algorithms) & set(names):
            yield f"No key for {', '.join(map(str, algorithms))} is published."


async def _get(installation: Installation, client: AuthentikClient, url: str) -> Response:
    session = client.session(None, fresh=True)
    return await installation.ask(session.get(url, RequestKind.PROBE))
