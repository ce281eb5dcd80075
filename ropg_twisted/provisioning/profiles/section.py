"""The keys of one preference domain, under check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ropg_twisted.diagnostics.findings import Finding, State
from ropg_twisted.remedies import DOCUMENTATION

PAGES: Final = f"{DOCUMENTATION}clients/"
"""The base URL of the pages about clients."""

MAX_NAME: Final = 60
"""The most characters of a key that are shown."""


@dataclass(frozen=True, slots=True)
class Section:
    """The keys of a domain, or of a dictionary in it, whose values may be of any type.

    ``name``: the domain, and the key of the dictionary. ``page``: the page about the client, and an
    anchor in it.
    """

    name: str
    page: str
    keys: Mapping[str, object] = field(repr=False)

    def has(self, key: str) -> bool:
        """Return whether the key is set. An empty string counts as missing."""
        return self.keys.get(key, "") != ""

    def text(self, key: str) -> str | None:
        """Return the value of the key if it is a string."""
        value = self.keys.get(key)
        return value if isinstance(value, str) else None

    def texts(self, key: str) -> list[str]:
        """Return the strings in the value of the key, which may be one or an array."""
        value = self.keys.get(key)
        items = value if isinstance(value, list) else [value]
        return [item for item in items if isinstance(item, str)]

    def inner(self, key: str) -> Section:
        """Return the section of a dictionary, which is empty if there is none."""
        value = self.keys.get(key)
        keys = value if isinstance(value, dict) else {}
        return Section(f"{self.name} {key}", self.page, keys)

    def ok(self, key: str, message: str) -> Finding:
        """Return the finding that a key is as it should be."""
        return self._finding(key, State.OK, message)

    def warning(self, key: str, message: str) -> Finding:
        """Return the finding that a key may not do what is expected."""
        return self._finding(key, State.WARNING, message)

    def failure(self, key: str, message: str) -> Finding:
        """Return the finding that a key makes checks, or their answers, fail."""
        return self._finding(key, State.FAILURE, message)

    def _finding(self, key: str, state: State, message: str) -> Finding:
        help = None if state is State.OK else f"{PAGES}{self.page}"
        return Finding(f"{self.name} {key[:MAX_NAME]}".strip(), state, message, help)
