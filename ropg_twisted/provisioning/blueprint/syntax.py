"""The syntax of blueprints: YAML 1.1 with the tags of Authentik."""

from __future__ import annotations

from ropg_twisted.provisioning.blueprint.model import SecretSource


def quoted(text: str) -> str:
    """Return a text as a double-quoted scalar, which is on one line and never read as another type.

    YAML 1.1 section 5.7: quotes, and all that is not printable or breaks a line, are escaped.
    """
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def find(model: str, field: str, value: str) -> str:
    """Return a reference to the object of a model, by one of its fields.

    There is ``!KeyOf`` too, but an entry that holds one and fails loses its error in Authentik.
    """
    return f"!Find [{model}, [{field}, {quoted(value)}]]"


def secret(source: SecretSource, name: str, value: str | None) -> str:
    """Return a secret. ``name``: of the variable; the key in the context is in lower case.

    ``value``: for a secret in plain text.
    """
    match source:
        case SecretSource.ENV:
            return f"!Env {name}"
        case SecretSource.CONTEXT:
            return f"!Context {name.lower()}"
        case SecretSource.PLAINTEXT:
            return quoted(value or "")
