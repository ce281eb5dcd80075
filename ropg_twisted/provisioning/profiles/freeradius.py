"""FreeRADIUS, for EAP-TTLS with PAP: its module ``rest`` sends a password grant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote_plus

from ropg_twisted.provisioning.profiles.registration import Registration
from ropg_twisted.settings.model import PASSWORD_GRANT

CA_FILE: Final = "/etc/ssl/certs/ca-certificates.crt"
"""The certificates that Debian trusts."""

USERNAME: Final = "username=%{urlquote:%{User-Name}}"
PASSWORD: Final = "password=%{urlquote:%{User-Password}}"
"""Fields of the form, in FreeRADIUS's own language."""

TIMEOUT: Final = 5
"""Seconds in addition to the deadline of a check."""


def profile(registration: Registration) -> bytes:
    """Return the snippets for FreeRADIUS 3."""
    fields = {
        "grant_type": PASSWORD_GRANT,
        "client_id": registration.client.id,
        "client_secret": registration.secret,
    }
    # A percent sign would begin an expansion of FreeRADIUS, so it is written twice.
    fixed = [
        f"{name}={quote_plus(value).replace('%', '%%')}"
        for name, value in fields.items()
        if value is not None
    ]
    form = "&".join([*fixed, USERNAME, PASSWORD])
    timeout = registration.settings.deadline + TIMEOUT
    return f"""\
# /etc/freeradius/3.0/mods-available/ropg (link it into mods-enabled), readable by freerad alone
rest ropg {{
    tls {{
        ca_file = "{CA_FILE}"
    }}
    authenticate {{
        uri = "{registration.token_endpoint.replace("%", "%%")}"
        method = 'post'
        body = 'post'
        data = "{form}"
        timeout = {timeout:.1f}
        tls = ${{..tls}}
    }}
    pool {{
        start = 0
        min = 0
        max = 32
        spare = 4
    }}
}}

# sites-available/inner-tunnel, at the end of the section authorize
#    if (&User-Password) {{
#        update control {{
#            &Auth-Type := ropg
#        }}
#    }}

# sites-available/inner-tunnel, in the section authenticate
#    Auth-Type ropg {{
#        ropg
#    }}
""".encode()


def notes(registration: Registration) -> Iterator[str]:
    """Yield what is left to do after a profile was written."""
    yield "The package freeradius-rest has the module. Wireless clients must use EAP-TTLS with PAP."
    if registration.client.rates.address is not None:
        yield (
            "All checks come from the address of the RADIUS server. Give the client "
            f'{registration.client.id} limits = "user 10 per 15 minutes" in the settings file.'
        )
