"""Print pip constraints that pin each dependency to the lowest version that setup.cfg allows.

``python .ci/minimums.py`` covers the dependencies of the package and its extras ``bench``,
``redis`` and ``test``: each ``>=`` becomes ``==``. Needs only the standard library.
"""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path

SETUP_CFG = Path(__file__).resolve().parent.parent / "setup.cfg"
EXTRAS = ("bench", "redis", "test")


def requirements() -> list[str]:
    """Return the lines of setup.cfg that name a package."""
    config = ConfigParser()
    config.read(SETUP_CFG, "utf-8")
    extras = config["options.extras_require"]
    texts = [config["options"]["install_requires"], *(extras[extra] for extra in EXTRAS)]
    return [line for text in texts for line in text.splitlines() if line]


def main() -> None:
    """Print one constraint a line, without extras, which constraints may not have."""
    for requirement in requirements():
        package = re.sub(r"\[.*?\]", "", requirement)
        if ">=" in package:
            print(package.replace(">=", "=="))


if __name__ == "__main__":
    main()
