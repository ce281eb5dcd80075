"""What is signed, read from a signed message."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.provisioning.profiles.cms import signed_content

OID = bytes.fromhex("06092a864886f70d010702")
DATA_OID = bytes.fromhex("06092a864886f70d010701")


def sign(content: bytes, *, pem: bool = False) -> bytes:
    """A signed message, as an MDM makes it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An MDM")])
    start = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    builder = pkcs7.PKCS7SignatureBuilder().set_data(content)
    builder = builder.add_signer(certificate, key, hashes.SHA256())
    encoding = serialization.Encoding.PEM if pem else serialization.Encoding.DER
    return builder.sign(encoding, [pkcs7.PKCS7Options.Binary])


def element(tag: int, *parts: bytes, indefinite: bool = False) -> bytes:
    """An element in DER, or in BER with an indefinite length."""
    value = b"".join(parts)
    if indefinite:
        return bytes([tag, 0x80]) + value + b"\0\0"
    if len(value) < 0x80:
        return bytes([tag, len(value)]) + value
    size = len(value).to_bytes(4)
    return bytes([tag, 0x84]) + size + value


def message(*content: bytes, indefinite: bool = False) -> bytes:
    """A message with no signers, and what stands for its content."""
    encapsulated = element(0x30, DATA_OID, *content, indefinite=indefinite)
    head = (element(2, b"\1"), element(0x31))
    signed = element(0x30, *head, encapsulated, element(0x31), indefinite=indefinite)
    return element(0x30, OID, element(0xA0, signed, indefinite=indefinite), indefinite=indefinite)


class SignedContentTests(SynchronousTestCase):
    """Signed messages of several makers."""

    def test_real(self) -> None:
        """A real signature, with its certificate."""
        content = bytes(range(256)) * 40
        self.assertEqual(signed_content(sign(content)), content)

    @given(st.lists(st.binary(max_size=300)), st.booleans())
    def test_parts(self, parts: list[bytes], indefinite: bool) -> None:
        """The octet string may come in parts, of a length that is not told, as from a Mac."""
        octets = element(0x24, *(element(4, part) for part in parts), indefinite=indefinite)
        data = message(element(0xA0, octets, indefinite=indefinite), indefinite=indefinite)
        self.assertEqual(signed_content(data), b"".join(parts))

    def test_detached(self) -> None:
        """A signature without its content has nothing to check."""
        with self.assertRaises(ValueError):
            signed_content(message())

    def test_other_messages(self) -> None:
        """An encrypted message is not a signed one."""
        with self.assertRaises(ValueError):
            signed_content(message(element(0xA0, element(4, b"x"))).replace(OID, OID[:-1] + b"\3"))

    def test_nesting(self) -> None:
        """Parts of parts have an end."""
        octets = element(4, b"x")
        for _ in range(10_000):
            octets = element(0x24, octets, indefinite=True)
        with self.assertRaises(ValueError):
            signed_content(message(element(0xA0, octets)))

    def test_cut_off(self) -> None:
        """No beginning of a message is one."""
        for indefinite in (False, True):
            octets = element(0xA0, element(4, b"content"), indefinite=indefinite)
            whole = message(octets, indefinite=indefinite)
            for end in range(len(whole)):
                with self.assertRaises(ValueError):
                    signed_content(whole[:end])

    @given(st.binary(max_size=200))
    def test_anything(self, data: bytes) -> None:
        """Other bytes are a ValueError and nothing else."""
        try:
            signed_content(data)
        except ValueError:
            return
        self.fail("random bytes are a signed message")

    @given(st.integers(0, 200), st.integers(0, 255))
    def test_damaged(self, position: int, byte: int) -> None:
        """A damaged message is read, or a ValueError."""
        data = bytearray(message(element(0xA0, element(0x24, element(4, b"a"), indefinite=True))))
        data[position % len(data)] = byte
        with contextlib.suppress(ValueError):
            signed_content(bytes(data))
