"""Checks of single values: a text in, the value of its setting out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import limits
from hyperlink import URL, URLParseError
from limits import RateLimitItem

from ropg_twisted.interfaces import Rates
from ropg_twisted.networks import Networks, parse_networks
from ropg_twisted.settings.model import GRANTS, SecondFactor

SANDBOX: Final = "sandbox:"
SANDBOX_PORT: Final = 8581


class WrongValue(Exception):
    """What is wrong with a value, to be followed by an example."""


def text(value: str) -> str:
    if not value.isprintable():
        raise WrongValue("holds characters that cannot be printed")
    return value


def slug(value: str) -> str:
    if not value.replace("-", "").replace("_", "").isalnum() or not value.isascii():
        raise WrongValue("is not a slug of letters, digits, - and _")
    return value


def url(value: str) -> str:
    """An absolute http or https URL without query, fragment or user."""
    try:
        url = URL.from_text(value)
        url.to_uri()  # What the HTTP client will do, and some hosts do not survive.
    except (URLParseError, ValueError):
        raise WrongValue("is not a URL") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise WrongValue("is not an http or https URL")
    if url.userinfo or url.query or url.fragment or "?" in value or "#" in value:
        raise WrongValue("holds more than scheme, host, port and path")
    if not value.isprintable() or " " in value:
        raise WrongValue("holds blanks or characters that cannot be printed")
    if not 0 < (url.port or 0) < 65536:
        raise WrongValue("has a port that does not exist")
    return value


def authentik(value: str) -> str:
    if not value.startswith(SANDBOX):
        return url(value).rstrip("/")
    port = value.removeprefix(SANDBOX) or str(SANDBOX_PORT)
    if not _is_whole(port, 1, 65535):
        raise WrongValue("names a sandbox by something else than a port")
    return SANDBOX + port


def secret(value: str) -> str:
    if not value.isprintable():
        raise WrongValue("holds characters that cannot be printed")
    if len(value.encode()) < 32:
        raise WrongValue("is shorter than 32 bytes")
    return value


def one_of(*words: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in words:
            raise WrongValue("is not " + " or ".join(words))
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
        raise WrongValue("is not a SHA-256 of 64 hexadecimal digits")
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
        raise WrongValue("is not a list of new=old")
    return tuple((new, old) for new, old in pairs)


def lifetime(value: str) -> int:
    if not _is_whole(value, 60, 86400):
        raise WrongValue("is not a whole number of seconds from 60 to 86400")
    return int(value)


def deadline(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 300:
        raise WrongValue("is not a number of seconds from 0.1 to 300")
    return seconds


def places(value: str) -> int:
    """How many checks may be under way."""
    if not _is_whole(value, 1, 10_000):
        raise WrongValue("is not a whole number from 1 to 10000")
    return int(value)


def _is_whole(value: str, least: int, most: int) -> bool:
    return value.isdecimal() and len(value) < 10 and least <= int(value) <= most


def networks(value: str) -> Networks:
    """Networks, with blanks or commas between them."""
    try:
        return parse_networks(value.replace(",", " ").split())
    except ValueError as error:
        raise WrongValue(f"is not a list of networks ({error})") from None


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
            raise WrongValue("is not a list of rates") from None
        if kind in found or item.amount < 1:
            raise WrongValue("names a rate twice, or one of nothing")
        found[kind] = item
    if not found.keys() <= {"user", "address"}:
        raise WrongValue("names other rates than user and address")
    return Rates(**found)


def store(value: str) -> str:
    """A store of the limits library that daemons can share, or that of the process."""
    if value != "memory://" and not value.startswith(("redis://", "rediss://", "redis+unix://")):
        raise WrongValue("is neither memory:// nor a redis:// URL")
    return value


def endpoints(value: str) -> tuple[str, ...]:
    return tuple(value.split())


def readable(value: str) -> Path:
    path = Path(value)
    try:
        path.read_bytes()
    except OSError as error:
        raise WrongValue(f"cannot be read ({error.strerror})") from None
    return path
