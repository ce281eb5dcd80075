"""Parsers of single values: each takes a text and returns the value in its final type.

Raises :exc:`InvalidValueError` for a text that it does not accept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import SplitResult, urlsplit

import limits
from hyperlink import URL, URLParseError
from limits import RateLimitItem
from limits.errors import ConfigurationError
from limits.storage import RedisStorage

from ropg_twisted.interfaces import Rates
from ropg_twisted.networks import Networks, parse_networks
from ropg_twisted.settings.errors import InvalidValueError
from ropg_twisted.settings.model import (
    GRANTS,
    MAX_TOKEN_LIFETIME,
    LimitsStore,
    NameSplit,
    SecondFactor,
    SessionRemoval,
)

T = TypeVar("T")

SANDBOX: Final = "sandbox:"
SANDBOX_PORT: Final = 8581

MAX_ATTEMPTS: Final = 1_000_000
"""The most attempts that a rate may allow."""

MAX_WINDOW: Final = 31 * 86400
"""The longest period of a rate, in seconds."""

STORE_SECONDS: Final = 0.5
"""Seconds for one answer of a shared store of counts, including the wait for a thread."""


class Upstream(NamedTuple):
    """The Authentik to ask. ``sandbox_port``: the port of the embedded sandbox, if it is that."""

    url: str
    sandbox_port: int | None = None


def text(value: str) -> str:
    """Return a text of printable characters."""
    if not value.isprintable():
        raise InvalidValueError("contains characters that cannot be printed")
    return value


def slug(value: str) -> str:
    """Return a slug, as Django defines it."""
    if not value.replace("-", "").replace("_", "").isalnum() or not value.isascii():
        raise InvalidValueError("is not a slug of letters, digits, - and _")
    return value


def url(value: str) -> str:
    """Return an absolute http or https URL without query, fragment or user."""
    try:
        url = URL.from_text(value)
        url.to_uri()  # The HTTP client does the same later; it fails for some hosts.
    except (URLParseError, ValueError):
        raise InvalidValueError("is not a URL") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidValueError("is not an http or https URL")
    if url.userinfo or url.query or url.fragment or "?" in value or "#" in value:
        raise InvalidValueError("has more than scheme, host, port and path")
    if not value.isprintable() or " " in value:
        raise InvalidValueError("contains spaces or characters that cannot be printed")
    if not 0 < (url.port or 0) < 65536:
        raise InvalidValueError("has a port outside 1 to 65535")
    return value


def authentik(value: str) -> Upstream:
    """Return the Authentik of a base URL, or the sandbox of ``sandbox:`` or ``sandbox:PORT``."""
    if not value.startswith(SANDBOX):
        return Upstream(url(value).rstrip("/"))
    port = value.removeprefix(SANDBOX) or str(SANDBOX_PORT)
    if not _is_whole(port, 1, 65535):
        raise InvalidValueError("has a sandbox port outside 1 to 65535")
    return Upstream(f"http://127.0.0.1:{int(port)}", int(port))


def secret(value: str) -> str:
    """Return a secret of HS256, which needs 32 bytes (RFC 7518 section 3.2)."""
    text(value)
    if len(value.encode()) < 32:
        raise InvalidValueError("is shorter than 32 bytes")
    return value


def choice(meanings: Mapping[str, T]) -> Callable[[str], T]:
    """Return a parser of words, which returns the value of each word in ``meanings``."""

    def parse(value: str) -> T:
        if value not in meanings:
            *others, last = meanings
            raise InvalidValueError(f"is not {', '.join(others)} or {last}")
        return meanings[value]

    return parse


def one_of(*words: str) -> Callable[[str], str]:
    """Return a parser that accepts these words only."""
    return choice({word: word for word in words})


check_access = choice({"on": True, "off": False})
login_stage = choice({"required": True, "none": False})
claims_from_username = choice({"authentik": False, "typed": True})
upstream_tokens = choice({"own": False, "authentik": True})
drop_on_outage = choice({"503": False, "abort": True})
log_users = choice({"plain": False, "hashed": True})
unencoded = choice({"form": False, "unencoded": True, "undecoded": True})
session_removal = choice({removal.value: removal for removal in SessionRemoval})
second_factor = choice({factor.value: factor for factor in SecondFactor})
name_split = choice({rule.value: rule for rule in NameSplit})


def sha256_hex(value: str) -> bytes:
    """Return the bytes of a SHA-256 in hexadecimal digits."""
    try:
        digest = bytes.fromhex(value)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise InvalidValueError("is not a SHA-256 of 64 hexadecimal digits")
    return digest


def words(value: str) -> tuple[str, ...]:
    """Return words that are separated by spaces."""
    return tuple(text(value).split())


def grants(value: str) -> tuple[str, ...]:
    """Return grant types, separated by spaces."""
    grant = one_of(*GRANTS)
    return tuple(grant(word) for word in value.split())


def aliases(value: str) -> tuple[tuple[str, str], ...]:
    """Return pairs of a new claim name and the claim that it copies, from ``new=old`` words."""
    pairs = [tuple(part.split("=")) for part in text(value).replace(",", " ").split()]
    if not all(len(pair) == 2 and all(pair) for pair in pairs):
        raise InvalidValueError("is not a list of new=old")
    return tuple((new, old) for new, old in pairs)


def lifetime(value: str) -> int:
    """Return the lifetime of a token, in seconds."""
    if not _is_whole(value, 60, MAX_TOKEN_LIFETIME):
        raise InvalidValueError(f"is not a whole number of seconds from 60 to {MAX_TOKEN_LIFETIME}")
    return int(value)


def deadline(value: str) -> float:
    """Return the longest duration of a check, in seconds."""
    return _seconds(value, 0.1, 300)


def slow_refusal(value: str) -> float:
    """Return the seconds after which a refusal is not believed; infinity for 0."""
    return _seconds(value, 0, 300) or inf


def _seconds(value: str, least: float, most: float) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not least <= seconds <= most:
        raise InvalidValueError(f"is not a number of seconds from {least} to {most}")
    return seconds


def max_checks(value: str) -> int:
    """Return the number of checks at Authentik at a time."""
    if not _is_whole(value, 1, 10_000):
        raise InvalidValueError("is not a whole number from 1 to 10000")
    return int(value)


def _is_whole(value: str, least: int, most: int) -> bool:
    return value.isdecimal() and len(value) < 10 and least <= int(value) <= most


def networks(value: str) -> Networks:
    """Return networks that are separated by spaces or commas."""
    try:
        return parse_networks(value.replace(",", " ").split())
    except ValueError as error:
        raise InvalidValueError(f"is not a list of networks ({error})") from None


def rates(value: str) -> Rates:
    """Return the rates of a list such as ``user 5 per day, address 60/minute``, or of ``off``."""
    if value == "off":
        return Rates()
    found: dict[str, RateLimitItem] = {}
    for part in value.split(","):
        kind, _, rate = part.strip().partition(" ")
        try:
            (item,) = limits.parse_many(rate)
        except ValueError:
            raise InvalidValueError("is not a list of rates") from None
        if kind in found:
            raise InvalidValueError("has two rates of the same kind")
        # limits reads 0 minutes as 1 minute.
        if re.search("(?<![0-9])0+(?![0-9])", rate):
            raise InvalidValueError("has a rate of 0 attempts or of 0 time")
        if item.amount > MAX_ATTEMPTS or item.get_expiry() > MAX_WINDOW:
            raise InvalidValueError("has a rate of over a million attempts, or for over 31 days")
        found[kind] = item
    if not found.keys() <= {"user", "address"}:
        raise InvalidValueError("has a rate that is not of user or address")
    return Rates(**found)


def store(value: str) -> LimitsStore | None:
    """Return a store of counts that daemons share, not connected yet; ``None`` for ``memory://``.

    The errors of redis-py are not shown: they may quote a password.
    """
    if value == "memory://":
        return None
    if not value.startswith(("redis://", "rediss://", "redis+unix://")):
        raise InvalidValueError("is neither memory:// nor a redis:// URL")
    try:
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        options: dict[str, Any] = {  # They go to redis-py, each with a type of its own.
            "socket_timeout": STORE_SECONDS,
            "socket_connect_timeout": STORE_SECONDS,
            # An attempt that is sent again would be counted twice.
            "retry": Retry(NoBackoff(), 0),
        }
        storage = RedisStorage(value, **options)
        # Options are checked only when a connection is made from them.
        pool = storage.storage.connection_pool
        connection = pool.connection_class(**pool.connection_kwargs)
        times = (connection.socket_timeout, connection.socket_connect_timeout)
        fits = _is_redis(urlsplit(value)) and all(0 < seconds < inf for seconds in times)
    except (ConfigurationError, ImportError):
        raise InvalidValueError(
            "needs the package redis: pip install 'ropg-twisted[redis]'"
        ) from None
    except Exception:
        fits = False
    if not fits:
        raise InvalidValueError(
            "is not the URL of a Redis: its host, port, path or options are invalid"
        )
    return LimitsStore(value, storage)


def _is_redis(url: SplitResult) -> bool:
    """Return whether a URL locates the store, and has no part that redis-py ignores."""
    if url.scheme == "redis+unix":
        is_located = len(url.path) > 1
    else:
        is_located = bool(url.hostname and re.fullmatch(r"/?[0-9]{0,4}", url.path))
    options = url.query.split("&") if url.query else []
    return is_located and not url.fragment and all("=" in option for option in options)


def endpoints(value: str) -> tuple[str, ...]:
    """Return endpoint strings that are separated by spaces."""
    return tuple(value.split())


def file(value: str) -> Path:
    """Return the path of a file, which need not exist yet."""
    return Path(text(value))


def readable(value: str) -> Path:
    """Return the path of a file that can be read."""
    path = Path(value)
    try:
        path.read_bytes()
    except OSError as error:
        raise InvalidValueError(f"cannot be read ({error.strerror})") from None
    except ValueError:
        raise InvalidValueError("is not a path") from None
    return path
