"""The results of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from tests.bench.clients import ClientsRow
from tests.bench.cpu import CPURow
from tests.bench.latency import LatencyRow
from tests.bench.overload import OverloadRow
from tests.bench.scaling import Scaling
from tests.bench.servers import Shape


class Row(Protocol):
    """A row of a table: the results of one server."""

    @property
    def shape(self) -> Shape:
        """The kind of server."""


R = TypeVar("R", bound=Row)


@dataclass(slots=True)
class Results:
    """What was measured. A part that did not run is empty.

    ``cpu``: with connections kept alive. ``tls``: with a new TLS connection for each check.
    ``mixed``: with wrong passwords among the right ones.
    """

    machine: Mapping[str, str]
    cpu: list[CPURow] = field(default_factory=list)
    tls: list[CPURow] = field(default_factory=list)
    mixed: list[CPURow] = field(default_factory=list)
    latency: list[LatencyRow] = field(default_factory=list)
    clients: list[ClientsRow] = field(default_factory=list)
    overload: list[OverloadRow] = field(default_factory=list)
    scaling: Scaling | None = None


def row_of(rows: Iterable[R], shape: Shape) -> R:
    """Return the row of a kind of server."""
    return next(row for row in rows if row.shape == shape)
