"""Rules that hold for the keys of more than one program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from hmac import compare_digest
from typing import Final
from urllib.parse import urlsplit

from ropg_twisted.diagnostics.findings import Finding
from ropg_twisted.provisioning.profiles.registration import SECRET_PLACEHOLDER
from ropg_twisted.provisioning.profiles.section import Section
from ropg_twisted.settings.model import PASSWORD_GRANT, Client, Settings

PORTS: Final = {"http": 80, "https": 443}


def check_url(section: Section, key: str, expected: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the finding about a URL, which must be one of ``expected``.

    ``expected``: the meaning of each URL, such as "the daemon".
    """
    url = section.text(key) or ""
    wanted = " or ".join(f"{wanted} ({meaning})" for wanted, meaning in expected.items())
    if not section.has(key):
        yield section.failure(key, f"is missing. Set it to {wanted}.")
    elif url in expected:
        yield section.ok(key, f"leads to {expected[url]}.")
        if urlsplit(url).scheme == "http" and not _is_loopback(url):
            yield section.warning(key, "is not https, which macOS requires.")
    elif url:
        nearest = max(expected, key=lambda each: _common(each, url))
        yield section.failure(key, f"{_difference(url, nearest)}. Set it to {wanted}.")


def check_client(section: Section, key: str, settings: Settings) -> Iterator[Finding]:
    """Yield the finding about the client id of password checks, which the settings must have."""
    known = ", ".join(client.id for client in settings.clients)
    if not section.has(key):
        yield section.failure(key, f"is missing. Set it to a client of the daemon: {known}.")
    elif (client := client_of(section, key, settings)) is not None:
        if PASSWORD_GRANT in client.grants:
            yield section.ok(key, f"is the client {client.id} of the daemon.")
        else:
            yield section.failure(
                key,
                f"is the client {client.id}, whose grants in the daemon's settings do not include "
                f"{PASSWORD_GRANT}. Add it there.",
            )
    elif section.text(key) is not None:
        # The value is not shown: it may be a secret in the wrong place.
        yield section.failure(
            key,
            "is not a client in the daemon's settings, so every check would be refused as "
            f"invalid_client, which looks like a wrong password. The settings have: {known}.",
        )


def client_of(section: Section, key: str, settings: Settings) -> Client | None:
    """Return the client of the settings that a key names."""
    client_id = section.text(key)
    return next((client for client in settings.clients if client.id == client_id), None)


def check_secret(section: Section, key: str, client: Client | None) -> Iterator[Finding]:
    """Yield the finding about the secret for password checks. It is compared, and never shown."""
    if client is None:
        return
    expected, secret = client.expected_secret_hash, section.text(key)
    if expected is None:
        if section.has(key):
            yield section.warning(
                key,
                f"is set, but the client {client.id} has no secret in the daemon's settings, so "
                "every secret is accepted. Remove it here, or set it there.",
            )
    elif not section.has(key):
        yield section.failure(
            key,
            f"is missing, but the client {client.id} has a secret in the daemon's settings. Every "
            "check would be refused as invalid_client, which looks like a wrong password.",
        )
    elif secret == SECRET_PLACEHOLDER:
        yield section.failure(key, "is still the placeholder. Put the client's secret there.")
    elif secret is not None:
        if compare_digest(expected, sha256(secret.encode("utf-8", "replace")).digest()):
            yield section.ok(key, "is the secret in the daemon's settings.")
        else:
            yield section.failure(
                key,
                f"differs from the secret of the client {client.id} in the daemon's settings. "
                "Every check would be refused as invalid_client, which looks like a wrong "
                "password.",
            )


def check_redirect_uri(section: Section, key: str, client: Client | None) -> Iterator[Finding]:
    """Yield the finding about a redirect URI."""
    uri = section.text(key)
    if not section.has(key):
        yield section.failure(
            key, "is missing. Set it to the redirect URI of the provider in Authentik."
        )
    elif uri is not None:
        registered = client.redirect_uri if client is not None else None
        if not _has_scheme(uri):
            yield section.failure(key, "is not a URI, such as https://127.0.0.1/callback.")
        elif registered is not None and uri != registered:
            yield section.failure(
                key, f"differs from the redirect_uri of the daemon's settings, {registered}."
            )
        elif registered is not None:
            yield section.ok(key, "is the redirect_uri of the daemon's settings.")
        else:
            yield section.ok(key, "must be registered in Authentik's provider, to the letter.")


def _has_scheme(uri: str) -> bool:
    try:
        return bool(urlsplit(uri).scheme)
    except ValueError:
        return False


def _is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


def _common(one: str, other: str) -> int:
    """Return the length of the beginning that two texts have in common."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))


def _difference(url: str, wanted: str) -> str:
    """Return how a URL differs from the one that is wanted, without what may be secret in it."""
    try:
        found, right = urlsplit(url), urlsplit(wanted)
        places = (found.hostname, found.port or PORTS.get(found.scheme))
        right_places = (right.hostname, right.port or PORTS.get(right.scheme))
    except ValueError:
        return "is not a URL"
    if not found.scheme or not found.hostname:
        return "is not a URL"
    if found.username is not None or found.password is not None:
        return "has a user name or a password"
    if found.scheme != right.scheme:
        return f"begins with {found.scheme}, not with {right.scheme}"
    if places != right_places:
        return f"leads to {found.hostname}:{places[1]}"
    if found.path.rstrip("/") == right.path.rstrip("/") and found.path != right.path:
        return "has a slash at its end too many or too few"
    if found.path != right.path:
        return f"has the path {found.path[:100] or '/'}"
    return "differs in its query, or in the case of letters"
