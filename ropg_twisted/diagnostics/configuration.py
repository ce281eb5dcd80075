"""Checks of the settings alone. Nothing but their own sources is read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import urlsplit

from twisted.internet.endpoints import serverFromString

from ropg_twisted.diagnostics.findings import Finding
from ropg_twisted.diagnostics.texts import failure, ok, warning
from ropg_twisted.settings.combinations import warnings
from ropg_twisted.settings.model import Client, Settings, SigningAlgorithm
from ropg_twisted.types import IReactor

LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "::1")

PEAK: Final = 10
"""Checks at the busiest time, as a multiple of the average."""

FEW_MACS: Final = 50
"""Macs behind one address that every limit should allow."""

WITH_FILES: Final = ("ssl", "tls", "systemd", "unix", "haproxy")
"""Kinds of endpoints that need files, or something else that the host has."""


def check_settings(
    settings: Settings, clients: Iterable[Client], reactor: IReactor
) -> Iterator[Finding]:
    """Yield the findings about valid settings. ``clients``: those to look at."""
    clients = tuple(clients)
    yield ok(
        "settings",
        f"{_count(len(settings.clients), 'client')}, flow {settings.flow_slug}, "
        f"Authentik at {settings.authentik_url}, issuer {settings.issuer}.",
    )
    for line in warnings(settings):
        yield warning("settings", f"{line}.", "settings.md#all-settings")
    for check in (_authentik_url, _issuer, _signing, _proxies):
        yield from check(settings)
    yield from _endpoints(settings, reactor)
    yield from _limits(clients)


def _authentik_url(settings: Settings) -> Iterator[Finding]:
    url = urlsplit(settings.authentik_url)
    if settings.sandbox_port is not None:
        text = (
            "AUTHENTIK_URL is the built-in sandbox, whose passwords are public: not for real users."
        )
        yield warning("authentik-url", text, "settings.md#authentik")
    elif url.scheme == "http" and url.hostname not in LOOPBACK_HOSTS:
        text = "AUTHENTIK_URL is http, so passwords travel in clear: use https."
        yield warning("authentik-url", text, "security.md#threats")


def _issuer(settings: Settings) -> Iterator[Finding]:
    url = urlsplit(settings.issuer)
    if url.hostname in LOOPBACK_HOSTS:
        text = "PROXY_ISSUER is an address of this machine only: set it to the URL that Macs use."
        yield warning("issuer", text, "settings.md#clients-and-tokens")
    elif url.scheme == "http":
        text = "PROXY_ISSUER is http, but Macs connect with https only: set it to the https URL."
        yield failure("issuer", text, "operations.md#tls")


def _signing(settings: Settings) -> Iterator[Finding]:
    algorithm = settings.signing_alg.value if settings.jwt_secret is None else "HS256"
    if algorithm in (SigningAlgorithm.RS256, SigningAlgorithm.ES256):
        yield ok("signing-algorithm", f"{algorithm}, which every client verifies.")
        return
    setting = "JWT_SECRET" if settings.jwt_secret is not None else "ROPG_SIGNING_ALG"
    text = (
        f"{setting} signs tokens with {algorithm}, which XCreds and others cannot verify: use "
        "RS256 or ES256."
    )
    yield warning("signing-algorithm", text, "clients.md#all-clients")


def _proxies(settings: Settings) -> Iterator[Finding]:
    """Yield a warning if clients seem to come through a proxy whose headers are not believed."""
    behind_proxy = [where for where in settings.listen if _is_local(where)]
    if not behind_proxy or settings.trusted_proxies.networks or settings.trusted_proxies.unix:
        return
    text = (
        f"The daemon listens for this machine only ({behind_proxy[0]}), so all Macs come through a "
        "proxy and share one address and its limits: put the proxy into ROPG_TRUSTED_PROXIES."
    )
    yield warning("trusted-proxies", text, "operations.md#behind-nginx-or-haproxy")


def _is_local(where: str) -> bool:
    if where.startswith("unix:"):
        return True
    return not where.startswith("haproxy:") and bool(
        re.search(r":interface=(127\.|localhost\b|\\:\\:1\b)", where)
    )


def _endpoints(settings: Settings, reactor: IReactor) -> Iterator[Finding]:
    """Yield a failure for each endpoint string that can never work. No endpoint is opened."""
    where = [("ROPG_LISTEN", each) for each in settings.listen]
    if settings.admin_listen is not None:
        where.append(("ROPG_ADMIN_LISTEN", settings.admin_listen))
    for setting, each in where:
        if each.partition(":")[0] in WITH_FILES:
            continue
        try:
            serverFromString(reactor, each)
        except Exception as error:  # The parsers of endpoint strings raise what they like.
            text = f"{setting}: {each} is not an endpoint ({error}); for example: tcp:8580"
            yield failure("listen", text, "settings.md#endpoint-strings")


def _limits(clients: Iterable[Client]) -> Iterator[Finding]:
    for client in clients:
        rate = client.rates.address
        if rate is None:
            yield ok("limits", f"No limit of checks from one address for {client.id}.")
            continue
        macs = int(rate.amount * 3600 / rate.get_expiry() / PEAK)
        text = (
            f"{rate.amount} checks in {rate.get_expiry()} seconds from one address for "
            f"{client.id}: enough for about {_count(macs, 'Mac')} there that ask once an hour."
        )
        if macs >= FEW_MACS:
            yield ok("limits", text)
        else:
            text += " If there are more, raise the limit of the address in ROPG_LIMITS."
            yield warning(
                "limits", text, "operations.md#limits-and-the-cache-of-rejected-passwords"
            )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
