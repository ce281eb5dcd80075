"""Checks of Authentik's clock and version, which do not keep passwords from being checked."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import quote

from ropg_twisted.authentik.challenges import Response, read_json
from ropg_twisted.diagnostics.findings import Finding
from ropg_twisted.diagnostics.installation import Installation
from ropg_twisted.diagnostics.texts import failure, ok, warning
from ropg_twisted.interfaces import RequestKind
from ropg_twisted.verdict import UpstreamError

VERSION: Final = r"[0-9]{4}\.[0-9]{1,2}"
"""Pattern of the beginning of a version of Authentik: year and month."""

OLDEST: Final = (2025, 10)
"""The oldest version of Authentik whose answers are known."""

CLOCK_SECONDS: Final = 10
"""Difference of the clocks that is worth a warning."""

MAX_CLOCK_SECONDS: Final = 60
"""Difference of the clocks at which tokens of Authentik are refused."""


async def check_server(installation: Installation) -> AsyncIterator[Finding]:
    """Yield the findings about clock and version."""
    async for finding in _clock(installation):
        yield finding
    yield await _version(installation)


async def _clock(installation: Installation) -> AsyncIterator[Finding]:
    """Yield whether the clocks agree, by the Date of an answer."""
    try:
        response = await _get(installation, f"{installation.settings.authentik_url}/-/health/live/")
        theirs = parsedate_to_datetime(response.date or "").timestamp()
    except (UpstreamError, ValueError, OverflowError):
        return
    off = abs(installation.now() - theirs)
    if off <= CLOCK_SECONDS:
        yield ok("authentik-clock", "The clocks agree.")
        return
    text = (
        f"The clock of Authentik and the clock here differ by {off:.0f} seconds: use NTP on both."
    )
    judge = warning if off <= MAX_CLOCK_SECONDS else failure
    yield judge("authentik-clock", text, "answers.md#provider_token")


async def _version(installation: Installation) -> Finding:
    """Return the finding about the version, from the login page or with the outpost token."""
    found = await _version_by_token(installation) or await _version_of_page(installation)
    if found is None:
        text = "Its version cannot be seen: its login page is not Authentik's own."
        return warning("authentik-version", text, "authentik.md#upgrades")
    numbers = tuple(int(number) for number in re.findall("[0-9]+", found)[:2])
    if numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        text = f"Authentik {found}, but only {oldest} and later are known: upgrade Authentik."
        return warning("authentik-version", text, "authentik.md#upgrades")
    return ok("authentik-version", f"Authentik {found}.")


async def _version_by_token(installation: Installation) -> str | None:
    token = installation.settings.outpost_token
    if token is None:
        return None
    url = f"{installation.settings.authentik_url}/api/v3/admin/version/"
    try:
        found = read_json(await _get(installation, url, f"Bearer {token}")).get("version_current")
    except UpstreamError:
        return None
    return found if isinstance(found, str) and re.match(VERSION, found) else None


async def _version_of_page(installation: Installation) -> str | None:
    settings = installation.settings
    try:
        url = f"{settings.authentik_url}/if/flow/{quote(settings.flow_slug)}/"
        page = (await _get(installation, url)).body.decode("utf-8", "replace")
    except UpstreamError:
        return None
    return version_in(page)


def version_in(page: str) -> str | None:
    """Return the version in a page of Authentik: that of its scripts, or its family."""
    for pattern in (
        rf"-({VERSION}\.[0-9][\w.-]{{0,40}})\.js",
        rf'versionFamily: *"({VERSION})"',
    ):
        if match := re.search(pattern, page):
            return match[1]
    return None


async def _get(installation: Installation, url: str, authorization: str | None = None) -> Response:
    session = installation.session()
    return await installation.ask(session.get(url, RequestKind.PROBE, authorization))
