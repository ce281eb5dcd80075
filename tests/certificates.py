"""Certificates for tests: signed by themselves, or by an authority of the test's own."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Identity:
    """A key and the certificate that goes with it."""

    private: Key
    certificate: x509.Certificate

    @property
    def key(self) -> str:
        """The key, as PEM."""
        encoded = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return encoded.decode("ascii")

    @property
    def pem(self) -> str:
        """The certificate, as PEM."""
        return self.certificate.public_bytes(Encoding.PEM).decode("ascii")


def identity(
    name: str,
    issuer: Identity | None = None,
    *,
    authority: bool = False,
    rsa_key: bool = False,
    days: int = 1,
    bits: int = 2048,
    server_auth: bool = True,
    algorithm: hashes.SHA224 | hashes.SHA256 | None = None,
) -> Identity:
    """A new identity for a host called ``name``, signed by ``issuer`` or by itself.

    ``days``: until the certificate ends. ``bits``: of an RSA key. ``server_auth``: its extended
    key usage is that of servers, else that of clients. ``algorithm``: of the signature.
    """
    key: Key = rsa.generate_private_key(65537, bits) if rsa_key else ec.generate_private_key(_CURVE)
    subject = _named(name)
    signer = key if issuer is None else issuer.private
    usages = dict.fromkeys(_USAGES, False) | {"digital_signature": True}
    if authority or issuer is None:
        usages["key_cert_sign"] = True
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
        .add_extension(x509.BasicConstraints(authority or issuer is None, None), True)
        .add_extension(x509.KeyUsage(**usages), True)
        .add_extension(x509.ExtendedKeyUsage([_ROLES[server_auth]]), False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False
        )
        .sign(signer, algorithm or hashes.SHA256())
    )
    return Identity(key, certificate)


def make_certificate(folder: Path) -> str:
    """A PEM file with a key and a certificate for localhost, signed by itself."""
    localhost = identity("localhost")
    path = folder / "localhost.pem"
    path.write_text(localhost.key + localhost.pem)
    return str(path)


_CURVE = ec.SECP256R1()

_ROLES = {True: ExtendedKeyUsageOID.SERVER_AUTH, False: ExtendedKeyUsageOID.CLIENT_AUTH}

_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
