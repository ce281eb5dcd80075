"""Keys that sign tokens, and the set that is published of them. No I/O."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final, TypeAlias

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from jwt import PyJWK
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

JWK: TypeAlias = dict[str, Any]

PUBLISH_AHEAD: Final = 600
"""Seconds for which a new key is published before it signs: twice as long as clients keep keys."""

MAX_TOKEN_LIFETIME: Final = 86400
"""Seconds for which an old key stays published: no token may live longer."""

_GENERATE: Final[Mapping[str, Callable[[], JWK]]] = {
    "RS256": lambda: RSAAlgorithm.to_jwk(generate_rsa(65537, 2048), as_dict=True),
    "ES256": lambda: ECAlgorithm.to_jwk(generate_ec(SECP256R1()), as_dict=True),
    "EdDSA": lambda: OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate(), as_dict=True),
}

_YEAR_10000: Final = 253402300800

_MAX_MEMBER: Final = 1400
"""Characters of a member of a key; RSA with 8192 bits has as many."""

_PUBLIC: Final[Mapping[str, tuple[str, ...]]] = {
    "RSA": ("e", "kty", "n"),
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
}
"""The public members of each type of key, which are those of its thumbprint."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs. A shared secret has no ``kid`` and nothing to publish.

    ``signs_from``, ``published_until``: seconds since the epoch, ``inf`` for never.
    """

    algorithm: str
    private: Any = field(repr=False)
    kid: str | None = None
    public: JWK | None = None
    signs_from: float = 0
    published_until: float = inf


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The key that signs now, and all keys whose tokens may be in use, or soon will be."""

    signing: SigningKey
    published: tuple[SigningKey, ...] = ()

    def jwks(self) -> dict[str, list[JWK]]:
        """The JWK Set to publish."""
        return {"keys": [key.public for key in self.published if key.public is not None]}


def shared_secret(secret: str) -> KeyRing:
    """HS256 with a secret that the clients know as well."""
    return KeyRing(SigningKey("HS256", secret))


def ring_at(now: float, keys: Iterable[SigningKey], algorithm: str) -> KeyRing:
    """The key ring at a time.

    A key signs only as long as it will be published for longer than any of its tokens can live.
    The newest of them signs. Raises :exc:`ValueError` if there is none for ``algorithm``.
    """
    published = tuple(key for key in keys if now < key.published_until)
    signing = [
        key
        for key in published
        if key.algorithm == algorithm
        if key.signs_from <= now and now + MAX_TOKEN_LIFETIME <= key.published_until
    ]
    return KeyRing(max(reversed(signing), key=lambda key: key.signs_from), published)


def new_key(algorithm: str, now: float, *, signs_from: float | None) -> JWK:
    """A new private JWK, as it is stored; ``signs_from`` is ``None`` for not yet.

    Beside the members of RFC 7517 it has ``iat``, since when it is published, and ``nbf``, from
    when it signs; a key that has been replaced has ``exp`` as well, until when it is published.
    """
    jwk = _GENERATE[algorithm]()
    jwk.pop("key_ops", None)
    times = {"iat": int(now), "nbf": signs_from}
    return {**jwk, "alg": algorithm, "use": "sig", "kid": thumbprint(jwk), **times}


def read_key(jwk: Any) -> SigningKey:
    """A stored key. Raises :exc:`ValueError` for anything that cannot sign."""
    try:
        return _read_key(jwk)
    except Exception as error:  # Three libraries have read it, each with errors of its own.
        raise ValueError("not a key that can sign") from error


def _read_key(jwk: JWK) -> SigningKey:
    if jwk["alg"] not in _GENERATE or "d" not in jwk:
        raise ValueError
    # Large numbers, and primes that have to be found first, would take minutes.
    if any(len(str(member)) > _MAX_MEMBER for member in jwk.values()):
        raise ValueError
    if jwk["kty"] == "RSA" and "p" not in jwk:
        raise ValueError
    public = {name: jwk[name] for name in (*_PUBLIC[jwk["kty"]], "alg", "use", "kid")}
    if not all(isinstance(text, str) and text.isprintable() for text in public.values()):
        raise TypeError
    if public["use"] != "sig" or not public["kid"]:
        raise ValueError
    _timestamp(jwk.get("iat", 0))
    signs_from = jwk.get("nbf", 0)
    key = SigningKey(
        algorithm=jwk["alg"],
        private=PyJWK(jwk).key,
        kid=jwk["kid"],
        public=public,
        signs_from=inf if signs_from is None else _timestamp(signs_from),
        published_until=_timestamp(jwk["exp"]) if "exp" in jwk else inf,
    )
    proof = jwt.encode({}, key.private, key.algorithm)
    jwt.decode(proof, PyJWK(public), [key.algorithm])
    return key


def _timestamp(seconds: object) -> float:
    """Seconds since the epoch, within the years that can be written."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError
    if not 0 <= seconds < _YEAR_10000:
        raise ValueError
    return float(seconds)


def rotate(jwks: Iterable[JWK], algorithm: str, now: float) -> list[JWK]:
    """The stored keys after a rotation.

    The key that waits, or a new one, signs as soon as it has been published for long enough. The
    keys before it stay published until their last token has expired.
    """
    jwks = [dict(jwk) for jwk in jwks]
    waiting = [jwk for jwk in jwks if jwk["alg"] == algorithm and jwk.get("nbf", 0) is None]
    if not waiting:
        waiting = [new_key(algorithm, now, signs_from=None)]
        jwks += waiting
    following = waiting[0]
    following["nbf"] = max(int(now), following.get("iat", int(now)) + PUBLISH_AHEAD)
    for jwk in jwks:
        if jwk["alg"] == algorithm and jwk.get("nbf", 0) is not None and jwk is not following:
            jwk.setdefault("exp", following["nbf"] + MAX_TOKEN_LIFETIME)
    return jwks


def retire(jwks: Iterable[JWK], kid: str, now: float) -> list[JWK]:
    """The stored keys after one has been told to sign no more; it stays published for a day.

    Raises :exc:`LookupError` if there is no such key, and :exc:`ValueError` if no other could sign
    in its place.
    """
    jwks = [dict(jwk) for jwk in jwks]
    found = [jwk for jwk in jwks if jwk["kid"] == kid]
    if not found:
        raise LookupError(kid)
    leaving = found[0]
    leaving["exp"] = min(leaving.get("exp", inf), int(now) + MAX_TOKEN_LIFETIME)
    ring_at(now + 1, map(read_key, jwks), leaving["alg"])
    return jwks


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """The SHA-256 thumbprint of a JWK (RFC 7638)."""
    members = {name: jwk[name] for name in _PUBLIC[jwk["kty"]]}
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode("ascii")
    return urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode("ascii")
