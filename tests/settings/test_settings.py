"""Settings: where they may come from, what they may be, and what is said of a wrong one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from limits import parse
from limits.storage import RedisStorage
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.interfaces import Rates
from ropg_twisted.networks import EVERYWHERE, Networks, parse_networks
from ropg_twisted.service import make_service
from ropg_twisted.settings.clients import CLIENT_TABLE
from ropg_twisted.settings.combinations import warnings
from ropg_twisted.settings.errors import SettingError
from ropg_twisted.settings.model import Client, SecondFactor, Settings, SigningAlgorithm
from ropg_twisted.settings.sources import read_settings
from ropg_twisted.settings.table import CONFIG, TABLE
from ropg_twisted.settings.values import STORE_SECONDS
from ropg_twisted.tap import Options
from tests.rows import Rows

REQUIRED = {
    "AUTHENTIK_URL": "https://authentik.example.com",
    "PROXY_ISSUER": "https://ropg.example.com",
}

NO_LOGIN_STAGE = {
    "ROPG_LOGIN_STAGE": "none",
    "ROPG_CLAIMS": "typed",
    "ROPG_CHECK_ACCESS": "off",
}
MFA_TOKENS = {"ROPG_MFA": "tokens", "ROPG_CLAIMS": "typed", "ROPG_CHECK_ACCESS": "off"}

RATES = Rates(parse("10 per 15 minutes"), parse("60 per minute"))

DEFAULTS = Settings(
    authentik_url="https://authentik.example.com",
    sandbox_port=None,
    flow_slug="default-authentication-flow",
    app_slug=None,
    checks_access=True,
    clients=(Client("jamf-connect", rates=RATES),),
    issuer="https://ropg.example.com",
    jwt_secret=None,
    listen=("tcp:8580:interface=127.0.0.1",),
    admin_listen=None,
    state_dir=Path("state"),
    signing_alg=SigningAlgorithm.RS256,
    token_lifetime=3600,
    login_stage=True,
    slow_refusal=5.0,
    claims_from_username=False,
    invalidation_flow="default-invalidation-flow",
    ca_file=None,
    outpost_token=None,
    trusted_proxies=Networks(),
    allowed_networks=EVERYWHERE,
    deadline=15.0,
    max_checks=64,
    limits_store=None,
    drop_on_outage=False,
    log=None,
)


@dataclass(frozen=True)
class Values:
    """What a setting takes, and what it does not.

    ``right``: texts, with what ``read`` finds for each. ``wrong``: texts that are refused.
    ``useless``: texts that turn out not to work when the daemon is put together.
    """

    read: Callable[[Settings], object]
    right: Mapping[str, object]
    wrong: tuple[str, ...]
    useless: tuple[str, ...] = ()


def connection_options(settings: Settings) -> dict[str, object]:
    """How a shared store would connect, but for our own time limits."""
    store = settings.limits_store
    if store is None:
        return {}
    assert isinstance(store, RedisStorage)
    options = store.storage.connection_pool.connection_kwargs
    names = ("host", "port", "db", "path", "username", "password", "socket_timeout")
    given = {name: options[name] for name in names if name in options}
    return {name: value for name, value in given.items() if value not in (None, STORE_SECONDS)}


VALUES = {
    "AUTHENTIK_URL": Values(
        lambda settings: (settings.authentik_url, settings.sandbox_port),
        {
            "https://a.example.com": ("https://a.example.com", None),
            "https://a.example.com/": ("https://a.example.com", None),
            "http://a.example.com:9000/sso/": ("http://a.example.com:9000/sso", None),
            "http://authentik": ("http://authentik", None),
            "https://SSO.Bücher.example": ("https://SSO.Bücher.example", None),
            "sandbox:": ("http://127.0.0.1:8581", 8581),
            "sandbox:1234": ("http://127.0.0.1:1234", 1234),
        },
        (
            "a.example.com",
            "ftp://a.example.com",
            "https://",
            "https:///path",
            "https://[::1",
            "https://[::1]",
            "https://a.example.com:port",
            "https://a.example.com:99999",
            "https://somebody@a.example.com",
            "https://a.example.com/?",
            "https://a.example.com/#top",
            "https://a_b.example.com",
            "https://a..example.com",
            "https://-a.example.com",
            "https://a b.example.com",
            "https://a.example.com\n",
            "https://a.example.com/\n",
            "sandbox",
            "sandbox:none",
            "sandbox:0",
            "sandbox:65536",
            "sandbox:-1",
        ),
    ),
    "FLOW_SLUG": Values(
        lambda settings: settings.flow_slug,
        {"Mac-login_2": "Mac-login_2"},
        ("mac login", "mac/login", "../mac", "mac\n", "überall", "-"),
    ),
    "CLIENT_ID": Values(
        lambda settings: [client.id for client in settings.clients],
        {"mac": ["mac"], "a b:ü": ["a b:ü"]},
        ("mac\nlogin", "mac\x1b[2J"),
    ),
    "CLIENT_SECRET": Values(
        lambda settings: [client.secret for client in settings.clients],
        {"a +%:&ü": ["a +%:&ü"]},
        ("hush\nhush", "hush\udcff"),
    ),
    "PROXY_ISSUER": Values(
        lambda settings: settings.issuer,
        {
            "https://ropg.example.com": "https://ropg.example.com",
            "https://example.com/ropg/": "https://example.com/ropg/",
            "http://127.0.0.1:8580": "http://127.0.0.1:8580",
        },
        ("ropg.example.com", "https://ropg.example.com?x=1", "https://ropg.example.com\n"),
    ),
    "JWT_SECRET": Values(
        lambda settings: settings.jwt_secret,
        {"x" * 32: "x" * 32, "ü" * 16: "ü" * 16},
        ("hush, these are merely 31 bytes", "hush" + "\udcff" * 40),
    ),
    "ROPG_LISTEN": Values(
        lambda settings: settings.listen,
        {
            "tcp:8580": ("tcp:8580",),
            "tcp:8580 unix:/run/ropg": ("tcp:8580", "unix:/run/ropg"),
        },
        (" ",),
        ("8580", "tcp:", "quic:8580"),
    ),
    "ROPG_ADMIN_LISTEN": Values(
        lambda settings: settings.admin_listen,
        {"tcp:8582": "tcp:8582"},
        ("tcp:8582\n",),
        ("quic:8582",),
    ),
    "ROPG_STATE_DIR": Values(
        lambda settings: settings.state_dir,
        {"/var/lib/ropg": Path("/var/lib/ropg")},
        (" ",),
        (f"{__file__}/state",),
    ),
    "ROPG_SIGNING_ALG": Values(
        lambda settings: settings.signing_alg,
        {word: word for word in ("RS256", "ES256", "EdDSA")},
        ("HS256", "none", "rs256"),
    ),
    "ROPG_TOKEN_LIFETIME": Values(
        lambda settings: settings.token_lifetime,
        {"60": 60, "86400": 86400},
        ("59", "86401", "-60", "1e3", "60.5", "an hour", "9" * 5000),
    ),
    "ROPG_LOGIN_STAGE": Values(
        lambda settings: settings.login_stage, {"required": True}, ("no", "None")
    ),
    "ROPG_APP_SLUG": Values(
        lambda settings: settings.app_slug, {"macs": "macs"}, ("the macs", "macs/")
    ),
    "ROPG_CHECK_ACCESS": Values(
        lambda settings: settings.checks_access, {"on": True, "off": False}, ("yes", "On")
    ),
    "ROPG_MFA": Values(
        lambda settings: settings.clients[0].second_factor,
        {"interaction_required": SecondFactor.REFUSED, "code": SecondFactor.CODE},
        ("off", "Code"),
    ),
    "ROPG_TOKENS": Values(
        lambda settings: settings.clients[0].upstream_tokens, {"own": False}, ("theirs", "Own")
    ),
    "ROPG_CLAIMS": Values(
        lambda settings: settings.claims_from_username,
        {"authentik": False, "typed": True},
        ("name", "Typed"),
    ),
    "ROPG_INVALIDATION_FLOW": Values(
        lambda settings: settings.invalidation_flow,
        {"log-out": "log-out", "": None},
        ("log out", "/if/flow/log-out/"),
    ),
    "ROPG_CA_FILE": Values(
        lambda settings: settings.ca_file,
        {__file__: Path(__file__)},
        ("/no/such/file", "/"),
        (__file__,),
    ),
    "ROPG_DEADLINE": Values(
        lambda settings: settings.deadline,
        {"0.1": 0.1, "15": 15.0, "300": 300.0},
        ("0", "0.05", "301", "-15", "nan", "-nan", "inf", "-inf", "1e-999", "1e999", "15s"),
    ),
    "ROPG_OUTPOST_TOKEN": Values(
        lambda settings: settings.outpost_token,
        {"a token": "a token"},
        ("hush\nhush",),
    ),
    "ROPG_TRUSTED_PROXIES": Values(
        lambda settings: settings.trusted_proxies,
        {
            "127.0.0.1": parse_networks(["127.0.0.1/32"]),
            "10.0.0.0/8, ::1 unix": parse_networks(["10.0.0.0/8", "::1/128", "unix"]),
        },
        ("proxy.example.com", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0-10.0.0.9", "socket"),
    ),
    "ROPG_ALLOWED_NETWORKS": Values(
        lambda settings: settings.allowed_networks,
        {"2001:db8::/32": parse_networks(["2001:db8::/32"])},
        ("all", "10.0.0.1/8", " "),
    ),
    "ROPG_MAX_CHECKS": Values(
        lambda settings: settings.max_checks,
        {"1": 1, "10000": 10000},
        ("0", "10001", "-1", "1.5", "many", "9" * 5000),
    ),
    "ROPG_LIMITS": Values(
        lambda settings: settings.clients[0].rates,
        {
            "off": Rates(),
            "user 3 per 2 hours": Rates(user=parse("3 per 2 hours")),
            "address 60/minute,user 5 per day": Rates(parse("5 per day"), parse("60 per minute")),
            "user 1000000 per 31 days": Rates(user=parse("1000000 per 31 days")),
        },
        (
            "3 per minute",
            "user",
            "user three per minute",
            "user 3 per fortnight",
            "client 3 per minute",
            "user 3 per minute,",
            "user 3 per minute, user 30 per day",
            "user 3 per minute; 30 per day",
            "user 0 per minute",
            "user 1 per 0 minutes",
            "user 1/0minutes",
            "user 1 per 00 days",
            "user 1 PER 0 days",
            "user 1 per 32 days",
            "user 1 per year",
            "user 1000001 per day",
            "address 99999999999999999999 per second",
            "address 1 per 99999999999999999999 days",
            f"user {'9' * 5000} per minute",
            "none",
        ),
    ),
    "ROPG_LIMITS_STORE": Values(
        connection_options,
        {
            "memory://": {},
            "redis://:hush@127.0.0.1:6379/1": {
                "host": "127.0.0.1",
                "port": 6379,
                "db": 1,
                "password": "hush",
            },
            "rediss://redis.example.com?ssl_check_hostname=no": {"host": "redis.example.com"},
            "redis://u:hush@redis/?db=3&socket_timeout=2": {
                "host": "redis",
                "db": 3,
                "username": "u",
                "password": "hush",
                "socket_timeout": 2.0,
            },
            "redis+unix:///run/redis.sock?db=2": {"path": "/run/redis.sock", "db": 2},
        },
        (
            "hush",
            "hush:6379",
            "http://:hush@127.0.0.1",
            "redis://:hush@redis:port/0",
            "redis://:hush@redis:99999/0",
            "redis://:/hush@redis:6379/0",
            "redis://[::hush/0",
            "redis://redis\u2100:hush@x/0",
            "redis://:hush@redis/first",
            "redis://:hush@redis/-1",
            "redis://:hush@redis/0/1",
            "redis://:hush@redis/99999",
            "redis://:hush@redis/?db=first",
            "redis://:hush@redis/?socket_timeout=abc",
            "redis://:hush@redis/?socket_timeout=nan",
            "redis://:hush@redis/?socket_connect_timeout=inf",
            "redis://:hush@redis/?socket_timeout=-1",
            "redis://:hush@redis/?socket_timeout=1e-999",
            "redis://:hush@redis/?foo=bar",
            "redis://:?hush@redis",
            "redis://:hush",
            "redis://u?hush@redis",
            "redis://u:12#hush@redis",
            "redis://",
            "redis:///0",
            "redis://:hush@redis/?parser_class=x",
            "rediss://:hush@redis/?ssl_cert_reqs=hush",
            "redis+unix://",
            "redis+unix://?db=1",
            "redis+unix:///run/redis.sock?foo=bar",
        ),
    ),
    "ROPG_PASSWORD_HASH_KEY": Values(
        lambda settings: settings.password_hash_key, {"hush" * 8: "hush" * 8}, ("hush" * 7,)
    ),
    "ROPG_SLOW_REFUSAL": Values(
        lambda settings: settings.slow_refusal,
        {"0": inf, "0.5": 0.5, "300": 300.0},
        ("-1", "301", "nan", "inf", "5s"),
    ),
    "ROPG_OUTAGE": Values(
        lambda settings: (settings.drop_on_outage, settings.clients[0].drop_on_outage),
        {"503": (False, False), "abort": (True, True)},
        ("500", "cut"),
    ),
    "ROPG_LOG": Values(
        lambda settings: settings.log, {"json": "json", "text": "text"}, ("xml", "JSON")
    ),
}

CLIENT_VALUES = {
    "id": Values(lambda settings: settings.clients[0].id, {"web": "web"}, ("", "a\nb")),
    "secret": Values(
        lambda settings: settings.clients[0].secret, {"a +%:&ü": "a +%:&ü"}, ("", "hush\nhush")
    ),
    "secret_sha256": Values(
        lambda settings: settings.clients[0].expected_secret_hash,
        {"ab" * 32: b"\xab" * 32},
        ("", "ab" * 31, "hush", "xy" * 32),
    ),
    "profile": Values(
        lambda settings: settings.clients[0].aliases,
        {
            "jamf-connect": (("unique_name", "preferred_username"),),
            "xcreds": (("unique_name", "preferred_username"), ("upn", "email")),
            "fleet": (),
        },
        ("", "nomad"),
    ),
    "redirect_uri": Values(
        lambda settings: settings.clients[0].redirect_uri,
        {"https://127.0.0.1/jamfconnect": "https://127.0.0.1/jamfconnect"},
        ("", "jamfconnect"),
    ),
    "grants": Values(
        lambda settings: settings.clients[0].grants,
        {"password refresh_token": ("password", "refresh_token")},
        ("", "implicit"),
    ),
    "scopes": Values(
        lambda settings: settings.clients[0].scopes,
        {"openid  email": ("openid", "email")},
        ("", "openid\nemail"),
    ),
    "extra_scopes": Values(
        lambda settings: settings.clients[0].extra_scopes, {"groups": ("groups",)}, ("",)
    ),
    "aliases": Values(
        lambda settings: settings.clients[0].aliases,
        {
            "unique_name=preferred_username, upn=email": (
                ("unique_name", "preferred_username"),
                ("upn", "email"),
            )
        },
        ("", "upn", "upn=", "=email", "a=b=c"),
    ),
    "mfa": Values(
        lambda settings: settings.clients[0].second_factor,
        {"code": SecondFactor.CODE},
        ("", "none"),
    ),
    "tokens": Values(
        lambda settings: settings.clients[0].upstream_tokens, {"own": False}, ("", "x")
    ),
    "limits": Values(
        lambda settings: settings.clients[0].rates,
        {"off": Rates(), "user 5 per day": Rates(user=parse("5 per day"))},
        ("", "none"),
    ),
    "outage": Values(
        lambda settings: settings.clients[0].drop_on_outage,
        {"503": False, "abort": True},
        ("", "cut"),
    ),
    "body": Values(
        lambda settings: settings.clients[0].unencoded,
        {"form": False, "unencoded": True, "undecoded": True},
        ("", "raw"),
    ),
}


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
        """What is wrong with how a wrong value is refused: it is named in one line, not shown."""
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


class SourcesTests(SettingsTestCase):
    """Where a setting comes from."""

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

    def test_every_source_takes_every_setting(self) -> None:
        """Each right value comes out alike, wherever it comes from."""
        rows = Rows(self)
        for name, values in VALUES.items():
            for text, value in values.right.items():
                for source, read in self.sources(name, text).items():
                    with rows.row(f"{name}={text} by {source}"):
                        if source != "option" or text:
                            self.assertEqual(
                                values.read(read()), value, f"{name}={text} by {source}"
                            )

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

    def test_what_a_client_says_counts_for_it_alone(self) -> None:
        """Each right value of a client comes out, whatever holds for all others."""
        for name, values in CLIENT_VALUES.items():
            for text, value in values.right.items():
                rest = "" if name == "id" else 'id = "mac"\n'
                tables = f"[[clients]]\n{rest}{name} = {json.dumps(text)}\n"
                for outage in ("503", "abort"):
                    environ = {**self.config(tables), "ROPG_OUTAGE": outage, "CLIENT_ID": "other"}
                    settings = read_settings({}, environ)
                    self.assertEqual(values.read(settings), value, f"{name} = {text}")
                    other = Client("other", rates=RATES, drop_on_outage=outage == "abort")
                    self.assertEqual(settings.clients[1], other)


class WarningTests(SettingsTestCase):
    """Settings that are valid, but may not do what is expected."""

    def warned(self, **environ: str) -> list[str]:
        """Return the settings that the warnings begin with."""
        settings = read_settings({}, {**REQUIRED, **environ})
        return [line.partition(" ")[0] for line in warnings(settings)]

    def test_a_long_deadline(self) -> None:
        """Authentik gives up a directory after 15 seconds."""
        self.assertEqual(self.warned(ROPG_DEADLINE="15"), [])
        self.assertEqual(self.warned(ROPG_DEADLINE="15.1"), ["ROPG_DEADLINE"])

    def test_a_key_without_a_store(self) -> None:
        """Nothing is shared."""
        key, store = "hush" * 8, "redis://127.0.0.1"
        self.assertEqual(self.warned(ROPG_PASSWORD_HASH_KEY=key), ["ROPG_PASSWORD_HASH_KEY"])
        self.assertEqual(self.warned(ROPG_PASSWORD_HASH_KEY=key, ROPG_LIMITS_STORE=store), [])


class RefusalTests(SettingsTestCase):
    """What stops the start, and what it says."""

    def test_every_setting_is_in_the_tables_of_these_tests(self) -> None:
        """No setting without a right and a wrong value here."""
        for tested, table in ((VALUES, TABLE), (CLIENT_VALUES, CLIENT_TABLE)):
            self.assertEqual(set(tested), set(table))
            for name, values in tested.items():
                self.assertTrue(values.right and values.wrong, name)

    def test_wrong_values(self) -> None:
        """Each is refused in a line that names the setting and shows no secret."""
        found = []
        for name, values in VALUES.items():
            for text in values.wrong:
                environ = {**REQUIRED, name: text}
                found += self.complaints(name, text, partial(read_settings, {}, environ))
        for name, values in CLIENT_VALUES.items():
            for text in values.wrong:
                rest = "" if name == "id" else 'id = "mac"\n'
                environ = self.config(f"[[clients]]\n{rest}{name} = {json.dumps(text)}")
                refused = partial(read_settings, {}, environ)
                found += self.complaints(f"clients.{name}", text, refused)
        self.assertEqual(found, [], "\n".join(found))

    def test_useless_values(self) -> None:
        """What only shows when the daemon is put together is refused in the same way."""
        found = []
        for name, values in VALUES.items():
            for text in values.useless:
                environ = {"ROPG_STATE_DIR": self.mktemp(), **REQUIRED, name: text}
                settings = read_settings({}, environ)
                start = partial(make_service, settings, cast(Any, MemoryReactorClock()))
                found += self.complaints(name, text, start)
        self.assertEqual(found, [], "\n".join(found))

    def test_examples_are_right(self) -> None:
        """What an error shows as an example would have been taken."""
        for name, setting in TABLE.items():
            if name != "ROPG_CA_FILE":
                read_settings({}, {**REQUIRED, name: setting.example})
            error = SettingError(name, "is wrong", setting.assignment)
            self.assertEqual(str(error), f"{name} is wrong; for example: {name}={setting.example}")

    def test_missing_settings(self) -> None:
        """What has no default is asked for by its name."""
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

    def test_wrong_files(self) -> None:
        """A file that is not what it should be is named, or the key in it."""
        for text, named in (
            ("flow_slug = ", "ROPG_CONFIG is not TOML"),
            ('flow_slug = "a"\nflow_slug = "b"', "ROPG_CONFIG is not TOML"),
            ("\udcff", "ROPG_CONFIG is not TOML"),
            ("listen = " + "[" * 100_000, "ROPG_CONFIG is not TOML"),
            ("max_checks = " + "9" * 5000, "ROPG_CONFIG is not TOML"),
            ("max_checks = 0x" + "f" * 5000, "ROPG_MAX_CHECKS is not a text"),
            ("deadline = nan", "ROPG_DEADLINE is not a number"),
            ('ca_file = "a\\u0000b"', "ROPG_CA_FILE is not a path"),
            ("flow_slug = true", "FLOW_SLUG is not a text"),
            ('flow_slug = ["a"]', "FLOW_SLUG is not a text"),
            ("flow_slug = 2026-01-01", "FLOW_SLUG is not a text"),
            ('listen = ["tcp:1", 2]', "ROPG_LISTEN is not a text"),
            ('jwt_secret = { text = "hush" }', "JWT_SECRET is not a text"),
            ('clients = "mac"', "clients is not a list of tables"),
            ('[clients]\nid = "mac"', "clients is not a list of tables"),
            ('[[clients]]\nsecret = "hush"', "clients.id is missing"),
            ('[[clients]]\nid = true\nsecret = "hush"', "clients.id is not a text"),
            ('[[clients]]\nid = "mac"\nsecret = ["hush"]', "clients.secret is not a text"),
            ('[[clients]]\nid = "mac"\nsecrets = "hush"', "unknown setting secrets in [[clients]]"),
        ):
            environ = self.config(text)
            line = self.refusal(environ)
            self.assertTrue(line.startswith(named), f"{text!r}: {line}")
            self.assertNotIn("hush", line, text)

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
