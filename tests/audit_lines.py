"""Audit lines of the log, and their schema as operators get it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.resources import files
from typing import Any, Final

from jsonschema import Draft202012Validator, FormatChecker

SCHEMA: Final[Any] = json.loads(
    files("ropg_twisted.telemetry").joinpath("audit.schema.json").read_text("utf-8")
)

VALIDATOR: Final = Draft202012Validator(SCHEMA, format_checker=FormatChecker())


def audit_lines(lines: Iterable[str]) -> list[Any]:
    """Return the audit lines among the lines of a log as JSON. Fails if one breaks the schema."""
    found = []
    for line in lines:
        try:
            fields = json.loads(line)
        except ValueError:
            continue  # The log is text, or this is a line of another program.
        if isinstance(fields, dict) and "event" in fields:
            check(fields)
            found.append(fields)
    return found


def check(fields: Any) -> None:
    """Fail unless ``fields`` are an audit line. The error is that of the kind of line it claims."""
    kind = fields.get("event") if isinstance(fields, dict) else None
    of_kind = {"$ref": f"#/$defs/{kind}"}
    kinds = [of_kind] if of_kind in SCHEMA["oneOf"] else SCHEMA["oneOf"]
    validator = VALIDATOR.evolve(schema={**SCHEMA, "oneOf": kinds})
    for error in validator.iter_errors(fields):
        causes = "; ".join(cause.message for cause in error.context or ())
        raise AssertionError(f"{fields}: {error.message} {causes}")
