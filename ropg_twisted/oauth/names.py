"""The given name and the family name in a full name, which Authentik keeps as one text."""

from __future__ import annotations

from ropg_twisted.settings.model import NameSplit


def split_name(name: str, rule: NameSplit) -> tuple[str, str]:
    """Return the given name and the family name in ``name``, neither of them empty.

    A single word is both, because some clients require both claims. ``name`` has at least one
    character that is not a space.
    """
    words = name.split()
    if rule is NameSplit.COMMA:
        family, _, given = (" ".join(part.split()) for part in name.partition(","))
        if given and family:
            return given, family
        words = name.replace(",", " ").split() or words
    if len(words) == 1:
        return words[0], words[0]
    match rule:
        case NameSplit.GIVEN_FIRST:
            return words[0], " ".join(words[1:])
        case NameSplit.FAMILY_FIRST:
            return " ".join(words[1:]), words[0]
        case _:
            return " ".join(words[:-1]), words[-1]
