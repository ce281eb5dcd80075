"""Right and wrong values of every setting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path

from limits import parse

from ropg_twisted.interfaces import Rates
from ropg_twisted.networks import EVERYWHERE, Networks, parse_networks
from ropg_twisted.settings.model import (
    Client,
    NameSplit,
    SecondFactor,
    SessionRemoval,
    Settings,
    SigningAlgorithm,
)
from ropg_twisted.settings.values import STORE_SECONDS

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
    app_slug="jamf-connect",
    app_required=False,
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
    session_removal=SessionRemoval.AUTO,
    ca_file=None,
    outpost_token=None,
    trusted_proxies=Networks(),
    allowed_networks=EVERYWHERE,
    deadline=15.0,
    max_checks=64,
    limits_store=None,
    drop_on_outage=False,
    log=None,
    audit_log=None,
    hash_users=False,
)


@dataclass(frozen=True)
class Values:
    """Right and wrong values of a setting.

    ``right``: texts, with what ``read`` finds for each. ``wrong``: texts that are refused.
    ``useless``: texts that turn out not to work when the daemon is put together.
    """

    read: Callable[[Settings], object]
    right: Mapping[str, object]
    wrong: tuple[str, ...]
    useless: tuple[str, ...] = ()


def connection_options(settings: Settings) -> dict[str, object]:
    """The connection options of a shared store, without our own time limits."""
    store = settings.limits_store
    if store is None:
        return {}
    options = store.storage.storage.connection_pool.connection_kwargs
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
    "ROPG_SESSION_REMOVAL": Values(
        lambda settings: settings.session_removal,
        {"always": SessionRemoval.ALWAYS, "never": SessionRemoval.NEVER},
        ("off", "Auto"),
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
    "ROPG_AUDIT_LOG": Values(
        lambda settings: settings.audit_log,
        {"/var/log/ropg/audit.json": Path("/var/log/ropg/audit.json")},
        ("a\nb",),
    ),
    "ROPG_LOG_USERS": Values(
        lambda settings: settings.hash_users,
        {"plain": False, "hashed": True},
        ("none", "Hashed", "on"),
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
            "iru": (),
            "dovecot": (),
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
    "name_split": Values(
        lambda settings: settings.clients[0].name_split,
        {rule.value: rule for rule in NameSplit},
        ("", "last", "NONE"),
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
