"""Checks of single values: a text in, the value of its setting out."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import limits
from hyperlink import URL, URLParseError
from limits import RateLimitItem
from limits.errors import ConfigurationError
from limits.storage import RedisStorage

from ropg_twisted.interfaces import Rates
from ropg_twisted.networks import Networks, parse_networks
from ropg_twisted.settings.model import GRANTS, SecondFactor

SANDBOX: Final = "sandbox:"
SANDBOX_PORT: Final = 8581

MOST_ATTEMPTS: Final = 1_000_000
LONGEST_WINDOW: Final = 31 * 86400
"""How many attempts a rate may allow, and in how many seconds."""

STORE_SECONDS: Final = 0.5
"""How long a shared store of counts may take for one answer, the wait for a thread included."""


class InvalidValueError(Exception):
    """What is wrong with a value, to be followed by an example."""


def text(value: str) -> str:
    if not value.isprintable():
        raise InvalidValueError("holds characters that cannot be printed")
    return value


def slug(value: str) -> str:
    if not value.replace("-", "").replace("_", "").isalnum() or not value.isascii():
        raise InvalidValueError("is not a slug of letters, digits, - and _")
    return value


def url(value: str) -> str:
    """An absolute http or https URL without query, fragment or user."""
    try:
        url = URL.from_text(value)
        url.to_uri()  # What the HTTP client will do, and some hosts do not survive.
    except (URLParseError, ValueError):
        raise InvalidValueError("is not a URL") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidValueError("is not an http or https URL")
    if url.userinfo or url.query or url.fragment or "?" in value or "#" in value:
        raise InvalidValueError("holds more than scheme, host, port and path")
    if not value.isprintable() or " " in value:
        raise InvalidValueError("holds blanks or characters that cannot be printed")
    if not 0 < (url.port or 0) < 65536:
        raise InvalidValueError("has a port that does not exist")
    return value


def authentik(value: str) -> str:
    if not value.startswith(SANDBOX):
        return url(value).rstrip("/")
    port = value.removeprefix(SANDBOX) or str(SANDBOX_PORT)
    if not _is_whole(port, 1, 65535):
        raise InvalidValueError("names a sandbox by something else than a port")
    return SANDBOX + port


def secret(value: str) -> str:
    if not value.isprintable():
        raise InvalidValueError("holds characters that cannot be printed")
    if len(value.encode()) < 32:
        raise InvalidValueError("is shorter than 32 bytes")
    return value


def one_of(*words: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in words:
            raise InvalidValueError("is not " + " or ".join(words))
        return value

    return parse


def second_factor(value: str) -> SecondFactor:
    """What is made of a second factor."""
    return SecondFactor(one_of(*SecondFactor)(value))


def sha256_hex(value: str) -> bytes:
    """A SHA-256 in hexadecimal digits."""
    try:
        digest = bytes.fromhex(value)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise InvalidValueError("is not a SHA-256 of 64 hexadecimal digits")
    return digest


def words(value: str) -> tuple[str, ...]:
    """Words with blanks between them."""
    return tuple(text(value).split())


def grants(value: str) -> tuple[str, ...]:
    """Grants that are served here."""
    return tuple(one_of(*GRANTS)(word) for word in value.split())


def aliases(value: str) -> tuple[tuple[str, str], ...]:
    """New names of claims, each with ``=`` and the claim that it stands for."""
    pairs = [tuple(part.split("=")) for part in text(value).replace(",", " ").split()]
    if not all(len(pair) == 2 and all(pair) for pair in pairs):
        raise InvalidValueError("is not a list of new=old")
    return tuple((new, old) for new, old in pairs)


def lifetime(value: str) -> int:
    if not _is_whole(value, 60, 86400):
        raise InvalidValueError("is not a whole number of seconds from 60 to 86400")
    return int(value)


def deadline(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 300:
        raise InvalidValueError("is not a number of seconds from 0.1 to 300")
    return seconds


def max_checks(value: str) -> int:
    """How many checks may be under way."""
    if not _is_whole(value, 1, 10_000):
        raise InvalidValueError("is not a whole number from 1 to 10000")
    return int(value)


def _is_whole(value: str, least: int, most: int) -> bool:
    return value.isdecimal() and len(value) < 10 and least <= int(value) <= most


def networks(value: str) -> Networks:
    """Networks, with blanks or commas between them."""
    try:
        return parse_networks(value.replace(",", " ").split())
    except ValueError as error:
        raise InvalidValueError(f"is not a list of networks ({error})") from None


def rates(value: str) -> Rates:
    """Rates by their kind, or ``off``."""
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
            raise InvalidValueError("names a rate twice")
        # The library takes 0 minutes for one.
        if re.search("(?<![0-9])0+(?![0-9])", rate):
            raise InvalidValueError("has a rate of nothing, or for no time")
        if item.amount > MOST_ATTEMPTS or item.get_expiry() > LONGEST_WINDOW:
            raise InvalidValueError("has a rate of over a million, or for over 31 days")
        found[kind] = item
    if not found.keys() <= {"user", "address"}:
        raise InvalidValueError("names other rates than user and address")
    return Rates(**found)


def store(value: str) -> RedisStorage | None:
    """A store of counts that daemons can share, not connected yet; ``None`` for no such store.

    What redis-py says of a URL is not told: it may quote a password.
    """
    if value == "memory://":
        return None
    if not value.startswith(("redis://", "rediss://", "redis+unix://")):
        raise InvalidValueError("is neither memory:// nor a redis:// URL")
    try:
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        options: dict[str, Any] = {
            "socket_timeout": STORE_SECONDS,
            "socket_connect_timeout": STORE_SECONDS,
            # What is sent twice is counted twice.
            "retry": Retry(NoBackoff(), 0),
        }
        storage = RedisStorage(value, **options)
        # Only a connection takes its options up, and knows which there are.
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
            "is not a URL of a Redis: its host, port, path or options are wrong"
        )
    return storage


def _is_redis(url: SplitResult) -> bool:
    """Whether there is a place in a URL, and nothing that redis-py overlooks."""
    if url.scheme == "redis+unix":
        place = len(url.path) > 1
    else:
        place = bool(url.hostname and re.fullmatch(r"/?[0-9]{0,4}", url.path))
    options = url.query.split("&") if url.query else []
    return place and not url.fragment and all("=" in option for option in options)


def endpoints(value: str) -> tuple[str, ...]:
    return tuple(value.split())


def readable(value: str) -> Path:
    path = Path(value)
    try:
        path.read_bytes()
    except OSError as error:
        raise InvalidValueError(f"cannot be read ({error.strerror})") from None
    except ValueError:
        raise InvalidValueError("is not a path") from None
    return path
