"""Chromium, driven by its own driver through Selenium, which speaks the standard WebDriver.

Debian keeps browser and driver at one version. Nothing else is downloaded.
"""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from tests.paths import TESTS

AXE: Final = TESTS / "browser" / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM: Final = shutil.which("chromium")
DRIVER: Final = shutil.which("chromedriver")

SCREENSHOTS: Final = os.environ.get("TEST_SCREENSHOTS")
"""Directory for screenshots; by default that of the test."""

WIDTHS: Final[Mapping[str, int]] = {"desktop": 1280, "phone": 360}
SCHEMES: Final = ("light", "dark")


def missing() -> str | None:
    """Why there is no browser to look with, or None."""
    if CHROMIUM is None or DRIVER is None:
        return "Chromium is not here: install chromium and chromium-driver"
    if not AXE.is_file():
        return "axe-core is not here: run npm ci in tests/browser"
    return None


class Chromium:
    """A browser without a window."""

    def __init__(self) -> None:
        options = ChromeOptions()
        options.binary_location = CHROMIUM or ""
        arguments = ["--headless=new", "--disable-dev-shm-usage", "--hide-scrollbars"]
        if os.geteuid() == 0:
            arguments.append("--no-sandbox")  # Chromium has none for root.
        for argument in arguments:
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = Chrome(options, Service(DRIVER))

    def show(self, url: str, width: int, scheme: str) -> None:
        """Load a page in a window of this width, in light or dark."""
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        self._command("Emulation.setEmulatedMedia", features=media)
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        self._command("Emulation.setDeviceMetricsOverride", **size)
        self.driver.get(url)

    def run(self, script: str, *arguments: Any) -> Any:
        """The result of a script. The policy of the page does not concern the driver."""
        return self.driver.execute_script(script, *arguments)

    def violations(self) -> list[str]:
        """Return the findings of axe-core on the page: rule, element and message."""
        self.run(AXE.read_text("utf-8"))
        found = self.driver.execute_async_script(
            "const done = arguments[0]; axe.run().then(done, error => done({error: `${error}`}));"
        )
        assert "error" not in found, found["error"]
        return [
            f"{rule['id']}: {node['html']}: {node['failureSummary']}"
            for rule in found["violations"]
            for node in rule["nodes"]
        ]

    def complaints(self) -> list[str]:
        """Return the lines of the browser's console, such as violations of the policy."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def save(self, path: Path) -> None:
        """Save a picture of the whole page."""
        picture = self._command("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(picture["data"]))

    def quit(self) -> None:
        """End the browser and its driver."""
        self.driver.quit()

    def _command(self, name: str, **parameters: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, parameters)
