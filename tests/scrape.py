"""The metrics of a daemon, as Prometheus reads them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.daemon import PATIENCE


@dataclass(frozen=True, slots=True)
class Scrape:
    """The samples of one response of ``/metrics``."""

    samples: tuple[Sample, ...]

    @classmethod
    def of(cls, text: str) -> Scrape:
        """The samples in a text."""
        families = text_string_to_metric_families(text)
        return cls(tuple(sample for family in families for sample in family.samples))

    @classmethod
    def from_url(cls, url: str) -> Scrape:
        """The samples of an admin listener."""
        with urlopen(f"{url}/metrics", timeout=PATIENCE) as response:
            return cls.of(response.read().decode())

    def value(self, name: str, **labels: str) -> float | None:
        """The value of a series, ``None`` if there is no such series."""
        values = [s.value for s in self.samples if s.name == name and s.labels == labels]
        assert len(values) <= 1, name
        return values[0] if values else None

    def values(self, name: str, label: str) -> dict[str, float]:
        """The values of the series of a metric, by one of their labels."""
        return {s.labels[label]: s.value for s in self.samples if s.name == name}

    @property
    def names(self) -> set[str]:
        """The names of all series."""
        return {sample.name for sample in self.samples}
