"""Checks of single values: a text in, the value of its setting out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import limits
from hyperlink import URL, URLParseError
from limits import RateLimitItem

from ropg_twisted.networks import Networks, parse_networks
from ropg_twisted.settings.model import Rates

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
    except (URLParseError, ValueError):
        raise WrongValue("is not a URL") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise WrongValue("is not an http or https URL")
    if url.userinfo or url.query or url.fragment or "?" in value or "#" in value:
        raise WrongValue("holds more than scheme, host, port and path")
    if "_" in url.host:
        raise WrongValue("has a host name with _, which no host name may have")
    return value


def authentik(value: str) -> str:
    if not value.startswith(SANDBOX):
        return url(value).rstrip("/")
    port = value.removeprefix(SANDBOX) or str(SANDBOX_PORT)
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise WrongValue("names a sandbox by something else than a port")
    return SANDBOX + port


def secret(value: str) -> str:
    if len(value.encode()) < 32:
        raise WrongValue("is shorter than 32 bytes")
    return value


def one_of(*words: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in words:
            raise WrongValue("is not " + " or ".join(words))
        return value

    return parse


def lifetime(value: str) -> int:
    if not value.isdecimal() or not 60 <= int(value) <= 86400:
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
    if not value.isdecimal() or not 1 <= int(value) <= 10_000:
        raise WrongValue("is not a whole number from 1 to 10000")
    return int(value)


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
            found[kind] = limits.parse(rate)
        except ValueError:
            raise WrongValue("is not a list of rates") from None
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
