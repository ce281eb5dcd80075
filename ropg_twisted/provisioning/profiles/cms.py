"""Signed messages (CMS, RFC 5652), as far as to read what was signed.

An MDM signs profiles before it sends them. The signature is not verified: the check is about the
profile, not about who has signed it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

SEQUENCE: Final = 0x30
OCTET_STRING: Final = 0x04
CONSTRUCTED: Final = 0x20
EXPLICIT_0: Final = 0xA0
SIGNED_DATA: Final = b"\x06\x09" + bytes.fromhex("2a864886f70d010702")
"""The object identifier 1.2.840.113549.1.7.2."""

MAX_DEPTH: Final = 8
"""Deepest nesting of an octet string in parts. Real ones have a depth of 1."""


def signed_content(data: bytes) -> bytes:
    """Return the content of a signed message in DER or BER (X.690).

    Raises :exc:`ValueError` if it is something else, or has its content elsewhere.
    """
    _, message, _ = _element(data, 0)
    content_type, signed = _first(message, 2)
    if content_type[1] != SIGNED_DATA[2:] or signed[0] != EXPLICIT_0:
        raise ValueError("not a signed message")
    # SignedData is a version, the digest algorithms, and then the content.
    _, _, encapsulated = _first(_first(signed[1], 1)[0][1], 3)
    _, content = _first(encapsulated[1], 2)
    (text,) = _first(content[1], 1)
    return b"".join(_octets(*text, MAX_DEPTH))


def _octets(tag: int, value: bytes, depth: int) -> Iterator[bytes]:
    """Yield the bytes of an octet string, which BER may divide into parts."""
    if tag == OCTET_STRING:
        yield value
    elif tag == OCTET_STRING | CONSTRUCTED and depth:
        for part in _elements(value):
            yield from _octets(*part, depth - 1)
    else:
        raise ValueError("not an octet string")


def _first(data: bytes, count: int) -> list[tuple[int, bytes]]:
    """Return the first elements in ``data``, of which there must be so many."""
    found = [element for element, _ in zip(_elements(data), range(count), strict=False)]
    if len(found) < count:
        raise ValueError("an element is missing")
    return found


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    start = 0
    while start < len(data):
        tag, value, start = _element(data, start)
        yield tag, value


def _element(data: bytes, start: int) -> tuple[int, bytes, int]:
    """Return the tag and the value of the element at ``start``, and where the next one starts."""
    tag, begin, end = _head(data, start)
    if end is not None:
        return tag, data[begin:end], end
    # Indefinite length: the value ends with the end-of-contents of its own level.
    position, level = begin, 1
    while True:
        inner_tag, inner_begin, inner_end = _head(data, position)
        if inner_end is None:
            level, position = level + 1, inner_begin
        elif inner_tag or inner_end != inner_begin:
            position = inner_end
        else:
            level -= 1
            if not level:
                return tag, data[begin:position], inner_end
            position = inner_end


def _head(data: bytes, start: int) -> tuple[int, int, int | None]:
    """Return a tag, and where its value begins and ends; ``None`` for an indefinite length."""
    try:
        tag, length = data[start], data[start + 1]
    except IndexError:
        raise ValueError("an element is cut off") from None
    begin = start + 2
    if tag & 0x1F == 0x1F:
        raise ValueError("a tag has more than one byte")
    if length == 0x80:
        if not tag & CONSTRUCTED:
            raise ValueError("a value has no length")
        return tag, begin, None
    if length > 0x80:
        count = length - 0x80
        length, begin = int.from_bytes(data[begin : begin + count]), begin + count
    if begin + length > len(data):
        raise ValueError("a value is cut off")
    return tag, begin, begin + length
