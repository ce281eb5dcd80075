"""Reads the settings from their sources.

The order of precedence:

1. option of ``twistd ropg``
2. environment variable
3. file that the environment variable with ``_FILE`` after its name points to
4. file of the setting's name in ``$CREDENTIALS_DIRECTORY`` (systemd's LoadCredential)
5. settings file
6. default
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from ropg_twisted.settings.clients import read_client
from ropg_twisted.settings.combinations import check_combinations
from ropg_twisted.settings.errors import SettingError, UnknownSettingError
from ropg_twisted.settings.model import Client, Settings
from ropg_twisted.settings.table import CONFIG, TABLE, Setting, Value, attributes
from ropg_twisted.settings.values import Upstream


class _Sources:
    """The sources of settings but for the defaults, in their order of precedence."""

    def __init__(self, options: Mapping[str, object], environ: Mapping[str, str]) -> None:
        self._options = options
        self._environ = environ
        self._file: dict[str, object] = {}

    def check_names(self) -> None:
        """Raise :exc:`SettingError` for an unknown ``ROPG_`` variable: it is probably a typo."""
        known = [name + suffix for name in (*TABLE, CONFIG.name) for suffix in ("", "_FILE")]
        for name in self._environ:
            if name.startswith("ROPG_") and name not in known:
                raise UnknownSettingError(name, known)

    def read_file(self) -> list[Mapping[str, object]]:
        """Read the settings file, if there is one, and return its tables of clients.

        Raises :exc:`SettingError` if it is not TOML or has an unknown key.
        """
        path = CONFIG.value(self.text(CONFIG))
        if path is None:
            return []
        try:
            self._file = tomllib.loads(path.read_text("utf-8"))
        except (ValueError, RecursionError) as error:
            raise SettingError(CONFIG.name, f"is not TOML ({error})", 'client_id = "mac"') from None
        clients = _tables(self._file.pop("clients", []))
        known = [setting.key for setting in TABLE.values()]
        for key in self._file:
            if key not in known:
                raise UnknownSettingError(key, known, f" in {path}")
        return clients

    def text(self, setting: Setting) -> str | None:
        """Return the text of a setting from its first source; ``None`` if there is none."""
        option = self._options.get(setting.option) if setting.option else None
        if option:
            return " ".join(option) if isinstance(option, list) else str(option)
        value = self._environ.get(setting.name)
        if value or (value is not None and setting.may_be_empty):
            return value
        path = self._environ.get(f"{setting.name}_FILE")
        if path:
            return _file_content(f"{setting.name}_FILE", Path(path))
        credential = Path(self._environ.get("CREDENTIALS_DIRECTORY") or "/nowhere", setting.name)
        if credential.is_file():
            return _file_content(setting.name, credential)
        return setting.text_in_file(self._file.get(setting.key))


def _file_content(name: str, path: Path) -> str:
    """Return the text of a file without the line end that editors leave."""
    try:
        return path.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        # The path is not shown: somebody may have put the secret itself there.
        raise SettingError(name, "is a file that cannot be read", "/run/secrets/x") from None


def _tables(value: object) -> list[Mapping[str, object]]:
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return value
    raise SettingError("clients", "is not a list of tables", '[[clients]], then id = "mac"')


def _clients(
    tables: list[Mapping[str, object]], value: Mapping[str, Value], *, named: bool
) -> tuple[Client, ...]:
    """Return the clients of the file, and that of CLIENT_ID if it is ``named`` or the only one."""
    clients = [read_client(table, value) for table in tables]
    if named or not clients:
        given = {"id": value["CLIENT_ID"], "secret": value["CLIENT_SECRET"]}
        clients.append(read_client(given, value))
    return tuple(clients)


def _default_state_dir(environ: Mapping[str, str]) -> Path:
    """Return the first directory that systemd made for the unit, else ``state``."""
    return Path(environ.get("STATE_DIRECTORY", "").partition(":")[0] or "state")


def read_settings(
    options: Mapping[str, object],
    environ: Mapping[str, str],
    unset: Mapping[str, str] = MappingProxyType({}),
) -> Settings:
    """Return the settings of parsed options (by option name) and the environment.

    ``unset``: texts for settings that no source has, in place of their defaults.

    Raises :exc:`SettingError` for the first setting that is unknown, invalid or missing.
    """
    sources = _Sources(options, environ)
    sources.check_names()
    tables = sources.read_file()
    texts = {name: sources.text(setting) for name, setting in TABLE.items()}
    given = {name for name, text in texts.items() if text is not None}
    texts |= {name: text for name, text in unset.items() if name not in given}
    value = {name: setting.value(texts[name]) for name, setting in TABLE.items()}
    if tables:
        given.add("clients")
    upstream: Upstream = value["AUTHENTIK_URL"]
    clients = _clients(tables, value, named="CLIENT_ID" in given)
    arguments = {
        "state_dir": _default_state_dir(environ),
        **attributes(Settings, TABLE.values(), value),
        "authentik_url": upstream.url,
        "sandbox_port": upstream.sandbox_port,
        "app_slug": value["ROPG_APP_SLUG"] or clients[0].id,
        "app_required": value["ROPG_APP_SLUG"] is not None,
        "clients": clients,
    }
    settings = Settings(**arguments)
    check_combinations(settings, given)
    return settings
