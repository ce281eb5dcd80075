"""Records all exchanges anew: ``make exchanges``."""

from __future__ import annotations

from tests.exchanges.files import FOLDER, write
from tests.exchanges.record import record
from tests.exchanges.situations import SITUATIONS

for old in FOLDER.glob("*.json"):
    old.unlink()
for name, situations in SITUATIONS.items():
    write(name, record(situations))
print(f"{len(SITUATIONS)} files in {FOLDER}")
