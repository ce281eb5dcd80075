"""The RSA key that signs tokens, with its certificate and the form in which it is published."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha1, sha256, sha512

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from jwt.algorithms import RSAAlgorithm

_YEAR = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key. ``public``: the JWK to publish (RFC 7517), whose ``kid`` has 86 characters."""

    kid: str
    public: Mapping[str, object]
    private: RSAPrivateKey = field(repr=False)

    @classmethod
    def make(cls, now: float) -> SigningKey:
        """Return a new key with a self-signed certificate, valid from ``now``."""
        private = generate_private_key(65537, 2048)
        certificate = _certificate(private, datetime.fromtimestamp(now, UTC))
        numbers = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
        kid = _base64url(sha512(certificate).digest())
        public = {
            "alg": "RS256",
            "kid": kid,
            "kty": "RSA",
            "use": "sig",
            "n": numbers["n"],
            "e": numbers["e"],
            "x5c": [b64encode(certificate).decode()],
            "x5t": _base64url(sha1(certificate).digest()),
            "x5t#S256": _base64url(sha256(certificate).digest()),
        }
        return cls(kid, public, private)

    def sign(self, claims: Mapping[str, object]) -> str:
        """Return a JWT of these claims, with the ``kid`` of this key."""
        return jwt.encode(dict(claims), self.private, "RS256", headers={"kid": self.kid})


def _certificate(private: RSAPrivateKey, begins: datetime) -> bytes:
    """Return a certificate of the key, in DER."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authentik sandbox")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + _YEAR)
        .sign(private, SHA256())
    )
    return certificate.public_bytes(Encoding.DER)


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
