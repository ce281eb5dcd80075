"""Himmelblau, a login for Linux hosts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ropg_twisted.diagnostics.findings import Finding
from ropg_twisted.provisioning.profiles.registration import Registration, plain
from ropg_twisted.provisioning.profiles.rules import check_client, client_of
from ropg_twisted.provisioning.profiles.section import Section
from ropg_twisted.settings.model import Client, Settings

PAGE: Final = "himmelblau.md"

FIRST_RELEASE: Final = "4.0.0"
"""The first release that sends a password grant to an OpenID provider."""


def profile(registration: Registration) -> bytes:
    """Return a himmelblau.conf."""
    client_id = plain(registration.client.id, "#;%")
    return f"""\
# /etc/himmelblau/himmelblau.conf for Himmelblau {FIRST_RELEASE} or later: earlier releases do not
# check passwords at an OpenID provider.
[global]
oidc_issuer_url = {registration.issuer}
app_id = {client_id}
allow_console_password_only = true
# The part of your users' names after the @:
# domain = example.com
""".encode()


def notes(registration: Registration) -> Iterator[str]:
    """Yield what is left to do after a profile was written."""
    yield f"Himmelblau {FIRST_RELEASE} or later is needed."
    for finding in check_settings(Section("", PAGE, {}), registration.client):
        yield finding.message


def check(section: Section, settings: Settings) -> Iterator[Finding]:
    """Yield the findings about a himmelblau.conf, and about the client that it names."""
    yield section.ok(
        "",
        f"Himmelblau {FIRST_RELEASE} or later is needed, which this file cannot tell. See it with: "
        "aad-tool version",
    )
    if section.has("domains"):
        yield section.warning(
            "domains",
            f"is a key of releases before {FIRST_RELEASE}, which send no password to an OpenID "
            "provider. Update Himmelblau, and name the one domain in the key domain.",
        )
    yield from _check_issuer(section, settings.issuer)
    yield from check_client(section, "app_id", settings)
    yield from _check_password_only(section)
    client = client_of(section, "app_id", settings)
    if client is not None:
        yield from check_settings(section, client)


def check_settings(section: Section, client: Client) -> Iterator[Finding]:
    """Yield the findings about settings of the client with which Himmelblau cannot work."""
    if client.expected_secret_hash is not None:
        yield section.failure(
            "",
            f"The client {client.id} has a secret in the daemon's settings, but Himmelblau sends "
            "none. Remove it there, and make the provider in Authentik public.",
        )
    if not client.upstream_tokens:
        yield section.failure(
            "",
            f"The client {client.id} gets no refresh token, which Himmelblau needs. Give it "
            'profile = "himmelblau" and a redirect_uri in the settings file.',
        )


def _check_issuer(section: Section, issuer: str) -> Iterator[Finding]:
    found = section.text("oidc_issuer_url")
    if found is None or not section.has("oidc_issuer_url"):
        yield section.failure("oidc_issuer_url", f"is missing. Set it to {issuer}.")
    elif found == issuer:
        yield section.ok("oidc_issuer_url", "is the issuer of the daemon.")
    elif found.rstrip("/") == issuer.rstrip("/"):
        yield section.failure(
            "oidc_issuer_url", f"has a slash at its end too many or too few. Set it to {issuer}."
        )
    else:
        yield section.failure(
            "oidc_issuer_url", f"is not the issuer of the daemon. Set it to {issuer}."
        )


def _check_password_only(section: Section) -> Iterator[Finding]:
    key = "allow_console_password_only"
    value = (section.text(key) or "").lower()
    if not value:
        problem = "is missing, and its default depends on the release"
    elif value == "true":
        yield section.ok(key, "is true.")
        return
    elif value == "false":
        yield section.failure(key, "is false, so no password is checked. Set it to true.")
        return
    else:
        problem = "is neither true nor false"
    yield section.warning(key, f"{problem}. Set it to true.")
