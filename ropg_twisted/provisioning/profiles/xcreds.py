"""XCreds, an open-source login window for Macs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ropg_twisted.diagnostics.findings import Finding
from ropg_twisted.errors import InteractionRequiredError, MFARequiredError
from ropg_twisted.provisioning.profiles.keys import Keys, Kind, check_keys
from ropg_twisted.provisioning.profiles.mobileconfig import mobileconfig
from ropg_twisted.provisioning.profiles.registration import Registration
from ropg_twisted.provisioning.profiles.rules import (
    check_client,
    check_redirect_uri,
    check_secret,
    check_url,
    client_of,
)
from ropg_twisted.provisioning.profiles.section import Section
from ropg_twisted.server.responses import error_payload, to_json
from ropg_twisted.settings.model import Client, Settings, SigningAlgorithm

DOMAIN: Final = "com.twocanoes.xcreds"
PAGE: Final = "xcreds.md"

REDIRECT_URI: Final = "https://127.0.0.1/xcreds"
"""The redirect URI of a client that has none in the settings."""

SCOPES: Final = "openid profile email offline_access"

PASSWORD_CHECKS: Final = (
    "shouldUseROPGForPasswordChangeChecking",
    "shouldUseROPGForMenuLogin",
    "shouldUseROPGForLoginWindowLogin",
)
"""The keys that turn on password checks."""

SUCCESS_BODIES: Final = tuple(
    to_json(error_payload(error)).decode("ascii")
    for error in (MFARequiredError(), InteractionRequiredError())
)
"""The bodies that mean a right password. XCreds compares the whole body."""

KEYS: Final[Keys] = {
    **dict.fromkeys(
        ("discoveryURL", "clientID", "clientSecret", "redirectURI", "scopes"), Kind.TEXT
    ),
    **dict.fromkeys(
        (
            *PASSWORD_CHECKS,
            "shouldUseBasicAuthWithROPG",
            "shouldUseBasicAuth",
            "shouldVerifyPasswordWithRopg",
            "verifyPassword",
        ),
        Kind.FLAG,
    ),
    **dict.fromkeys(("refreshRateHours", "refreshRateMinutes"), Kind.NUMBER),
    "ropgResponseValue": Kind.TEXTS,
}
"""The keys that matter here. There are many more, for texts and pictures."""

UNREAD: Final = {
    "ropgClientID": "Versions since 4.0 have one client: set clientID.",
    "ropgClientSecret": "Versions since 4.0 have one client: set clientSecret.",
}


def profile(registration: Registration) -> bytes:
    """Return a configuration profile."""
    keys: dict[str, object] = {
        "discoveryURL": registration.own_discovery_url,
        "clientID": registration.client.id,
        "redirectURI": registration.client.redirect_uri or REDIRECT_URI,
        "scopes": SCOPES,
        **dict.fromkeys(PASSWORD_CHECKS, True),
        "ropgResponseValue": list(SUCCESS_BODIES),
    }
    if registration.secret is not None:
        keys["clientSecret"] = registration.secret
    return mobileconfig(registration, "XCreds", {DOMAIN: keys})


def notes(registration: Registration) -> Iterator[str]:
    """Yield what is left to do after a profile was written."""
    if registration.client.redirect_uri is None:
        yield f"The redirect URI is {REDIRECT_URI}. Register it in Authentik's provider."
    section = Section(DOMAIN, PAGE, {})
    for finding in check_settings(section, registration.client, registration.settings):
        yield finding.message


def check(section: Section, settings: Settings) -> Iterator[Finding]:
    """Yield the findings about the keys, and about the settings of the client that they name."""
    yield from check_keys(section, KEYS, unread=UNREAD, others={})
    client = client_of(section, "clientID", settings)
    yield from check_client(section, "clientID", settings)
    yield from _check_discovery_url(section, client, settings)
    yield from check_secret(section, "clientSecret", client)
    if section.has("redirectURI"):
        yield from check_redirect_uri(section, "redirectURI", client)
    else:
        yield section.warning(
            "redirectURI",
            "is missing, so XCreds uses a default of its own, such as xcreds://auth/. Set it to "
            "the redirect URI of the provider in Authentik.",
        )
    yield from _check_scopes(section, client)
    yield from _check_password_checks(section)
    yield from _check_success_bodies(section)
    if client is not None:
        yield from check_settings(section, client, settings)


def check_settings(section: Section, client: Client, settings: Settings) -> Iterator[Finding]:
    """Yield the findings about settings of the daemon with which the client cannot work."""
    if settings.jwt_secret is not None or settings.signing_alg is SigningAlgorithm.EDDSA:
        name = "HS256 (JWT_SECRET)" if settings.jwt_secret is not None else "EdDSA"
        yield section.failure(
            "",
            f"The daemon signs with {name}, which newer versions of XCreds do not verify. Set "
            "ROPG_SIGNING_ALG to RS256 or ES256.",
        )
    if not client.drop_on_outage:
        yield section.failure(
            "",
            f"The client {client.id} gets 503 in an outage, which XCreds takes for a wrong "
            'password. Give it profile = "xcreds" or outage = "abort" in the settings file.',
        )
    if client.rates.address is not None:
        yield section.warning(
            "",
            f"The client {client.id} has a limit by address. Macs behind one address would get "
            "429, which XCreds takes for a wrong password. Give it limits without address, such "
            'as limits = "user 10 per 15 minutes", in the settings file.',
        )


def _check_discovery_url(
    section: Section, client: Client | None, settings: Settings
) -> Iterator[Finding]:
    registration = Registration(client or settings.clients[0], settings)
    expected = {registration.own_discovery_url: "the daemon"}
    if section.text("discoveryURL") == registration.discovery_url:
        if settings.drop_on_outage:
            expected = {registration.discovery_url: "the daemon"}
        else:
            yield section.warning(
                "discoveryURL",
                "does not name the client, so in an outage it is answered 503, and XCreds asks "
                f"for a password. Set it to {registration.own_discovery_url}.",
            )
            return
    yield from check_url(section, "discoveryURL", expected)


def _check_scopes(section: Section, client: Client | None) -> Iterator[Finding]:
    scopes = (section.text("scopes") or "").split()
    if not section.has("scopes"):
        yield section.warning("scopes", f"is missing. Set it to {SCOPES}.")
    elif scopes and "openid" not in scopes:
        yield section.failure("scopes", f"lacks openid: there is no id token. Set it to {SCOPES}.")
    elif len(scopes) == 1 and client is not None and client.unencoded:
        yield section.warning(
            "scopes",
            f"has one word, so version 5.4 cannot be told from 5.3. Set it to {SCOPES}.",
        )
    elif scopes:
        yield section.ok("scopes", "has openid.")


def _check_password_checks(section: Section) -> Iterator[Finding]:
    for key in PASSWORD_CHECKS:
        value = section.keys.get(key, False)
        if value is True:
            yield section.ok(key, "is true.")
        elif value is False:
            yield section.warning(
                key, "is not true, so passwords are not checked there. Set it to true."
            )


def _check_success_bodies(section: Section) -> Iterator[Finding]:
    key = "ropgResponseValue"
    bodies = section.texts(key)
    both = " and ".join(SUCCESS_BODIES)
    if not section.has(key):
        yield section.failure(
            key,
            "is missing. Its default can never match, because the whole body is compared: users "
            f"with a second factor read 'wrong password'. Set it to an array of {both}.",
        )
        return
    problems = dict.fromkeys(_problem(body) for body in bodies if body not in SUCCESS_BODIES)
    for problem in problems:
        yield section.failure(key, f"{problem}. Set it to an array of {both}.")
    missing = [body for body in SUCCESS_BODIES if body not in bodies]
    if not missing:
        yield section.ok(key, "has both bodies that mean a right password.")
    elif len(missing) < len(SUCCESS_BODIES):
        yield section.warning(key, f"lacks a body that means a right password: {missing[0]}.")


def _problem(body: str) -> str:
    """Return what is wrong with a text that means a right password to XCreds."""
    if body.strip() in SUCCESS_BODIES:
        return "has spaces or line ends around a body, so it can never match"
    if body == InteractionRequiredError.code:
        return "is the default, which can never match, because the whole body is compared"
    if '"error"' in body and InteractionRequiredError.code not in body:
        return "has the body of another error, which does not mean a right password"
    return "has a text that is not a body of the daemon, so it can never match"
