"""Rules for the certificate of a server, and for what Macs accept. No I/O.

The rules of Macs are those of App Transport Security, and of Apple's articles 103769 and 102028 on
TLS server certificates.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import Certificate, ExtendedKeyUsage, ExtensionNotFound
from cryptography.x509.oid import ExtendedKeyUsageOID
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import (
    verify_certificate_hostname,
    verify_certificate_ip_address,
)

from ropg_twisted.diagnostics.findings import State
from ropg_twisted.diagnostics.handshake import Handshake, is_ip_address
from ropg_twisted.status.problems import DAYS_AHEAD

MAX_DAYS: Final = 825
"""Days for which a certificate may be valid to a Mac, whoever signed it."""

MAX_PUBLIC_DAYS: Final = 398
"""Days for which one of a public authority may be valid to a Mac."""

MIN_RSA_BITS: Final = 2048

MIN_EC_BITS: Final = 256

_SIGNATURE_HASHES: Final = ("sha256", "sha384", "sha512")

_DAY: Final = 86400


def certificate_problems(
    certificate: Certificate, host: str, now: float
) -> Iterator[tuple[State, str]]:
    """Yield what no client accepts: another name, a certificate before or after its time."""
    try:
        if is_ip_address(host):
            verify_certificate_ip_address(certificate, host)
        else:
            verify_certificate_hostname(certificate, host)
    except (VerificationError, CertificateError):
        yield State.FAILURE, f"It is not for the name {host}: get one whose names contain it."
    ends = certificate.not_valid_after_utc
    left = ends.timestamp() - now
    if left <= 0:
        yield State.FAILURE, f"It ended on {_day(ends)}: renew it."
    elif left < DAYS_AHEAD * _DAY:
        yield State.WARNING, f"It ends on {_day(ends)}: renew it."
    begins = certificate.not_valid_before_utc
    if begins.timestamp() > now:
        yield (
            State.FAILURE,
            f"It is valid only from {_day(begins)}: see whether the clock is right.",
        )


def mac_problems(handshake: Handshake) -> Iterator[tuple[State, str]]:
    """Yield what a Mac refuses although other clients may accept it."""
    own = handshake.chain[0]
    for certificate in handshake.chain:
        whose = (
            "It" if certificate is own else f"The certificate of its authority ({_of(certificate)})"
        )
        yield from ((State.FAILURE, f"{whose} {text}") for text in _weaknesses(certificate))
    seconds = (own.not_valid_after_utc - own.not_valid_before_utc).total_seconds()
    days = seconds / _DAY
    if days > MAX_DAYS:
        yield State.FAILURE, f"It is valid for {days:.0f} days; a Mac accepts at most {MAX_DAYS}."
    elif days > MAX_PUBLIC_DAYS + 1:
        text = (
            f"It is valid for {days:.0f} days; a Mac accepts {MAX_PUBLIC_DAYS} if a public "
            "authority signed it."
        )
        yield State.WARNING, text
    try:
        usage = own.extensions.get_extension_for_class(ExtendedKeyUsage).value
    except (ExtensionNotFound, ValueError):
        usage = ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    if ExtendedKeyUsageOID.SERVER_AUTH not in usage:
        yield State.FAILURE, "Its extended key usage is not serverAuth, which a Mac requires."


def _weaknesses(certificate: Certificate) -> Iterator[str]:
    key = certificate.public_key()
    if isinstance(key, RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            yield f"has an RSA key of {key.key_size} bits; a Mac requires {MIN_RSA_BITS}."
    elif isinstance(key, EllipticCurvePublicKey):
        if key.key_size < MIN_EC_BITS:
            yield f"has an EC key of {key.key_size} bits; a Mac requires {MIN_EC_BITS}."
    else:
        yield "has neither an RSA nor an EC key, as a Mac requires."
    signed_by_itself = certificate.subject == certificate.issuer
    algorithm = certificate.signature_hash_algorithm
    name = None if algorithm is None else algorithm.name
    if name not in _SIGNATURE_HASHES and not signed_by_itself:
        yield f"is signed with {name or 'another algorithm'}; a Mac requires SHA-256 or better."


def _of(certificate: Certificate) -> str:
    return certificate.subject.rfc4514_string()


def _day(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d}"
