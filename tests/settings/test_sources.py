"""The sources of settings."""

from __future__ import annotations

import json
from pathlib import Path

from ropg_twisted.settings.model import Client
from ropg_twisted.settings.sources import read_settings
from ropg_twisted.settings.table import CONFIG, TABLE
from ropg_twisted.tap import Options
from tests.parametrize import parametrize
from tests.settings.cases import SettingsTestCase
from tests.settings.examples import CLIENT_VALUES, DEFAULTS, RATES, REQUIRED, VALUES, Values


class SourcesTests(SettingsTestCase):
    """The source of a setting."""

    def test_everything_has_a_default_but_two_urls(self) -> None:
        """Two URLs are all that a daemon needs."""
        self.assertEqual(read_settings({}, REQUIRED), DEFAULTS)

    def test_each_source_counts_over_the_next(self) -> None:
        """Option over environment over _FILE over credential over file over default."""
        options: dict[str, str] = {}
        environ = dict(REQUIRED)
        credential = self.put("credential\n", "FLOW_SLUG")
        sources: list[tuple[str, dict[str, str], str, str]] = [
            ("file", environ, CONFIG.name, self.put('flow_slug = "file"')),
            ("credential", environ, "CREDENTIALS_DIRECTORY", str(Path(credential).parent)),
            ("secret", environ, "FLOW_SLUG_FILE", self.put("secret")),
            ("environment", environ, "FLOW_SLUG", "environment"),
            ("option", options, "flow", "option"),
        ]
        for expected, where, key, value in sources:
            where[key] = value
            self.assertEqual(read_settings(options, environ).flow_slug, expected)

    def test_a_program_may_do_without_a_setting(self) -> None:
        """Its own text counts only where no source has one."""
        unset = {**REQUIRED, "FLOW_SLUG": "unset"}
        self.assertEqual(read_settings({}, {}, unset).flow_slug, "unset")
        given = {"AUTHENTIK_URL": "https://other.example.com", "FLOW_SLUG": "given"}
        settings = read_settings({}, given, unset)
        self.assertEqual((settings.authentik_url, settings.flow_slug), tuple(given.values()))
        self.assertEqual(
            read_settings({}, self.config('flow_slug = "file"'), unset).flow_slug, "file"
        )

    @parametrize({name: (name, values) for name, values in VALUES.items()})
    def test_right_values(self, name: str, values: Values) -> None:
        """Each right value comes out alike, wherever it comes from."""
        for text, value in values.right.items():
            for source, read in self.sources(name, text).items():
                if source != "option" or text:
                    self.assertEqual(values.read(read()), value, f"{name}={text} by {source}")

    def test_the_settings_file_is_named_by_option_or_environment(self) -> None:
        """The option counts over the environment here as well."""
        environ = self.config('flow_slug = "one"')
        self.assertEqual(read_settings({}, environ).flow_slug, "one")
        options = Options()
        options.parseOptions(["--config", self.put('flow_slug = "two"')])
        self.assertEqual(read_settings(options, environ).flow_slug, "two")

    def test_the_file_takes_numbers_and_lists(self) -> None:
        """Numbers need no quotes, and endpoints may be a list."""
        text = 'token_lifetime = 60\ndeadline = 2.5\nlisten = ["tcp:1", "unix:/run/ropg"]'
        settings = read_settings({}, self.config(text))
        self.assertEqual(
            (settings.token_lifetime, settings.deadline, settings.listen),
            (60, 2.5, ("tcp:1", "unix:/run/ropg")),
        )

    def test_an_option_may_be_repeated(self) -> None:
        """Each ``--listen`` adds an endpoint, and together they replace the environment's."""
        options = Options()
        options.parseOptions(["--listen", "tcp:1", "--listen", "tcp:2"])
        settings = read_settings(options, {**REQUIRED, "ROPG_LISTEN": "tcp:3"})
        self.assertEqual(settings.listen, ("tcp:1", "tcp:2"))

    def test_the_state_directory_of_systemd_counts(self) -> None:
        """``$STATE_DIRECTORY`` is the default, and no more than that."""
        environ = {**REQUIRED, "STATE_DIRECTORY": "/var/lib/unit"}
        self.assertEqual(read_settings({}, environ).state_dir, Path("/var/lib/unit"))
        environ["ROPG_STATE_DIR"] = "/var/lib/own"
        self.assertEqual(read_settings({}, environ).state_dir, Path("/var/lib/own"))

    def test_an_empty_variable_is_not_there(self) -> None:
        """Compose files set what is not set to nothing; only one flow has a meaning for that."""
        environ = {**dict.fromkeys([*TABLE, CONFIG.name], ""), **REQUIRED}
        settings = read_settings({}, environ)
        self.assertIsNone(settings.invalidation_flow)
        del environ["ROPG_INVALIDATION_FLOW"]
        self.assertEqual(read_settings({}, environ), DEFAULTS)

    def test_an_empty_file_is_a_mistake(self) -> None:
        """A secret that is empty by accident must not turn a client into a public one."""
        found = []
        for name, setting in TABLE.items():
            for source in () if setting.may_be_empty else ("_FILE", "credential", "file"):
                complaints = self.complaints(name, "", self.sources(name, "")[source])
                found += [f"{source}: {complaint}" for complaint in complaints]
        self.assertEqual(found, [], "\n".join(found))

    def test_clients_of_the_file(self) -> None:
        """The file lists clients with or without a secret; one more may be named elsewhere."""
        tables = '[[clients]]\nid = "mac"\n[[clients]]\nid = "web"\nsecret = "hush"\n'
        listed = (Client("mac", rates=RATES), Client("web", "hush", rates=RATES))
        environ = self.config(tables)
        self.assertEqual(read_settings({}, environ).clients, listed)
        environ |= {"CLIENT_ID": "jamf", "CLIENT_SECRET": "shh"}
        third = Client("jamf", "shh", rates=RATES)
        self.assertEqual(read_settings({}, environ).clients, (*listed, third))
        settings = read_settings({}, self.config('client_id = "top"\n' + tables))
        self.assertEqual(settings.clients, (*listed, Client("top", rates=RATES)))

    @parametrize({name: (name, values) for name, values in CLIENT_VALUES.items()})
    def test_right_values_of_a_client(self, name: str, values: Values) -> None:
        """Each right value of a client comes out, whatever holds for all others."""
        for text, value in values.right.items():
            rest = "" if name == "id" else 'id = "mac"\n'
            tables = f"[[clients]]\n{rest}{name} = {json.dumps(text)}\n"
            for outage in ("503", "abort"):
                environ = {**self.config(tables), "ROPG_OUTAGE": outage, "CLIENT_ID": "other"}
                settings = read_settings({}, environ)
                self.assertEqual(values.read(settings), value, f"{name} = {text}")
                other = Client("other", rates=RATES, drop_on_outage=outage == "abort")
                self.assertEqual(settings.clients[1], other)
