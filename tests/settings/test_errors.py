"""Errors of settings, which stop the start."""

from __future__ import annotations

import json
import os
from functools import partial
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.testing import MemoryReactorClock

from ropg_twisted.service import make_service
from ropg_twisted.settings.clients import CLIENT_TABLE
from ropg_twisted.settings.errors import SettingError
from ropg_twisted.settings.model import SecondFactor
from ropg_twisted.settings.sources import read_settings
from ropg_twisted.settings.table import CONFIG, TABLE
from tests.parametrize import parametrize
from tests.settings.cases import SettingsTestCase
from tests.settings.examples import (
    CLIENT_VALUES,
    MFA_TOKENS,
    NO_LOGIN_STAGE,
    REQUIRED,
    VALUES,
    Values,
)


class RefusalTests(SettingsTestCase):
    """Errors of settings, which stop the start."""

    def test_every_setting_is_in_the_tables_of_these_tests(self) -> None:
        """No setting without a right and a wrong value here."""
        for tested, table in ((VALUES, TABLE), (CLIENT_VALUES, CLIENT_TABLE)):
            self.assertEqual(set(tested), set(table))
            for name, values in tested.items():
                self.assertTrue(values.right and values.wrong, name)

    @parametrize({name: (name, values) for name, values in VALUES.items()})
    def test_wrong_values(self, name: str, values: Values) -> None:
        """Each is refused in a line that names the setting and shows no secret."""
        found = []
        for text in values.wrong:
            environ = {**REQUIRED, name: text}
            found += self.complaints(name, text, partial(read_settings, {}, environ))
        self.assertEqual(found, [], "\n".join(found))

    @parametrize({name: (name, values) for name, values in CLIENT_VALUES.items()})
    def test_wrong_values_of_a_client(self, name: str, values: Values) -> None:
        """Each is refused in a line that names the setting and shows no secret."""
        found = []
        for text in values.wrong:
            rest = "" if name == "id" else 'id = "mac"\n'
            environ = self.config(f"[[clients]]\n{rest}{name} = {json.dumps(text)}")
            refused = partial(read_settings, {}, environ)
            found += self.complaints(f"clients.{name}", text, refused)
        self.assertEqual(found, [], "\n".join(found))

    @parametrize({name: (name, values) for name, values in VALUES.items() if values.useless})
    def test_useless_values(self, name: str, values: Values) -> None:
        """A value that only fails when the daemon is built is refused in the same way."""
        found = []
        for text in values.useless:
            environ = {"ROPG_STATE_DIR": self.mktemp(), **REQUIRED, name: text}
            settings = read_settings({}, environ)
            start = partial(make_service, settings, cast(Any, MemoryReactorClock()))
            found += self.complaints(name, text, start)
        self.assertEqual(found, [], "\n".join(found))

    def test_examples_are_right(self) -> None:
        """The example in an error would have been taken."""
        for name, setting in TABLE.items():
            if name != "ROPG_CA_FILE":
                read_settings({}, {**REQUIRED, name: setting.example})
            error = SettingError(name, "is wrong", setting.assignment)
            self.assertEqual(str(error), f"{name} is wrong; for example: {name}={setting.example}")

    def test_missing_settings(self) -> None:
        """A setting without a default is asked for by its name."""
        for name in REQUIRED:
            environ = {key: value for key, value in REQUIRED.items() if key != name}
            line = self.refusal(environ)
            self.assertEqual(line, f"{name} is missing; for example: {name}={TABLE[name].example}")

    def test_unknown_names(self) -> None:
        """A name that looks like a setting and is none stops the start, wherever it is."""
        for name in ("ROPG_LISTENS", "ROPG_LISTENS_FILE", "ROPG_", "ROPG_FLOW_SLUG"):
            line = self.refusal({**REQUIRED, name: ""})
            self.assertTrue(line.startswith(f"unknown setting {name}; "), line)
        for key in ("listens", "ROPG_LISTEN", "ropg_listen", "FLOW_SLUG", "config"):
            environ = self.config(f'{key} = "x"')
            line = self.refusal(environ)
            self.assertTrue(line.startswith(f"unknown setting {key} in /"), line)
            self.assertIn("/ropg.toml; ", line)
        read_settings({}, {**REQUIRED, "ROPGLISTEN": "", "MY_ROPG_LISTENS": ""})

    def test_the_nearest_name_is_offered(self) -> None:
        """An unknown name is answered with the right one, written as it has to be at that place."""
        for name, nearest in (
            ("ROPG_LIMIT", "ROPG_LIMITS"),
            ("ROPG_FLOW_SLUG", "FLOW_SLUG"),
            ("ROPG_OUTPOST_TOKENS_FILE", "ROPG_OUTPOST_TOKEN_FILE"),
            ("ROPG_CONFG", "ROPG_CONFIG"),
        ):
            line = self.refusal({**REQUIRED, name: "x"})
            self.assertEqual(line, f"unknown setting {name}; did you mean {nearest}?")
        for key, nearest in (("ROPG_LISTEN", "listen"), ("state_directory", "state_dir")):
            line = self.refusal(self.config(f'{key} = "x"'))
            self.assertTrue(line.endswith(f"; did you mean {nearest}?"), line)
        line = self.refusal(self.config('[[clients]]\nid = "mac"\nscope = "openid"'))
        expected = "unknown setting scope in [[clients]]; did you mean scopes?"
        self.assertEqual(line, expected)
        line = self.refusal({**REQUIRED, "ROPG_PORT_8580_TCP_ADDR": "x"})
        expected = "unknown setting ROPG_PORT_8580_TCP_ADDR; see docs/settings.md for all"
        self.assertEqual(line, expected)

    @parametrize(
        {
            "half a line": ("flow_slug = ", "ROPG_CONFIG is not TOML"),
            "a key twice": ('flow_slug = "a"\nflow_slug = "b"', "ROPG_CONFIG is not TOML"),
            "no UTF-8": ("\udcff", "ROPG_CONFIG is not TOML"),
            "deep nesting": ("listen = " + "[" * 100_000, "ROPG_CONFIG is not TOML"),
            "a long number": ("max_checks = " + "9" * 5000, "ROPG_CONFIG is not TOML"),
            "a long hex number": ("max_checks = 0x" + "f" * 5000, "ROPG_MAX_CHECKS is not a text"),
            "NaN": ("deadline = nan", "ROPG_DEADLINE is not a number"),
            "NUL in a path": ('ca_file = "a\\u0000b"', "ROPG_CA_FILE is not a path"),
            "a boolean": ("flow_slug = true", "FLOW_SLUG is not a text"),
            "a list for a text": ('flow_slug = ["a"]', "FLOW_SLUG is not a text"),
            "a date": ("flow_slug = 2026-01-01", "FLOW_SLUG is not a text"),
            "a number in a list": ('listen = ["tcp:1", 2]', "ROPG_LISTEN is not a text"),
            "a table": ('jwt_secret = { text = "hush" }', "JWT_SECRET is not a text"),
            "clients as a text": ('clients = "mac"', "clients is not a list of tables"),
            "clients as a table": ('[clients]\nid = "mac"', "clients is not a list of tables"),
            "a client without an id": ('[[clients]]\nsecret = "hush"', "clients.id is missing"),
            "an id that is no text": (
                '[[clients]]\nid = true\nsecret = "hush"',
                "clients.id is not a text",
            ),
            "a secret that is no text": (
                '[[clients]]\nid = "mac"\nsecret = ["hush"]',
                "clients.secret is not a text",
            ),
            "an unknown key of a client": (
                '[[clients]]\nid = "mac"\nsecrets = "hush"',
                "unknown setting secrets in [[clients]]",
            ),
        }
    )
    def test_wrong_file(self, text: str, named: str) -> None:
        """A file that is not what it should be is named, or the key in it."""
        environ = self.config(text)
        line = self.refusal(environ)
        self.assertTrue(line.startswith(named), line)
        self.assertNotIn("hush", line)

    def test_what_cannot_be_read(self) -> None:
        """A file that is not there, or is no text, is said to be so."""
        binary = self.put("\udcff" * 40)
        for name, path in (
            ("ROPG_CONFIG", "/no/such/file"),
            ("ROPG_CONFIG", "/"),
            ("JWT_SECRET_FILE", "/no/such/file"),
            ("JWT_SECRET_FILE", binary),
        ):
            line = self.refusal({**REQUIRED, name: path})
            self.assertTrue(line.startswith(f"{name} "), line)

    def test_conflicts(self) -> None:
        """Settings that contradict each other stop the start."""
        listed = self.config('[[clients]]\nid = "mac"\n')
        foreign = '[[clients]]\nid = "mac"\ntokens = "authentik"\nredirect_uri = "https://x"\n'
        either_alg = "set either JWT_SECRET or ROPG_SIGNING_ALG, not"
        either_secret = "client mac: set either secret or secret_sha256, not"
        twice = self.put('[[clients]]\nid = "mac"\n' * 2)
        for environ, named in (
            ({"JWT_SECRET": "x" * 32, "ROPG_SIGNING_ALG": "RS256"}, either_alg),
            ({"ROPG_LOGIN_STAGE": "none"}, "ROPG_CLAIMS"),
            ({"ROPG_LOGIN_STAGE": "none", "ROPG_CLAIMS": "authentik"}, "ROPG_CLAIMS"),
            ({"ROPG_LOGIN_STAGE": "none", "ROPG_CLAIMS": "typed"}, "ROPG_CHECK_ACCESS"),
            ({**listed, "CLIENT_ID": "mac"}, "clients"),
            ({**listed, "CLIENT_SECRET": "hush"}, "CLIENT_SECRET"),
            ({CONFIG.name: twice}, "clients"),
            ({"ROPG_MFA": "tokens"}, "ROPG_CLAIMS"),
            ({"ROPG_MFA": "tokens", "ROPG_CLAIMS": "typed"}, "ROPG_CHECK_ACCESS"),
            ({**MFA_TOKENS, "ROPG_TOKENS": "authentik"}, "ROPG_TOKENS"),
            ({"ROPG_TOKENS": "authentik"}, "clients.redirect_uri"),
            (self.config(f'{foreign}secret_sha256 = "{"0" * 64}"'), "clients.secret"),
            ({**NO_LOGIN_STAGE, **self.config(foreign)}, "ROPG_TOKENS"),
            (self.config(f'{foreign}secret = "x"\nsecret_sha256 = "{"0" * 64}"'), either_secret),
        ):
            line = self.refusal({**REQUIRED, **environ})
            self.assertTrue(line.startswith(f"{named} "), line)
        self.assertFalse(read_settings({}, {**REQUIRED, **NO_LOGIN_STAGE}).login_stage)
        [client] = read_settings({}, {**REQUIRED, **MFA_TOKENS}).clients
        self.assertIs(client.second_factor, SecondFactor.TOKENS)

    def test_an_error_is_one_line_whatever_a_name_holds(self) -> None:
        """A line end in a name or in a path makes no second line."""
        for environ in (
            {**REQUIRED, "ROPG_X\nROPG_Y": ""},
            {**REQUIRED, "JWT_SECRET_FILE": "/no\nsuch\nfile"},
            self.config('"one\\ntwo" = 1'),
        ):
            self.refusal(environ)

    @given(
        st.sampled_from(sorted(TABLE)),
        st.sampled_from(["", "https://", "sandbox:", "redis://", "rediss://h/?", "user 1 per "]),
        st.binary() | st.text().map(str.encode),
    )
    def test_any_bytes_are_taken_or_refused(self, name: str, start: str, rest: bytes) -> None:
        """Nothing that a variable can hold ends in anything but settings or one line."""
        text = start + os.fsdecode(rest.replace(b"\0", b""))
        try:
            read_settings({}, {**REQUIRED, name: text})
        except SettingError as error:
            self.assertEqual(len(str(error).splitlines()), 1, repr(str(error)))

    def test_secrets_do_not_show(self) -> None:
        """No representation of settings or clients holds a secret."""
        environ = self.config('[[clients]]\nid = "mac"\nsecret = "hush-1"')
        environ |= {"CLIENT_ID": "web", "CLIENT_SECRET": "hush-2", "JWT_SECRET": "hush-3" * 8}
        environ |= {"ROPG_OUTPOST_TOKEN": "hush-4", "ROPG_LIMITS_STORE": "redis://:hush-5@host"}
        settings = read_settings({}, environ)
        self.assertEqual(settings.outpost_token, "hush-4")
        for shown in (repr(settings), str(settings), repr(settings.clients)):
            self.assertNotIn("hush", shown)
