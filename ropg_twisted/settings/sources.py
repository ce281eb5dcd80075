"""Reading the settings: option over environment over file over default.

Every environment name may end in ``_FILE`` to name a file that holds the value, and a file of the
setting's name in ``$CREDENTIALS_DIRECTORY`` (systemd's LoadCredential) counts as well.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ropg_twisted.errors import SettingError
from ropg_twisted.networks import Networks
from ropg_twisted.settings.clients import check_clients, read_client
from ropg_twisted.settings.model import Client, Settings
from ropg_twisted.settings.table import CONFIG, TABLE, Setting
from ropg_twisted.settings.values import SANDBOX


class _Sources:
    """Where a setting's value may come from, in the order in which they count."""

    def __init__(self, options: Mapping[str, Any], environ: Mapping[str, str]) -> None:
        self._options = options
        self._environ = environ
        self._file: dict[str, Any] = {}

    def check_names(self) -> None:
        """A name that looks like ours and is not is a mistake worth stopping for."""
        known = {*TABLE, CONFIG.name}
        for name in self._environ:
            if name.startswith("ROPG_") and not known & {name, name.removesuffix("_FILE")}:
                raise SettingError(name, "is not a setting", ", ".join(sorted(known)))

    def read_file(self) -> list[Mapping[str, object]]:
        """Read the settings file, if there is one; the tables of its clients come back."""
        path = self.value(CONFIG)
        if path is None:
            return []
        try:
            self._file = tomllib.loads(path.read_text("utf-8"))
        except (ValueError, RecursionError) as error:
            raise SettingError(CONFIG.name, f"is not TOML ({error})", 'client_id = "mac"') from None
        clients = _tables(self._file.pop("clients", []))
        known = {setting.key for setting in TABLE.values()}
        for key in self._file:
            if key not in known:
                raise SettingError(f"{path}: {key}", "is not a setting", ", ".join(sorted(known)))
        return clients

    def is_given(self, setting: Setting) -> bool:
        """Whether any source names it."""
        return self._raw(setting) is not None

    def value(self, setting: Setting) -> Any:
        """Its checked value, its default, or ``None``.

        Raises :exc:`SettingError` if it is wrong, or missing and required.
        """
        return setting.value(self._raw(setting))

    def _raw(self, setting: Setting) -> str | None:
        option = self._options.get(setting.option) if setting.option else None
        if option:
            return " ".join(option) if isinstance(option, list) else str(option)
        value = self._environ.get(setting.name)
        if value or (value == "" and setting.may_be_empty):
            return value
        secret = self._environ.get(f"{setting.name}_FILE")
        if secret:
            return _file_content(f"{setting.name}_FILE", Path(secret))
        credential = Path(self._environ.get("CREDENTIALS_DIRECTORY") or "/nowhere", setting.name)
        if credential.is_file():
            return _file_content(setting.name, credential)
        return setting.text_in_file(self._file.get(setting.key))


def _file_content(name: str, path: Path) -> str:
    """The text of a file without the line end that editors leave."""
    try:
        return path.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        # A secret that was put where its file's name belongs must not be shown.
        raise SettingError(name, "names a file that cannot be read", "/run/secrets/x") from None


def _tables(value: object) -> list[Mapping[str, object]]:
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return value
    raise SettingError("clients", "is not a list of tables", '[[clients]] and id = "mac" below it')


def _clients(
    tables: list[Mapping[str, object]], value: Mapping[str, Any], *, named: bool
) -> tuple[Client, ...]:
    """All clients: those of the file, and that of CLIENT_ID if it is ``named`` or the only one."""
    clients = [read_client(table, value) for table in tables]
    if value["CLIENT_SECRET"] and tables and not named:
        raise SettingError("CLIENT_SECRET", "belongs to no client", "CLIENT_ID=jamf-connect")
    if named or not clients:
        given = {"id": value["CLIENT_ID"], "secret": value["CLIENT_SECRET"]}
        clients.append(read_client(given, value))
    if len({client.id for client in clients}) < len(clients):
        raise SettingError("clients", "name the same id twice", 'id = "mac"')
    check_clients(clients, value)
    return tuple(clients)


def _state_directory(environ: Mapping[str, str]) -> Path:
    """The first of the directories that systemd has made, or ``state`` here."""
    return Path(environ.get("STATE_DIRECTORY", "").partition(":")[0] or "state")


def read_settings(options: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """The settings from parsed options (keyed by option name) and the environment.

    Raises :exc:`SettingError` for the first that is wrong or missing.
    """
    sources = _Sources(options, environ)
    sources.check_names()
    tables = sources.read_file()
    value = {name: sources.value(setting) for name, setting in TABLE.items()}

    if value["JWT_SECRET"] and sources.is_given(TABLE["ROPG_SIGNING_ALG"]):
        raise SettingError(
            "ROPG_SIGNING_ALG", "cannot be had together with JWT_SECRET", "leave one of them out"
        )
    if value["ROPG_LOGIN_STAGE"] == "none" and value["ROPG_CLAIMS"] != "typed":
        raise SettingError(
            "ROPG_CLAIMS",
            "must be typed, because a flow without a login stage tells nobody's name",
            "ROPG_CLAIMS=typed",
        )
    if value["ROPG_LOGIN_STAGE"] == "none" and value["ROPG_CHECK_ACCESS"] != "off":
        raise SettingError(
            "ROPG_CHECK_ACCESS",
            "must be off, because a flow without a login stage leaves no session to ask with",
            "ROPG_CHECK_ACCESS=off",
        )

    authentik_url: str = value["AUTHENTIK_URL"]
    sandbox_port = None
    if authentik_url.startswith(SANDBOX):
        sandbox_port = int(authentik_url.removeprefix(SANDBOX))
        authentik_url = f"http://127.0.0.1:{sandbox_port}"
    return Settings(
        authentik_url=authentik_url,
        sandbox_port=sandbox_port,
        flow_slug=value["FLOW_SLUG"],
        app_slug=value["ROPG_APP_SLUG"],
        checks_access=value["ROPG_CHECK_ACCESS"] == "on",
        clients=_clients(tables, value, named=sources.is_given(TABLE["CLIENT_ID"])),
        issuer=value["PROXY_ISSUER"],
        jwt_secret=value["JWT_SECRET"],
        listen=value["ROPG_LISTEN"],
        admin_listen=value["ROPG_ADMIN_LISTEN"],
        state_dir=value["ROPG_STATE_DIR"] or _state_directory(environ),
        signing_alg=value["ROPG_SIGNING_ALG"],
        token_lifetime=value["ROPG_TOKEN_LIFETIME"],
        login_stage=value["ROPG_LOGIN_STAGE"] == "required",
        claims_from_username=value["ROPG_CLAIMS"] == "typed",
        invalidation_flow=value["ROPG_INVALIDATION_FLOW"],
        ca_file=value["ROPG_CA_FILE"],
        outpost_token=value["ROPG_OUTPOST_TOKEN"],
        trusted_proxies=value["ROPG_TRUSTED_PROXIES"] or Networks(),
        allowed_networks=value["ROPG_ALLOWED_NETWORKS"],
        deadline=value["ROPG_DEADLINE"],
        max_checks=value["ROPG_MAX_CHECKS"],
        limits_store=value["ROPG_LIMITS_STORE"],
        drop_on_outage=value["ROPG_OUTAGE"] == "abort",
        log=value["ROPG_LOG"],
    )
