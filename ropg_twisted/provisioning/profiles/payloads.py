"""Preference domains and their keys, read from a profile in any of its forms."""

from __future__ import annotations

import plistlib
from base64 import b64decode
from collections.abc import Iterator, Mapping
from configparser import Error as ConfigError
from configparser import RawConfigParser
from dataclasses import dataclass, field
from typing import Final

from ropg_twisted.provisioning.profiles.cms import signed_content

MAX_SIZE: Final = 1024 * 1024
"""Size of the largest file that is read, in bytes. A profile has some thousand."""

MAX_PAYLOADS: Final = 100
"""The most payloads of a profile."""

MAX_KEYS: Final = 1000
"""The most keys of a payload."""

HIMMELBLAU: Final = "himmelblau.conf"
"""The domain of the keys in a configuration file of Himmelblau."""

CUSTOM_SETTINGS: Final = "com.apple.ManagedClient.preferences"
"""The type of a payload that holds preference domains instead of keys."""


class NotAProfileError(Exception):
    """The file is not a profile. The text says what it is instead, and what to do."""


@dataclass(frozen=True, slots=True)
class Payload:
    """The keys of a preference domain. ``domain``: ``None`` if the file does not name it."""

    domain: str | None
    keys: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Profile:
    """The payloads of a file. ``signed``: it is a signed message."""

    payloads: tuple[Payload, ...]
    signed: bool = False


def read_profile(data: bytes) -> Profile:
    """Return the profile in a file. Raises :exc:`NotAProfileError`."""
    if len(data) > MAX_SIZE:
        raise NotAProfileError(f"it has more than {MAX_SIZE // 1024} KiB, which no profile has")
    if not data.strip():
        raise NotAProfileError("it is empty")
    signed = _signed(data)
    content = data if signed is None else signed
    if _is_plist(content):
        payloads = tuple(_payloads(_plist(content)))
    else:
        payloads = (Payload(HIMMELBLAU, _ini(content)),)
    if len(payloads) > MAX_PAYLOADS or any(len(each.keys) > MAX_KEYS for each in payloads):
        raise NotAProfileError("it has more payloads or keys than any profile")
    return Profile(payloads, signed is not None)


def _signed(data: bytes) -> bytes | None:
    """Return what a signed message contains; ``None`` for a file that is none."""
    is_pem = data.lstrip().startswith(b"-----BEGIN ")
    if not is_pem and data[:1] != b"\x30":
        return None
    try:
        # The base64 of PEM stands between the second and the third row of dashes.
        return signed_content(b64decode(data.split(b"-----")[2]) if is_pem else data)
    except (ValueError, IndexError):
        raise NotAProfileError(
            "it is not a profile, and not one that an MDM has signed either; download it again"
        ) from None


def _is_plist(data: bytes) -> bool:
    text = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    return text.startswith((b"<", b"bplist", b"\xff\xfe", b"\xfe\xff"))


def _plist(data: bytes) -> Mapping[str, object]:
    try:
        content = plistlib.loads(data)
    except Exception:
        # The parser of binary property lists raises what it likes.
        raise NotAProfileError("it is a broken property list; export it again") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise NotAProfileError("it is a property list, but not one with keys")
    return content


def _payloads(content: Mapping[str, object]) -> Iterator[Payload]:
    if "EncryptedPayloadContent" in content:
        raise NotAProfileError("it is encrypted for one Mac; export it from the MDM instead")
    if "PayloadContent" not in content:
        yield Payload(None, content)
        return
    for payload in _tables(content["PayloadContent"]):
        domain = payload.get("PayloadType")
        if domain == CUSTOM_SETTINGS:
            yield from _custom_settings(payload.get("PayloadContent"))
        elif isinstance(domain, str):
            keys = {key: value for key, value in payload.items() if not key.startswith("Payload")}
            yield Payload(domain, keys)


def _custom_settings(domains: object) -> Iterator[Payload]:
    """Yield the domains of a payload ``com.apple.ManagedClient.preferences``."""
    if not isinstance(domains, dict):
        return
    for domain, modes in domains.items():
        for settings in modes.values() if isinstance(modes, dict) else ():
            for entry in _tables(settings):
                keys = entry.get("mcx_preference_settings")
                if isinstance(domain, str) and isinstance(keys, dict):
                    yield Payload(domain, keys)


def _tables(value: object) -> list[Mapping[str, object]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _ini(data: bytes) -> Mapping[str, object]:
    """Return the keys of the section ``[global]``, which other sections may add to."""
    parser = RawConfigParser(strict=False, inline_comment_prefixes=("#", ";"))
    try:
        parser.read_string(data.decode("utf-8-sig"))
    except (ConfigError, UnicodeDecodeError):
        raise NotAProfileError(
            "it is neither a .mobileconfig, nor a property list, nor a himmelblau.conf"
        ) from None
    if not parser.has_section("global"):
        raise NotAProfileError("it has no section [global], as a himmelblau.conf has")
    return dict(parser["global"])
