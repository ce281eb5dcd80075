"""Settings out of all kinds of sources."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.settings.errors import SettingError
from ropg_twisted.settings.model import Settings
from ropg_twisted.settings.sources import read_settings
from ropg_twisted.settings.table import CONFIG, TABLE
from ropg_twisted.tap import Options
from tests.settings.examples import REQUIRED


class SettingsTestCase(SynchronousTestCase):
    """Settings out of all kinds of sources."""

    def put(self, text: str, name: str = "ropg.toml") -> str:
        """Write a file into a new folder, and return its path."""
        path = Path(self.mktemp(), name).absolute()
        path.parent.mkdir()
        path.write_text(text, "utf-8", "surrogateescape")
        return str(path)

    def config(self, text: str) -> dict[str, str]:
        """The environment with a settings file."""
        return {**REQUIRED, CONFIG.name: self.put(text)}

    def sources(self, name: str, text: str) -> dict[str, Callable[[], Settings]]:
        """Every way to give a setting a text."""
        setting = TABLE[name]
        rest = {key: value for key, value in REQUIRED.items() if key != name}

        def by(**environ: str) -> Settings:
            return read_settings({}, {**rest, **environ})

        def option() -> Settings:
            options = Options()
            options.parseOptions([f"--{setting.option}", text])
            return read_settings(options, rest)

        ways = {
            "environment": lambda: by(**{name: text}),
            "_FILE": lambda: by(**{f"{name}_FILE": self.put(f"{text}\n")}),
            "credential": lambda: by(
                CREDENTIALS_DIRECTORY=str(Path(self.put(f"{text}\n", name)).parent)
            ),
            "file": lambda: by(ROPG_CONFIG=self.put(f"{setting.key} = {json.dumps(text)}")),
        }
        return ways if setting.option is None else {"option": option, **ways}

    def refusal(self, environ: Mapping[str, str]) -> str:
        """The error of wrong settings: always one line that ends with what to do about it."""
        error = self.assertRaises(SettingError, read_settings, {}, environ)
        self.assertEqual(len(str(error).splitlines()), 1, repr(str(error)))
        self.assertRegex(
            str(error), "; for example: |; did you mean |; see docs/|set either .+ not"
        )
        return str(error)

    def complaints(self, name: str, text: str, do: Callable[[], object]) -> list[str]:
        """Problems with the refusal of a wrong value: it is named in one line, not shown."""
        case = f"{name}={text[:40]!r}"
        try:
            do()
        except SettingError as error:
            line = str(error)
            if not line.startswith(f"{name} ") or len(line.splitlines()) != 1:
                return [f"{case}: says {line!r}"]
            return [f"{case}: is shown"] if "hush" in line else []
        except Exception as error:
            return [f"{case}: raises {type(error).__name__}"]
        return [f"{case}: is taken"]
