"""Signing keys: made once, kept, published without what is private."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from errno import ENOSPC
from fcntl import LOCK_EX, LOCK_NB, flock
from math import inf, nan
from pathlib import Path
from stat import S_IMODE
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePrivateKey,
    derive_private_key,
    generate_private_key,
)
from jwt.algorithms import ECAlgorithm
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.oauth import keys, keystore
from ropg_twisted.oauth.keys import KeyRing, new_key, shared_secret, thumbprint
from ropg_twisted.oauth.keystore import KEYS_FILE, KeyStore
from ropg_twisted.settings.errors import SettingError
from ropg_twisted.settings.model import SigningAlgorithm


def open_keys(state_dir: Path, algorithm: str) -> KeyRing:
    """The key ring of a start at this moment."""
    return KeyStore(state_dir, algorithm, time.time).ring()


@contextmanager
def open_folder(path: Path) -> Iterator[int]:
    """The descriptor of a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

EXAMPLE_KEY = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJ"
    "ECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Qvz"
    "qY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0"
    "fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
    "use": "sig",
}
"""The example of RFC 7638 section 3.1, with members that do not count."""


class KeysTestCase(SynchronousTestCase):
    """A state directory that is not there yet."""

    def setUp(self) -> None:
        """Choose its name."""
        self.state_dir = Path(self.mktemp(), "deep", "state")
        self.path = self.state_dir / KEYS_FILE

    def stored(self) -> list[dict[str, Any]]:
        """The keys in the file."""
        jwks: list[dict[str, Any]] = json.loads(self.path.read_text())["keys"]
        return jwks

    def store(self, text: str) -> None:
        """Write the file by hand."""
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self.path.write_text(text, "utf-8")

    def refusal(self, state_dir: Path, algorithm: str = "ES256") -> str:
        """The one line that is said of a state directory that is no good."""
        error = self.assertRaises(SettingError, open_keys, state_dir, algorithm)
        self.assertEqual(error.setting, "ROPG_STATE_DIR")
        self.assertTrue(str(error).startswith("ROPG_STATE_DIR "), str(error))
        self.assertEqual(len(str(error).splitlines()), 1, str(error))
        return str(error)

    def assert_signs(self, ring: KeyRing) -> None:
        """A token of this ring is valid for who knows only what is published."""
        signing = ring.signing
        token = jwt.encode({"sub": "x"}, signing.private, signing.algorithm)
        published = jwt.PyJWKSet.from_dict(json.loads(json.dumps(ring.jwks())))
        key = published[str(signing.kid)]
        self.assertEqual(jwt.decode(token, key, [signing.algorithm]), {"sub": "x"})


class OpenKeysTests(KeysTestCase):
    """The life of the key file."""

    def test_the_first_start_makes_a_key(self) -> None:
        """A key is made, in a file and a folder that only their owner can read."""
        for algorithm in SigningAlgorithm:
            self.setUp()
            ring = open_keys(self.state_dir, algorithm)
            self.assertEqual(ring.signing.algorithm, algorithm)
            self.assert_signs(ring)
            self.assertEqual([jwk["kid"] for jwk in self.stored()], [ring.signing.kid])
            self.assertEqual(S_IMODE(self.path.stat().st_mode), 0o600)
            self.assertEqual(S_IMODE(self.state_dir.stat().st_mode), 0o700)
            self.assertEqual(os.listdir(self.state_dir), [KEYS_FILE])

    def test_keys_outlive_restarts(self) -> None:
        """The next start signs with the same key, and leaves the file as it is."""
        for algorithm in SigningAlgorithm:
            self.setUp()
            first = open_keys(self.state_dir, algorithm)
            before = self.path.read_bytes()
            second = open_keys(self.state_dir, algorithm)
            self.assertEqual(second.jwks(), first.jwks())
            self.assert_signs(KeyRing(first.signing, second.published))
            self.assertEqual(self.path.read_bytes(), before)

    def test_the_newest_key_signs(self) -> None:
        """Of several keys of one algorithm the last one signs, and all are published."""
        open_keys(self.state_dir, "ES256")
        old = self.stored()
        self.path.unlink()
        open_keys(self.state_dir, "ES256")
        self.store(json.dumps({"keys": old + self.stored()}))
        ring = open_keys(self.state_dir, "ES256")
        self.assertEqual(ring.signing.kid, self.stored()[1]["kid"])
        self.assertEqual(len(ring.jwks()["keys"]), 2)

    def test_another_algorithm_leaves_old_keys_published(self) -> None:
        """A switch adds a key, a switch back finds the old one, and both stay published."""
        first = open_keys(self.state_dir, "ES256")
        second = open_keys(self.state_dir, "EdDSA")
        self.assertEqual(second.signing.algorithm, "EdDSA")
        self.assert_signs(second)
        self.assert_signs(KeyRing(first.signing, second.published))
        self.assertEqual(S_IMODE(self.path.stat().st_mode), 0o600)
        third = open_keys(self.state_dir, "ES256")
        self.assertEqual(third.signing.kid, first.signing.kid)
        self.assertEqual(third.jwks(), second.jwks())

    def test_two_first_starts_agree_without_locks(self) -> None:
        """On a file system without locks, the daemon that is slower takes the other's first key."""
        self.patch(keystore, "locked", lambda _: nullcontext())
        link, others = os.link, []

        def slow_link(draft: str, path: Path) -> None:
            self.patch(os, "link", link)
            others.append(open_keys(self.state_dir, "ES256"))
            link(draft, path)

        self.patch(os, "link", slow_link)
        ring = open_keys(self.state_dir, "ES256")
        self.assertEqual(ring.jwks(), others[0].jwks())
        self.assert_signs(KeyRing(ring.signing, others[0].published))
        self.assertEqual(len(self.stored()), 1)
        self.assertEqual(os.listdir(self.state_dir), [KEYS_FILE])

    def test_two_starts_agree_on_the_key_of_another_algorithm(self) -> None:
        """One reads and changes the file at a time, so neither drops the other's key."""
        open_keys(self.state_dir, "ES256")
        free = []

        def make(*arguments: Any, **options: Any) -> Any:
            with open_folder(self.state_dir) as folder:
                try:
                    flock(folder, LOCK_EX | LOCK_NB)
                except BlockingIOError:
                    free.append(False)
                else:
                    free.append(True)
            return new_key(*arguments, **options)

        self.patch(keystore, "new_key", make)
        open_keys(self.state_dir, "EdDSA")
        self.assertEqual(free, [False])
        with open_folder(self.state_dir) as folder:
            flock(folder, LOCK_EX | LOCK_NB)

    def test_short_coordinates_are_written_at_full_length(self) -> None:
        """A coordinate that begins with zeros is padded (RFC 7518 section 6.2.1.2)."""

        def is_short(key: EllipticCurvePrivateKey) -> bool:
            return key.public_key().public_numbers().x < 2**248

        candidates = (derive_private_key(secret, SECP256R1()) for secret in range(1, 9999))
        short = next(key for key in candidates if is_short(key))
        self.patch(keys, "generate_ec", lambda curve: short)
        ring = open_keys(self.state_dir, "ES256")
        self.assert_signs(ring)
        self.assertEqual({len(ring.jwks()["keys"][0][name]) for name in "xy"}, {43})


class PublishedTests(KeysTestCase):
    """The published keys."""

    def test_only_public_members_are_published(self) -> None:
        """Each published key has exactly the public members of its type, and says its use."""
        for algorithm in SigningAlgorithm:
            ring = open_keys(self.state_dir, algorithm)
        published = {jwk["alg"]: jwk for jwk in ring.jwks()["keys"]}
        common = {"kty", "alg", "use", "kid"}
        self.assertEqual(set(published["RS256"]), common | {"n", "e"})
        self.assertEqual(set(published["ES256"]), common | {"crv", "x", "y"})
        self.assertEqual(set(published["EdDSA"]), common | {"crv", "x"})
        self.assertEqual({jwk["use"] for jwk in published.values()}, {"sig"})
        secrets = [jwk[name] for jwk in self.stored() for name in PRIVATE_MEMBERS & set(jwk)]
        self.assertEqual(len(secrets), 8)
        for shown in (json.dumps(ring.jwks()), repr(ring)):
            for secret in secrets:
                self.assertNotIn(secret, shown)

    def test_the_kid_is_the_thumbprint(self) -> None:
        """A key is named as RFC 7638 says, whose example comes out right."""
        self.assertEqual(thumbprint(EXAMPLE_KEY), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")
        for algorithm in SigningAlgorithm:
            ring = open_keys(self.state_dir, algorithm)
        for jwk, stored in zip(ring.jwks()["keys"], self.stored(), strict=True):
            self.assertEqual(jwk["kid"], thumbprint(jwk))
            self.assertEqual(jwk["kid"], thumbprint(stored))

    def test_a_shared_secret_is_never_published(self) -> None:
        """HS256 has neither a key id nor a key to publish."""
        ring = shared_secret("hush" * 8)
        self.assertEqual(ring.jwks(), {"keys": []})
        self.assertEqual((ring.signing.algorithm, ring.signing.kid), ("HS256", None))
        self.assertNotIn("hush", repr(ring))


class RefusalTests(KeysTestCase):
    """State directories that are no good."""

    def test_what_holds_no_keys(self) -> None:
        """A file that is not a set of private keys is refused, and left as it is."""
        open_keys(self.state_dir, "ES256")
        key = self.stored()[0]
        other, rsa = (new_key(algorithm, 0, signs_from=0) for algorithm in ("EdDSA", "RS256"))
        hostile_times: list[Any] = ["soon", True, [], nan, inf, 1e300, -1]
        hostile_ids: list[Any] = [1, None, "", ["a"], {}, "\ud800", "a\n"]
        documents: list[Any] = [
            [],
            None,
            {},
            {"keys": None},
            {"keys": [None]},
            {"keys": ["ES256"]},
            *(
                {"keys": [{k: v for k, v in key.items() if k != name}]}
                for name in key.keys() - {"iat", "nbf"}
            ),
            *({"keys": [{**key, "nbf": nbf}]} for nbf in hostile_times),
            *({"keys": [{**key, "exp": exp}]} for exp in (None, "soon", nan, inf, 10**400)),
            {"keys": [{**key, "iat": "then"}]},
            *({"keys": [{**key, "kid": kid}]} for kid in hostile_ids),
            *({"keys": [{**key, "use": use}]} for use in (None, "enc", 1)),
            *({"keys": [{**key, "d": d}]} for d in (None, 1, "", "!", [key["d"]])),
            {"keys": [{**key, "crv": "P-521"}]},
            {"keys": [{**key, **ECAlgorithm.to_jwk(generate_private_key(SECP384R1()), True)}]},
            {"keys": [{**other, "x": key["x"]}]},
            {"keys": [{**key, "note": "x" * 1500}]},
            {"keys": [{k: v for k, v in rsa.items() if k not in ("p", "q", "dp", "dq", "qi")}]},
            {"keys": {"0": key}},
            {"keys": [[key]]},
            *({"keys": [{**key, "alg": alg}]} for alg in ("none", "HS256", "RS256")),
            *({"keys": [{**key, "kty": kty}]} for kty in ("RSA", "oct", "")),
            {"keys": [{**key, "x": key["y"]}]},
            {"keys": [{**key, "d": "AAAA"}]},
        ]
        texts = ["", "{", self.path.read_text()[:-9], "ä", *map(json.dumps, documents)]
        texts += ["[" * 100_000, '{"keys": ' + "[" * 100_000, self.path.read_text() + " " * 2**18]
        found = []
        for text in texts:
            self.store(text)
            try:
                line = self.refusal(self.state_dir)
            except Exception as error:
                found.append(f"{type(error).__name__}: {text}")
            else:
                self.assertIn(str(self.path), line)
                self.assertNotIn(key["d"], line)
                if self.path.read_text("utf-8") != text:
                    found.append(f"changed: {text}")
        self.assertEqual(found, [], "\n".join(found))

    def test_what_cannot_be_a_folder_or_a_file(self) -> None:
        """Something in the way is said to be so."""
        self.state_dir.mkdir(parents=True)
        (self.state_dir / "file").touch()
        (self.state_dir / "folder" / KEYS_FILE).mkdir(parents=True)
        self.assertIn("File exists", self.refusal(self.state_dir / "file"))
        self.assertIn("Not a directory", self.refusal(self.state_dir / "file" / "below"))
        self.assertIn("Is a directory", self.refusal(self.state_dir / "folder"))
        (self.state_dir / "pipe").mkdir()
        os.mkfifo(self.state_dir / "pipe" / KEYS_FILE)
        self.assertIn("no readable keys", self.refusal(self.state_dir / "pipe"))

    def test_a_failed_write_leaves_nothing(self) -> None:
        """A failure leaves neither half a file nor a draft behind."""
        for step in ("fsync", "link"):
            self.assert_full_disk(step, "ES256")
            self.assertEqual(os.listdir(self.state_dir), [], step)
        open_keys(self.state_dir, "ES256")
        before = self.path.read_bytes()
        for step in ("fsync", "replace"):
            self.assert_full_disk(step, "EdDSA")
            self.assertEqual(os.listdir(self.state_dir), [KEYS_FILE], step)
            self.assertEqual(self.path.read_bytes(), before, step)

    def assert_full_disk(self, step: str, algorithm: str) -> None:
        """Keys are refused where one function of ``os`` finds the disk full."""

        def fail(*args: object) -> None:
            raise OSError(ENOSPC, os.strerror(ENOSPC))

        patch = self.patch(os, step, fail)
        self.assertIn(os.strerror(ENOSPC), self.refusal(self.state_dir, algorithm))
        patch.restore()
