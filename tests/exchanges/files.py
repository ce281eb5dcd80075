"""The files of recorded exchanges: their parts, how they are read and written."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ropg_twisted.verdict import Outcome, Reason, Verdict
from tests.authentik.checker import CLIENT_ADDRESS
from tests.composition import OWN_ADDRESS
from tests.exchanges.parts import Exchange
from tests.exchanges.shorthand import Shorthand

FOLDER = Path(__file__).with_name("recorded")

_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Decided:
    """The sandbox's own record of a check: user names, and events with theirs."""

    accepted: list[str]
    refused: list[str]
    events: list[str]


@dataclass(frozen=True, slots=True)
class RecordedCheck:
    """A check, what it led to, and what the sandbox had decided."""

    name: str
    username: str
    password: str
    code: str | None
    verdict: str
    reason: str
    decided: Decided
    exchanges: list[Exchange]

    @property
    def outcome(self) -> Outcome:
        """The verdict and the reason."""
        return Outcome(Verdict(self.verdict), Reason(self.reason))


@dataclass(frozen=True, slots=True)
class RecordedFlow:
    """A file: the checks that are made with one flow."""

    flow: str
    evidence: str | None
    canary: list[Exchange]
    checks: list[RecordedCheck]


@cache
def recorded_flows() -> dict[str, RecordedFlow]:
    """Return all files by name."""
    return {path.stem: _read(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))}


def write(name: str, flow: RecordedFlow) -> None:
    """Write one file."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(_layout(_file(flow), "") + "\n", "utf-8")


def _file(flow: RecordedFlow) -> dict[str, Any]:
    seen: dict[str, str] = {}
    check = Shorthand(flow.flow, str(CLIENT_ADDRESS))

    def shorten(where: str, exchanges: list[Exchange], shorthand: Shorthand) -> list[Any]:
        found: list[Any] = []
        for number, exchange in enumerate(exchanges, 1):
            short = shorthand.shorten(exchange)
            name = f"{where} {number}"
            before = seen.setdefault(json.dumps(short), name)
            found.append(short if before == name else before)
        return found

    return {
        "flow": flow.flow,
        "evidence": flow.evidence,
        "canary": shorten("canary", flow.canary, Shorthand(flow.flow, str(OWN_ADDRESS))),
        "checks": [
            asdict(one) | {"exchanges": shorten(one.name, one.exchanges, check)}
            for one in flow.checks
        ],
    }


def _read(text: str) -> RecordedFlow:
    data = json.loads(text)
    seen: dict[str, Any] = {}
    check = Shorthand(data["flow"], str(CLIENT_ADDRESS))

    def lengthen(where: str, exchanges: list[Any], shorthand: Shorthand) -> list[Exchange]:
        found = []
        for number, one in enumerate(exchanges, 1):
            short = seen[one] if isinstance(one, str) else one
            seen[f"{where} {number}"] = short
            found.append(shorthand.lengthen(short))
        return found

    return RecordedFlow(
        data["flow"],
        data["evidence"],
        lengthen("canary", data["canary"], Shorthand(data["flow"], str(OWN_ADDRESS))),
        [
            RecordedCheck(
                **one
                | {
                    "decided": Decided(**one["decided"]),
                    "exchanges": lengthen(one["name"], one["exchanges"], check),
                }
            )
            for one in data["checks"]
        ],
    )


def _layout(value: Any, indent: str) -> str:
    """Return JSON text with one value a line where it is short, broken up where it is long."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or len(indent) + len(line) < _WIDTH:
        return line
    inner = indent + " "
    if isinstance(value, list):
        parts = [f"{inner}{_layout(one, inner)}" for one in value]
        return "[\n" + ",\n".join(parts) + f"\n{indent}]"
    parts = [f"{inner}{json.dumps(key)}: {_layout(one, inner)}" for key, one in value.items()]
    return "{\n" + ",\n".join(parts) + f"\n{indent}}}"
