"""The profiles that can be written, and the checks of those that others have written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, TypeAlias

from ropg_twisted.diagnostics.findings import Finding, State
from ropg_twisted.provisioning.profiles import (
    dovecot,
    freeradius,
    himmelblau,
    iru,
    jamf_connect,
    jamf_connect_keys,
    xcreds,
)
from ropg_twisted.provisioning.profiles.keys import Keys
from ropg_twisted.provisioning.profiles.payloads import (
    HIMMELBLAU,
    NotAProfileError,
    Payload,
    read_profile,
)
from ropg_twisted.provisioning.profiles.registration import Registration
from ropg_twisted.provisioning.profiles.section import MAX_NAME, Section
from ropg_twisted.remedies import DOCUMENTATION
from ropg_twisted.settings.model import Settings

Check: TypeAlias = Callable[[Section, Settings], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class Program:
    """A client program. ``profile``: writes its profile. ``notes``: what is left to do then."""

    profile: Callable[[Registration], bytes]
    notes: Callable[[Registration], Iterator[str]]


PROGRAMS: Final[Mapping[str, Program]] = {
    "jamf-connect": Program(jamf_connect.profile, jamf_connect.notes),
    "xcreds": Program(xcreds.profile, xcreds.notes),
    "himmelblau": Program(himmelblau.profile, himmelblau.notes),
    "iru": Program(iru.profile, iru.notes),
    "dovecot": Program(dovecot.profile, dovecot.notes),
    "freeradius": Program(freeradius.profile, freeradius.notes),
}


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain that can be checked. ``keys``: those by which a file without its name is known."""

    check: Check
    page: str
    keys: Keys


DOMAINS: Final[Mapping[str, Domain]] = {
    jamf_connect_keys.LOGIN_WINDOW: Domain(
        jamf_connect.check_login_window, jamf_connect.PAGE, jamf_connect_keys.LOGIN_WINDOW_KEYS
    ),
    jamf_connect_keys.MENU_BAR: Domain(
        jamf_connect.check_menu_bar, jamf_connect.PAGE, jamf_connect_keys.MENU_BAR_KEYS
    ),
    xcreds.DOMAIN: Domain(xcreds.check, xcreds.PAGE, xcreds.KEYS),
    HIMMELBLAU: Domain(himmelblau.check, himmelblau.PAGE, {}),
}

HELP: Final = f"{DOCUMENTATION}clients.md"
"""The page about all clients."""


def check_profile(data: bytes, settings: Settings) -> list[Finding]:
    """Return the findings about the content of a profile."""
    try:
        profile = read_profile(data)
    except NotAProfileError as error:
        return [_file_failure(f"is not a profile that can be checked: {error}.")]
    findings = []
    if profile.signed:
        message = "The file is signed. The signature itself is not checked."
        findings.append(Finding("signature", State.OK, message, None))
    checked = False
    for payload in profile.payloads:
        name = payload.domain or _domain_of(payload)
        spelt = next((known for known in DOMAINS if known.lower() == name.lower()), None)
        nearest = get_close_matches(name[:100], DOMAINS, n=1, cutoff=0.9)
        checked = checked or spelt is not None or bool(nearest)
        if spelt is not None:
            if name != spelt:
                message = f"has the domain {name}. Write it as {spelt}."
                findings.append(Finding("file", State.WARNING, message, HELP))
            domain = DOMAINS[spelt]
            findings += domain.check(Section(spelt, domain.page, payload.keys), settings)
        elif nearest:
            message = (
                f"has the domain {name[:MAX_NAME]}, which nothing reads. Did you mean {nearest[0]}?"
            )
            findings.append(_file_failure(message))
    if not checked:
        known = ", ".join(DOMAINS)
        findings.append(_file_failure(f"has no keys of a program that is known here: {known}."))
    return findings


def _domain_of(payload: Payload) -> str:
    """Return the domain whose keys a payload without a name has, or an empty text."""
    shared = {
        name: len(payload.keys.keys() & domain.keys.keys()) for name, domain in DOMAINS.items()
    }
    best = max(shared, key=lambda name: shared[name])
    return best if shared[best] else ""


def _file_failure(message: str) -> Finding:
    return Finding("file", State.FAILURE, message, HELP)
