"""The keys that a program reads, and the types of their values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from enum import Enum
from typing import Final, TypeAlias

from ropg_twisted.diagnostics.findings import Finding
from ropg_twisted.provisioning.profiles.section import MAX_NAME, Section


class Kind(Enum):
    """The type of a value in a property list."""

    TEXT = "a string"
    FLAG = "a boolean (<true/> or <false/>)"
    NUMBER = "an integer"
    LIST = "an array of strings"
    TEXTS = "a string or an array of strings"
    TABLE = "a dictionary"


Keys: TypeAlias = Mapping[str, Kind]

TYPES: Final[Mapping[type, str]] = {
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a real number",
    list: "an array",
    dict: "a dictionary",
    bytes: "data",
}

MAX_NAMES: Final = 20
"""The most names in one line."""


def check_keys(
    section: Section, keys: Keys, *, unread: Mapping[str, str], others: Mapping[str, Keys]
) -> Iterator[Finding]:
    """Yield the findings about the names of the keys, and about the types of their values.

    ``keys``: those that the program reads. ``unread``: keys that it does not read, although some
    articles say so, with the advice for each. ``others``: the keys that it reads in other places,
    by the names of these places.
    """
    unknown = []
    for key, value in section.keys.items():
        place = next((place for place, names in others.items() if key in names), None)
        nearest = [name for name in _similar(key, keys) if name not in section.keys]
        if key in keys:
            if not is_kind(value, keys[key]):
                kind = TYPES.get(type(value), "of another type")
                yield section.failure(key, f"is {kind}, but must be {keys[key].value}.")
        elif key in unread:
            yield section.warning(key, f"is never read. {unread[key]}")
        elif place is not None:
            yield section.warning(key, f"is read in {place} only. Move it there.")
        elif nearest:
            yield section.warning(key, f"is not known here. Did you mean {nearest[0]}?")
        else:
            unknown.append(key)
    if unknown:
        rest = f" and {len(unknown) - MAX_NAMES} more" if len(unknown) > MAX_NAMES else ""
        names = ", ".join(name[:MAX_NAME] for name in unknown[:MAX_NAMES])
        yield section.ok("", f"Not known here, so not checked: {names}{rest}.")


def is_kind(value: object, kind: Kind) -> bool:
    """Return whether a value has the type of its key."""
    match kind:
        case Kind.TEXT:
            return isinstance(value, str)
        case Kind.FLAG:
            return isinstance(value, bool)
        case Kind.NUMBER:
            return isinstance(value, int) and not isinstance(value, bool)
        case Kind.LIST:
            return _is_list(value)
        case Kind.TEXTS:
            return isinstance(value, str) or _is_list(value)
        case Kind.TABLE:
            return isinstance(value, dict)


def _is_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _similar(key: str, keys: Keys) -> list[str]:
    """Return the keys that ``key`` is probably meant to be: they differ in a letter or in case."""
    by_case = [name for name in keys if name.lower() == key.lower()]
    return by_case or get_close_matches(key[:100], keys, n=1, cutoff=0.9)
