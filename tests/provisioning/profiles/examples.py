"""Settings and profiles for the tests."""

from __future__ import annotations

import plistlib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from ropg_twisted.diagnostics.findings import Finding, State
from ropg_twisted.provisioning.profiles.catalogue import DOMAINS, PROGRAMS
from ropg_twisted.provisioning.profiles.registration import Registration, find_client
from ropg_twisted.provisioning.profiles.section import Section
from ropg_twisted.settings.model import Settings
from ropg_twisted.settings.sources import read_settings

SECRET: Final = "canary secret"

CLIENTS: Final = f"""
[[clients]]
id = "jamf-connect"
profile = "jamf-connect"
secret = "{SECRET}"

[[clients]]
id = "xcreds"
profile = "xcreds"
secret = "{SECRET}"
limits = "user 10 per 15 minutes"

[[clients]]
id = "himmelblau"
profile = "himmelblau"
redirect_uri = "https://127.0.0.1/himmelblau"

[[clients]]
id = "server"
secret = "{SECRET}"
"""


def settings_of(clients: str = CLIENTS, **environ: str) -> Settings:
    """The settings of a file with these clients."""
    usual = {
        "AUTHENTIK_URL": "https://authentik.example.com",
        "PROXY_ISSUER": "https://ropg.example.com",
        "ROPG_APP_SLUG": "mac",
    }
    with TemporaryDirectory() as folder:
        path = Path(folder, "ropg.toml")
        path.write_text(clients, "utf-8")
        return read_settings({"config": str(path)}, {**usual, **environ})


def registration(program: str, settings: Settings | None = None) -> Registration:
    """The client of a program, with its secret shown."""
    settings = settings or settings_of()
    return Registration(find_client(settings, program, None), settings, shows_secret=True)


def written(program: str, settings: Settings | None = None) -> bytes:
    """The profile of a program, with its secret."""
    return PROGRAMS[program].profile(registration(program, settings))


def keys_of(data: bytes) -> dict[str, dict[str, Any]]:
    """The keys of a configuration profile, by domain."""
    payloads = plistlib.loads(data)["PayloadContent"]
    return {
        payload["PayloadType"]: {
            key: value for key, value in payload.items() if not key.startswith("Payload")
        }
        for payload in payloads
    }


def found(
    domain: str, keys: Mapping[str, object], settings: Settings | None = None
) -> list[Finding]:
    """The findings about the keys of a domain that are not ok."""
    checked = DOMAINS[domain].check(Section(domain, "page.md", keys), settings or settings_of())
    return [finding for finding in checked if finding.state is not State.OK]


def lines(findings: list[Finding]) -> list[str]:
    """The state and the name of each finding."""
    return [f"{finding.state.value} {finding.name}" for finding in findings]
