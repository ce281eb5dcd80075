"""User names as Authentik compares them."""

from __future__ import annotations

import unicodedata
from typing import Final

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.usernames import fold

FORMS: Final = ("NFC", "NFD", "NFKC", "NFKD")

IOTA = "\u0345"
"""A mark that has a letter for its capital, so that marks behind it belong to another letter."""


class FoldTests(SynchronousTestCase):
    """Folding: a single text for the spellings of a name."""

    def test_spellings(self) -> None:
        """Capitals, composed letters, wide letters and the like are one name; others are not."""
        for name, *others in (
            ("alice", "ALICE", "Alice", "\uff41lice", "ⒶLICE", "al\u0131ce", "al\u0131CE"),
            ("josé", "jose\u0301", "JOSÉ"),
            ("straße", "STRASSE", "strasse", "STRAẞE"),
            ("οδυσσευς", "ΟΔΥΣΣΕΥΣ", "οδυσσευσ"),
            ("kim", "\u212aim"),
            ("\u1fb3\u0301", "\u1fb3\u0301".upper()),
        ):
            for other in others:
                self.assertEqual(fold(other), fold(name), other)
        names = ["alice", "a lice", "bob", "jose", "josé", "alice@example.com", ""]
        self.assertEqual(len({fold(name) for name in names}), len(names))

    def test_each_letter(self) -> None:
        """Folding twice changes nothing more, and letters with the same capital are the same.

        Behind the third plane no letter has another form.
        """
        for number in range(0x30000):
            letter = chr(number)
            folded = fold(letter)
            self.assertEqual(fold(folded), folded, ascii(letter))
            self.assertEqual(fold(letter.upper()), folded, ascii(letter))

    @given(st.text())
    @example("\u1f94\u0308\u03d4")
    @example("\u0390")
    def test_names(self, name: str) -> None:
        """The same of any name, in small letters too; composed or not, it stays the same."""
        folded = fold(name)
        spellings = [folded, name.upper(), name.lower(), name.casefold()]
        if IOTA not in unicodedata.normalize("NFKD", name):
            spellings += [unicodedata.normalize(form, name) for form in FORMS]
        self.assertEqual({fold(spelling) for spelling in spellings}, {folded})
