"""Directories, their users and their sources on the front page, with a form to switch each.

The forms work without scripts. ``directory_forms.py`` takes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from html import escape

from ropg_twisted.sandbox.accounts import Accounts
from ropg_twisted.sandbox.directory import Directory, DirectoryState, Entry, EntryState
from ropg_twisted.sandbox.flow.ldap_backend import LDAPBackend, Source
from ropg_twisted.sandbox.flow.signals import Authentication
from ropg_twisted.sandbox.http.html import code, table

LARGEST_NUMBER = 600
"""The largest number that a form takes: seconds, or failed binds."""

_MEANINGS: Mapping[Enum, str] = {
    DirectoryState.UP: "up",
    DirectoryState.DOWN: "down: refuses connections",
    DirectoryState.SLOW: "slow: answers late",
    DirectoryState.HUNG: "hung: never answers",
    DirectoryState.SICK: "sick: one of two servers is down",
    DirectoryState.ACCEPTS_ANY: "accepts any password (results 3, 4, 5, 6, 14)",
    EntryState.NORMAL: "normal",
    EntryState.LOCKED: "locked",
    EntryState.EXPIRED: "password expired",
    EntryState.MUST_CHANGE: "must change the password",
}


def section(
    accounts: Accounts, ldap: LDAPBackend, authentications: Sequence[Authentication]
) -> str:
    """Return the section of all directories, as HTML."""
    accepted = sum(one.accepted for one in authentications)
    mistakes = [one.accepted for one in authentications if one.mistaken]
    directories = "".join(_directory(one, accounts) for one in ldap.directories.values())
    heads = ("Source", "Directory", "State", "Change")
    return (
        f"<p>Passwords checked: {accepted} accepted, of which <strong>{mistakes.count(True)} "
        f"although wrong</strong>; {len(authentications) - accepted} refused, of which <strong>"
        f"{mistakes.count(False)} although right</strong>.</p>{directories}"
        f'<h3 id="sources">Sources</h3>{table(heads, map(_source, ldap.sources.values()))}'
    )


def _directory(directory: Directory, accounts: Accounts) -> str:
    slug = escape(directory.slug)
    fields = (
        _select("state", "State", DirectoryState, directory.state),
        _number("slow_seconds", "Seconds for a bind if it is slow", directory.slow_seconds),
        _number("hung_seconds", "Seconds until Authentik gives up", directory.hung_seconds),
        _number(
            "lockout_threshold",
            "Failed binds that lock a user (0: never)",
            directory.lockout_threshold,
        ),
    )
    form = _form(f"/sandbox/directories/{slug}/", "<br>".join(fields) + "<br>", f"Set {slug}")
    heads = ("User name", "State", "Failed binds", "Change")
    rows = (_user(directory, *item, accounts) for item in directory.entries.items())
    return (
        f'<h3 id="directory-{slug}">{slug}: {_MEANINGS[directory.state]}</h3>'
        f"<p>Failed binds: {directory.failed_binds}</p>{form}{table(heads, rows)}"
    )


def _user(directory: Directory, username: str, entry: Entry, accounts: Accounts) -> tuple[str, ...]:
    """Return a row of the table of users, as HTML."""
    account, name = accounts.find(username), escape(username)
    disabled = account is not None and not account.active
    fields = (
        _select("state", f"State of {name}", EntryState, entry.state),
        f'<label>{name} in Authentik <select name="active"><option value="on">active</option>'
        f'<option value="off"{" selected" * disabled}>disabled</option></select></label>',
    )
    action = f"/sandbox/directories/{escape(directory.slug)}/users/{name}/"
    return (
        code(username),
        _MEANINGS[entry.state] + ", disabled in Authentik" * disabled,
        str(entry.failed_binds),
        _form(action, " ".join(fields), f"Set {name}"),
    )


def _source(source: Source) -> tuple[str, ...]:
    """Return a row of the table of sources, as HTML."""
    slug, on = escape(source.slug), source.enabled
    field = f'<input type="hidden" name="enabled" value="{"off" if on else "on"}">'
    form = _form(f"/sandbox/sources/{slug}/", field, f"{'Disable' if on else 'Enable'} {slug}")
    state = "enabled" if on else "disabled"
    return (code(source.slug), code(source.directory.slug), state, form)


def _form(action: str, fields: str, button: str) -> str:
    return f'<form method="post" action="{action}">{fields} <button>{button}</button></form>'


def _select(name: str, label: str, choices: Iterable[Enum], chosen: Enum) -> str:
    options = "".join(
        f'<option value="{choice.value}"{" selected" * (choice is chosen)}>'
        f"{_MEANINGS[choice]}</option>"
        for choice in choices
    )
    return f'<label>{label} <select name="{name}">{options}</select></label>'


def _number(name: str, label: str, value: float) -> str:
    return (
        f'<label>{label} <input type="number" name="{name}" min="0" max="{LARGEST_NUMBER}" '
        f'step="any" value="{value:g}" required></label>'
    )
