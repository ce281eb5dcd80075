"""The keys that sign tokens: made once, kept in the state directory, published as a JWK Set."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from jwt import PyJWK
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from ropg_twisted.errors import SettingError

JWK: TypeAlias = dict[str, Any]

KEYS_FILE: Final = "keys.json"

_GENERATE: Final[Mapping[str, Callable[[], JWK]]] = {
    "RS256": lambda: RSAAlgorithm.to_jwk(generate_rsa(65537, 2048), as_dict=True),
    "ES256": lambda: ECAlgorithm.to_jwk(generate_ec(SECP256R1()), as_dict=True),
    "EdDSA": lambda: OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate(), as_dict=True),
}

_PUBLIC: Final[Mapping[str, tuple[str, ...]]] = {
    "RSA": ("e", "kty", "n"),
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
}
"""The public members of each type of key, which are those of its thumbprint."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs. A shared secret has no ``kid`` and nothing to publish."""

    algorithm: str
    private: Any = field(repr=False)
    kid: str | None = None
    public: JWK | None = None


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The key that signs, and all keys whose tokens may still be in use."""

    signing: SigningKey
    published: tuple[SigningKey, ...] = ()

    def jwks(self) -> dict[str, list[JWK]]:
        """The JWK Set to publish."""
        return {"keys": [key.public for key in self.published if key.public is not None]}


def shared_secret(secret: str) -> KeyRing:
    """HS256 with a secret that the clients know as well."""
    return KeyRing(SigningKey("HS256", secret))


def open_keys(state_dir: Path, algorithm: str) -> KeyRing:
    """The keys in ``<state_dir>/keys.json``, a private JWK Set (RFC 7517) of mode 0600.

    The newest for ``algorithm`` signs; one is made if there is none. Keys of other algorithms stay
    published, so that their tokens stay valid. Raises :exc:`SettingError` if the keys cannot be
    read or written.
    """
    path = state_dir / KEYS_FILE
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _write(path, [_new(algorithm)], replace=False)
        stored = json.loads(path.read_text("ascii"))["keys"]
        keys = tuple(_signing_key(jwk) for jwk in stored)
        if algorithm not in {key.algorithm for key in keys}:
            stored = [*stored, _new(algorithm)]
            _write(path, stored, replace=True)
            keys = tuple(_signing_key(jwk) for jwk in stored)
        return KeyRing([key for key in keys if key.algorithm == algorithm][-1], keys)
    except OSError as error:
        problem = f"cannot hold the keys: {path}: {error.strerror}"
    except (KeyError, TypeError, ValueError, PyJWTError):
        problem = f"holds no readable keys: {path}"
    raise SettingError("ROPG_STATE_DIR", problem, "ROPG_STATE_DIR=/var/lib/ropg")


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """The SHA-256 thumbprint of a JWK (RFC 7638)."""
    members = {name: jwk[name] for name in _PUBLIC[jwk["kty"]]}
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode("ascii")
    return urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode("ascii")


def _new(algorithm: str) -> JWK:
    jwk = _GENERATE[algorithm]()
    jwk.pop("key_ops", None)
    return {**jwk, "alg": algorithm, "use": "sig", "kid": thumbprint(jwk)}


def _signing_key(jwk: JWK) -> SigningKey:
    public = {name: jwk[name] for name in (*_PUBLIC[jwk["kty"]], "alg", "use", "kid")}
    if jwk["alg"] not in _GENERATE or "d" not in jwk:
        raise ValueError
    return SigningKey(jwk["alg"], PyJWK(jwk).key, jwk["kid"], public)


def _write(path: Path, jwks: list[JWK], *, replace: bool) -> None:
    """Write a key file whole or not at all.

    Without ``replace``, a file that another daemon has written in the meantime stays.
    """
    descriptor, draft = tempfile.mkstemp(prefix=".keys-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            json.dump({"keys": jwks}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(draft, path)
        else:
            with suppress(FileExistsError):
                os.link(draft, path)
    finally:
        Path(draft).unlink(missing_ok=True)
