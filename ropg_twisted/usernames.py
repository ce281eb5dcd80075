"""User names as Authentik compares them. No I/O."""

from __future__ import annotations

import unicodedata


def fold(username: str) -> str:
    """The same text for all spellings of a name that Authentik or a directory may take for one.

    Authentik compares names in capitals (``iexact``, which is PostgreSQL's ``UPPER``); directories
    ignore compatibility forms as well. It is a key to count by and no name: different users may
    have the same one. Folding twice changes nothing more.
    """
    for _ in range(2):  # The first round may leave letters that have other capitals.
        username = unicodedata.normalize("NFKC", username.upper()).casefold()
    return username
