"""The settings that can change while the daemon runs."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Final

from ropg_twisted.settings.model import Settings
from ropg_twisted.settings.table import TABLE

RELOADABLE: Final = frozenset(
    {
        "clients",
        "trusted_proxies",
        "allowed_networks",
        "token_lifetime",
        "drop_on_outage",
        "hash_users",
    }
)
"""Fields of :class:`Settings` that only matter while a request is read and answered.

The settings of clients are among them: ROPG_LIMITS, ROPG_MFA, ROPG_TOKENS and ROPG_OUTAGE too.
"""

NAMES: Final = {row.attribute or row.key: row.name for row in TABLE.values()}
"""Names of settings by their field."""


def reloaded(running: Settings, new: Settings) -> tuple[Settings, list[str]]:
    """Return the settings after a reload, and the names of the changed ones that need a restart."""
    changed = {
        field.name
        for field in fields(Settings)
        if getattr(running, field.name) != getattr(new, field.name)
    }
    settings = replace(running, **{name: getattr(new, name) for name in changed & RELOADABLE})
    return settings, sorted(NAMES[name] for name in changed - RELOADABLE if name in NAMES)
