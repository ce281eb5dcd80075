"""The rules of imports in docs/architecture.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.paths import CHECKOUT

APART = {"oauth", "guard", "authentik"}
"""Packages that do not know each other."""


def imported(path: Path) -> set[str]:
    """The first names below ``ropg_twisted`` of all that a module imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "ropg_twisted":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names |= set(re.findall(r"^ropg_twisted\.(\w+)", node.module))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                names |= set(re.findall(r"^ropg_twisted\.(\w+)", alias.name))
    return names


class ImportTests(SynchronousTestCase):
    """Arrows between the packages."""

    def test_three_packages_do_not_know_each_other(self) -> None:
        """The protocol, the guards and the client of Authentik can each be read alone."""
        for package in APART:
            for path in (CHECKOUT / "ropg_twisted" / package).glob("*.py"):
                self.assertEqual(imported(path) & (APART - {package}), set(), path)

    def test_the_ground_knows_none_of_them(self) -> None:
        """Modules that the document lists as shared by all import nothing above them."""
        document = (CHECKOUT / "docs" / "architecture.md").read_text("utf-8")
        [sentence] = re.findall(r"other\. (.*) import none of them\.$", document, re.MULTILINE)
        names = re.findall(r"`(\w+)`", sentence)
        self.assertIn("semaphore", names)
        for name in names:
            package = CHECKOUT / "ropg_twisted" / name
            for path in package.glob("*.py") if package.is_dir() else [package.with_suffix(".py")]:
                self.assertEqual(imported(path) & APART, set(), path)

    def test_the_daemon_does_not_know_what_is_made_for_others(self) -> None:
        """Only commands write files for other programs."""
        package = CHECKOUT / "ropg_twisted"
        importers = {
            path.relative_to(package).parts[0]
            for path in package.rglob("*.py")
            if "provisioning" in imported(path)
        }
        self.assertEqual(importers, {"cli", "provisioning"})

    def test_a_blueprint_is_made_without_the_daemon(self) -> None:
        """It needs no module of the daemon, and no settings."""
        for path in (CHECKOUT / "ropg_twisted").glob("provisioning/blueprint/*.py"):
            self.assertLessEqual(imported(path), {"provisioning", "remedies"}, path)
