"""Dovecot, a mail server: ``passdb oauth2`` with a password grant, then introspection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

from ropg_twisted.provisioning.profiles.registration import Registration, plain

SCOPES: Final = "openid profile email"

CA_FILE: Final = "/etc/ssl/certs/ca-certificates.crt"
"""The certificates that Debian trusts."""


def profile(registration: Registration) -> bytes:
    """Return the snippets for Dovecot 2.3 and 2.4."""
    client_id = plain(registration.client.id, "#")
    secret = plain(registration.secret or "", "#")
    introspection_url = plain(_with_credentials(registration), "#")
    return f"""\
# Dovecot 2.3: /etc/dovecot/conf.d/auth-oauth2.conf.ext
passdb {{
  driver = oauth2
  mechanisms = plain login
  args = /etc/dovecot/dovecot-oauth2.conf.ext
}}

# Dovecot 2.3: /etc/dovecot/dovecot-oauth2.conf.ext, readable by root alone
grant_url = {registration.token_endpoint}
client_id = {client_id}
client_secret = {secret}
scope = {SCOPES}
introspection_mode = post
introspection_url = {introspection_url}
active_attribute = active
active_value = true
username_attribute = username
tls_ca_cert_file = {CA_FILE}

# Dovecot 2.4, in place of both
#oauth2 {{
#  grant_url = {registration.token_endpoint}
#  client_id = {_quoted(registration.client.id)}
#  client_secret = {_quoted(registration.secret or "")}
#  scope = {_quoted(SCOPES)}
#  introspection_mode = post
#  introspection_url = {_quoted(introspection_url)}
#  active_attribute = active
#  active_value = true
#  username_attribute = username
#}}
#passdb oauth2 {{
#  mechanisms_filter = plain login
#}}
""".encode()


def notes(registration: Registration) -> Iterator[str]:
    """Yield what is left to do after a profile was written."""
    if not registration.is_confidential:
        yield (
            f"Introspection needs a secret. Set one for the client {registration.client.id} in the "
            "settings file."
        )


def _with_credentials(registration: Registration) -> str:
    """Return the introspection URL with the client's id and secret in it, as Dovecot has it."""
    url = urlsplit(registration.introspection_endpoint)
    credentials = ":".join(
        quote(text, safe="") for text in (registration.client.id, registration.secret or "")
    )
    return urlunsplit(url._replace(netloc=f"{credentials}@{url.netloc}"))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%{", "%%{")
    return f'"{escaped}"'
