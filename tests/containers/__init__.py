"""The compose files and Kubernetes manifests of ``contrib/``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from tests.paths import CHECKOUT

COMPOSE = CHECKOUT / "contrib" / "compose"
KUBERNETES = CHECKOUT / "contrib" / "kubernetes"


def interpolated(path: Path, **variables: str) -> str:
    """Return a compose file with its variables replaced, by their defaults if they have one."""

    def value(match: re.Match[str]) -> str:
        name, operator, rest = match.groups()
        return variables[name] if operator == ":?" else variables.get(name, rest)

    return re.sub(r"\$\{(\w+)(:[-?])([^}]*)\}", value, path.read_text("utf-8"))


def load_compose(name: str, **variables: str) -> dict[str, Any]:
    """Return the content of a compose file."""
    document = yaml.safe_load(interpolated(COMPOSE / name, **variables))
    assert isinstance(document, dict)
    return document


def load_manifests(name: str) -> list[dict[str, Any]]:
    """Return the objects in a file of manifests."""
    return list(yaml.safe_load_all((KUBERNETES / name).read_text("utf-8")))


def with_secrets(environ: dict[str, str], folder: Path, **secrets: str) -> dict[str, str]:
    """Return an environment whose ``_FILE`` variables name files in ``folder``.

    ``secrets``: the content of each file, by its name with ``_`` for ``-``.
    """
    moved = dict(environ)
    for name, path in environ.items():
        if name.endswith("_FILE"):
            file = folder / Path(path).name
            file.write_text(secrets[file.name.replace("-", "_")], "utf-8")
            moved[name] = str(file)
    return moved
