"""``python -m tests.simulation`` prints the table of ``docs/directories.md``."""

from tests.simulation.scenarios import table

print(table())
