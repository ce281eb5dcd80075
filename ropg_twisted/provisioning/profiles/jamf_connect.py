"""Jamf Connect: login window, and menu bar, which is called Self Service+ since version 3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ropg_twisted.diagnostics.findings import Finding
from ropg_twisted.errors import (
    AccessDeniedError,
    InteractionRequiredError,
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    SlowDownError,
    TemporarilyUnavailableError,
)
from ropg_twisted.oauth.claims import CLAIMS
from ropg_twisted.provisioning.profiles.jamf_connect_keys import (
    CHECK_TIME,
    IDP_SETTINGS_KEYS,
    LOGIN_WINDOW,
    LOGIN_WINDOW_KEYS,
    MENU_BAR,
    MENU_BAR_KEYS,
    PASSWORD_POLICIES_KEYS,
    PLACES,
    UNREAD_IDP_SETTINGS,
)
from ropg_twisted.provisioning.profiles.keys import check_keys
from ropg_twisted.provisioning.profiles.mobileconfig import mobileconfig
from ropg_twisted.provisioning.profiles.registration import SECRET_PLACEHOLDER, Registration
from ropg_twisted.provisioning.profiles.rules import (
    check_client,
    check_redirect_uri,
    check_secret,
    check_url,
    client_of,
)
from ropg_twisted.provisioning.profiles.section import Section
from ropg_twisted.settings.model import Settings

PAGE: Final = "jamf-connect.md"

REDIRECT_URI: Final = "https://127.0.0.1/jamfconnect"
"""The redirect URI of a client that has none in the settings."""

NETWORK_CHECK: Final = 60
"""Minutes between the checks from the menu bar: the vendor's default."""

SUCCESS_CODE: Final = InteractionRequiredError.code
"""The error code that means a right password."""

OTHER_CODES: Final = frozenset(
    error.code
    for error in (
        AccessDeniedError,
        InvalidClientError,
        InvalidGrantError,
        InvalidRequestError,
        SlowDownError,
        TemporarilyUnavailableError,
    )
)
"""The error codes that do not mean a right password."""


def profile(registration: Registration, *, web_login_here: bool = False) -> bytes:
    """Return a configuration profile.

    ``web_login_here``: the login in a web view uses the daemon's discovery document, in place of
    Authentik's.
    """
    client = registration.client
    redirect_uri = client.redirect_uri or REDIRECT_URI
    login_window: dict[str, object] = {
        "OIDCProvider": "Custom",
        "OIDCDiscoveryURL": registration.discovery_url
        if web_login_here
        else registration.authentik_discovery_url,
        "OIDCClientID": client.id,
        "OIDCRedirectURI": redirect_uri,
        "OIDCNewPassword": False,
        "OIDCROPGID": client.id,
        "ROPGProvider": "Custom",
        "ROPGDiscoveryURL": registration.discovery_url,
        "ROPGRedirectURI": redirect_uri,
        "ROPGSuccessCodes": [SUCCESS_CODE],
    }
    idp_settings: dict[str, object] = {
        "Provider": "Custom",
        "ROPGID": client.id,
        "DiscoveryURL": registration.discovery_url,
        "SuccessCodes": [SUCCESS_CODE],
    }
    if registration.secret is not None:
        login_window |= dict.fromkeys(("OIDCClientSecret", "ROPGClientSecret"), registration.secret)
        idp_settings["ClientSecret"] = registration.secret
    menu_bar = {
        "IdPSettings": idp_settings,
        "PasswordPolicies": {"NetworkCheck": NETWORK_CHECK},
    }
    payloads = {LOGIN_WINDOW: login_window, MENU_BAR: menu_bar}
    return mobileconfig(registration, "Jamf Connect", payloads)


def notes(registration: Registration) -> Iterator[str]:
    """Yield what is left to do after a profile was written."""
    if registration.client.redirect_uri is None:
        yield f"The redirect URI is {REDIRECT_URI}. Register it in Authentik's provider."
    yield (
        "Groups of administrators are not set: add OIDCAdmin (an array) and OIDCAdminAttribute "
        "(groups) if you need them."
    )


def check_login_window(section: Section, settings: Settings) -> Iterator[Finding]:
    """Yield the findings about the keys of the login window."""
    here = Registration(settings.clients[0], settings)
    yield from check_keys(section, LOGIN_WINDOW_KEYS, unread=CHECK_TIME, others=PLACES)
    yield from _check_provider(section, "OIDCProvider")
    yield from _check_web_login(section, here)
    yield from _check_new_password(section)
    yield from check_client(section, "OIDCROPGID", settings)
    yield from _check_provider(section, "ROPGProvider")
    yield from check_url(section, "ROPGDiscoveryURL", {here.discovery_url: "the daemon"})
    client = client_of(section, "OIDCROPGID", settings)
    if section.has("ROPGRedirectURI"):
        yield from check_redirect_uri(section, "ROPGRedirectURI", client)
    yield from check_secret(section, "ROPGClientSecret", client)
    yield from _check_success_codes(section, "ROPGSuccessCodes")
    yield from _check_admin(section)


def check_menu_bar(section: Section, settings: Settings) -> Iterator[Finding]:
    """Yield the findings about the keys of the menu bar."""
    here = Registration(settings.clients[0], settings)
    yield from check_keys(section, MENU_BAR_KEYS, unread=CHECK_TIME, others=PLACES)
    idp_settings = section.inner("IdPSettings")
    yield from check_keys(
        idp_settings, IDP_SETTINGS_KEYS, unread=UNREAD_IDP_SETTINGS, others=PLACES
    )
    yield from _check_provider(idp_settings, "Provider")
    yield from check_client(idp_settings, "ROPGID", settings)
    yield from check_url(idp_settings, "DiscoveryURL", {here.discovery_url: "the daemon"})
    client = client_of(idp_settings, "ROPGID", settings)
    yield from check_secret(idp_settings, "ClientSecret", client)
    yield from _check_success_codes(idp_settings, "SuccessCodes")
    policies = section.inner("PasswordPolicies")
    yield from check_keys(policies, PASSWORD_POLICIES_KEYS, unread=CHECK_TIME, others=PLACES)
    yield from _check_network_check(policies)


def _check_web_login(section: Section, here: Registration) -> Iterator[Finding]:
    """Check the login in a web view. Authentik checks its client and secret."""
    expected = {
        here.authentik_discovery_url: "the application in Authentik",
        here.discovery_url: "the daemon",
    }
    yield from check_url(section, "OIDCDiscoveryURL", expected)
    client = client_of(section, "OIDCClientID", here.settings)
    if not section.has("OIDCClientID"):
        yield section.failure(
            "OIDCClientID", "is missing. Set it to the client id of the provider in Authentik."
        )
    elif client is not None:
        yield section.ok("OIDCClientID", f"is the client {client.id} of the daemon.")
    elif section.text("OIDCClientID") is not None:
        yield section.warning(
            "OIDCClientID",
            "is not a client in the daemon's settings. It must be the client id of the provider in "
            "Authentik, and usually both are the same.",
        )
    yield from check_redirect_uri(section, "OIDCRedirectURI", client)
    if section.text("OIDCDiscoveryURL") == here.discovery_url:
        yield from check_secret(section, "OIDCClientSecret", client)
    elif section.text("OIDCClientSecret") == SECRET_PLACEHOLDER:
        yield section.failure(
            "OIDCClientSecret", "is still the placeholder. Put the client's secret there."
        )


def _check_provider(section: Section, key: str) -> Iterator[Finding]:
    if not section.has(key):
        yield section.failure(key, "is missing. Set it to Custom.")
    elif section.text(key) == "Custom":
        yield section.ok(key, "is Custom.")
    elif section.text(key) is not None:
        yield section.failure(
            key, "is not Custom, so the discovery URL is not used. Set it to Custom."
        )


def _check_new_password(section: Section) -> Iterator[Finding]:
    key = "OIDCNewPassword"
    value = section.keys.get(key)
    if value is None:
        yield section.warning(
            key, "is missing, and its default has changed between versions. Set it to false."
        )
    elif value is True:
        yield section.warning(
            key,
            "is true: the user chooses a local password, and the one of Authentik is not checked. "
            "Set it to false.",
        )
    elif value is False:
        yield section.ok(key, "is false: the typed password is checked.")


def _check_success_codes(section: Section, key: str) -> Iterator[Finding]:
    """Check the codes that the program takes for a right password."""
    codes = section.texts(key)
    for code in dict.fromkeys(codes):
        if code in OTHER_CODES:
            yield section.failure(
                key,
                f"has {code}, which does not mean that the password is right. Remove it.",
            )
    if SUCCESS_CODE in codes:
        yield section.ok(key, f"has {SUCCESS_CODE}.")
    elif not section.has(key):
        yield section.failure(
            key,
            "is missing, and Custom has no default: users with a second factor read "
            f"'incorrect password'. Set it to an array with {SUCCESS_CODE}.",
        )
    elif isinstance(section.keys[key], list):
        yield section.failure(
            key,
            f"lacks {SUCCESS_CODE}, spelt like this: users with a second factor read 'incorrect "
            "password'.",
        )


def _check_admin(section: Section) -> Iterator[Finding]:
    claim, groups = section.text("OIDCAdminAttribute"), section.texts("OIDCAdmin")
    if set(groups) & set(CLAIMS) and claim not in CLAIMS:
        yield section.warning(
            "OIDCAdmin",
            "has the name of a claim. It seems to be swapped with OIDCAdminAttribute: that is the "
            "claim (groups), and this is an array of the groups of administrators.",
        )
    elif section.has("OIDCAdmin") and groups:
        yield section.ok("OIDCAdmin", f"is compared with the claim {claim or 'groups'}.")


def _check_network_check(section: Section) -> Iterator[Finding]:
    key = "NetworkCheck"
    value = section.keys.get(key)
    if value is None:
        yield section.ok(key, "is missing: the default is 60 minutes (15 before 2.11).")
    elif not isinstance(value, int) or isinstance(value, bool):
        return  # The finding about its type says it all.
    elif value > 0:
        yield section.ok(key, f"is {value}: passwords are checked every {value} minutes.")
    else:
        yield section.warning(
            key, f"is {value}: passwords are never checked from the menu bar. Set it to 60."
        )
