"""Folding of user names, as Authentik compares them. No I/O."""

from __future__ import annotations

import unicodedata


def fold(username: str) -> str:
    """Return one key for all spellings of a name that Authentik or a directory may treat as equal.

    Authentik compares names in upper case (``iexact``, PostgreSQL's ``UPPER``). Directories ignore
    compatibility forms as well. The key is for counting only: different users may share one.
    Folding is idempotent.
    """
    for _ in range(2):  # The first round may leave letters that have another upper case.
        username = unicodedata.normalize("NFKC", username.upper()).casefold()
    return username
