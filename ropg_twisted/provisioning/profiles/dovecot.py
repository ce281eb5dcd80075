"""Dovecot, a mail server: ``passdb oauth2`` with a password grant, and then introspection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ropg_twisted.provisioning.profiles.registration import Registration, plain

SCOPES: Final = "openid profile email"

CA_FILE: Final = "/etc/ssl/certs/ca-certificates.crt"
"""The certificates that Debian trusts."""


def profile(registration: Registration) -> bytes:
    """Return the snippets for Dovecot 2.3 and 2.4. Raises :exc:`UnwritableError`."""
    client_id = plain(registration.client.id, "#")
    secret = plain(registration.secret or "", "#")
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
use_grant_password = yes
introspection_url = {registration.introspection_endpoint}
introspection_mode = post
force_introspection = yes
active_attribute = active
active_value = true
username_attribute = username
tls_ca_cert_file = {CA_FILE}

# Dovecot 2.4, in place of both
#oauth2 {{
#  grant_url = {registration.token_endpoint}
#  client_id = {_quoted(client_id)}
#  client_secret = {_quoted(secret)}
#  scope = {_quoted(SCOPES)}
#  use_grant_password = yes
#  introspection_url = {registration.introspection_endpoint}
#  introspection_mode = post
#  force_introspection = yes
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
    client = registration.client
    if not registration.is_confidential:
        yield (
            f"Introspection needs a secret. Set one for the client {client.id} in the settings "
            "file."
        )
    if client.rates.address is not None:
        yield (
            "All checks come from the address of the mail server. Give the client "
            f'{client.id} limits = "user 10 per 15 minutes" in the settings file.'
        )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
