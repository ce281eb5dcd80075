"""Configuration profiles of macOS (``.mobileconfig``), written."""

from __future__ import annotations

import plistlib
import re
from collections.abc import Mapping
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

from ropg_twisted.provisioning.profiles.registration import Registration


def mobileconfig(
    registration: Registration, title: str, payloads: Mapping[str, Mapping[str, object]]
) -> bytes:
    """Return a configuration profile with ``payloads``: the keys of each preference domain.

    The identifiers depend on the issuer and the client alone, so a new edition replaces the old one
    on a Mac.
    """
    identifier = _identifier(registration)
    return plistlib.dumps(
        {
            "PayloadContent": [
                {
                    "PayloadDisplayName": f"{title}: {domain}",
                    "PayloadIdentifier": f"{identifier}.{domain}",
                    "PayloadType": domain,
                    "PayloadUUID": _uuid(registration, domain),
                    "PayloadVersion": 1,
                    **keys,
                }
                for domain, keys in payloads.items()
            ],
            "PayloadDescription": f"Checks passwords at {registration.issuer}.",
            "PayloadDisplayName": title,
            "PayloadIdentifier": identifier,
            "PayloadScope": "System",
            "PayloadType": "Configuration",
            "PayloadUUID": _uuid(registration, "Configuration"),
            "PayloadVersion": 1,
        },
        sort_keys=False,
    )


def _identifier(registration: Registration) -> str:
    host = urlsplit(registration.issuer).hostname or ""
    words = [*reversed(host.split(".")), "ropg", registration.client.id]
    return ".".join(re.sub(r"[^0-9A-Za-z-]+", "-", word) for word in words)


def _uuid(registration: Registration, part: str) -> str:
    name = f"{registration.issuer} {registration.client.id} {part}"
    return str(uuid5(NAMESPACE_URL, name)).upper()
