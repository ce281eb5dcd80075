"""Signing keys, their rotation, and the published JWK Set. No I/O."""

from __future__ import annotations

import hashlib
import json
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
from jwt.utils import base64url_encode

from ropg_twisted.settings.model import MAX_TOKEN_LIFETIME, SigningAlgorithm

JWK: TypeAlias = dict[str, Any]  # PyJWT's own type of it.

PUBLISH_AHEAD: Final = 600
"""Seconds between publishing a new key and signing with it: twice the clients' cache lifetime."""

_GENERATE: Final[Mapping[str, Callable[[], JWK]]] = {
    SigningAlgorithm.RS256: lambda: RSAAlgorithm.to_jwk(generate_rsa(65537, 2048), as_dict=True),
    SigningAlgorithm.ES256: lambda: ECAlgorithm.to_jwk(generate_ec(SECP256R1()), as_dict=True),
    SigningAlgorithm.EDDSA: lambda: OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate(), as_dict=True),
}

_YEAR_10000: Final = 253402300800

_MAX_MEMBER: Final = 1400
"""Maximum number of characters in a member of a JWK, enough for RSA with 8192 bits."""

_PUBLIC: Final[Mapping[str, tuple[str, ...]]] = {
    "RSA": ("e", "kty", "n"),
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
}
"""The required public members of each key type, which make up its thumbprint (RFC 7638)."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A signing key. A shared secret has no ``kid`` and no public JWK.

    ``private``: a private key of the cryptography package, or the shared secret.
    ``signs_from``, ``published_until``: seconds since the epoch, ``inf`` for never.
    """

    algorithm: str
    private: Any = field(repr=False)  # PyJWT and PyJWK declare no common type.
    kid: str | None = None
    public: JWK | None = None
    signs_from: float = 0
    published_until: float = inf


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The current signing key, and all published keys: past, current and upcoming."""

    signing: SigningKey
    published: tuple[SigningKey, ...] = ()

    def jwks(self) -> dict[str, list[JWK]]:
        """Return the public JWK Set (RFC 7517 section 5)."""
        return {"keys": [key.public for key in self.published if key.public is not None]}


def shared_secret(secret: str) -> KeyRing:
    """Return a key ring for HS256 with a secret that is shared with the clients."""
    return KeyRing(SigningKey("HS256", secret))


def ring_at(now: float, keys: Iterable[SigningKey], algorithm: str) -> KeyRing:
    """Return the key ring at the time ``now``, in seconds since the epoch.

    The newest key for ``algorithm`` signs. A key signs only while it stays published for at least
    the maximum lifetime of a token.

    Raises :exc:`ValueError` if no key can sign.
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
    """Return a new private JWK for the key file.

    In addition to the members of RFC 7517 it has ``iat``, the time since it is published, and
    ``nbf``, the time from which it signs. A replaced key also has ``exp``, the time until which it
    is published. ``signs_from``: the value of ``nbf``; ``None`` for a key that waits for a
    rotation.
    """
    jwk = _GENERATE[algorithm]()
    jwk.pop("key_ops", None)
    times = {"iat": int(now), "nbf": signs_from}
    return {**jwk, "alg": algorithm, "use": "sig", "kid": thumbprint(jwk), **times}


def read_key(jwk: JWK) -> SigningKey:
    """Return the signing key in a private JWK. Raises :exc:`ValueError` if it cannot sign."""
    try:
        return _read_key(jwk)
    except Exception as error:  # Three libraries parse it, each with its own errors.
        raise ValueError("not a key that can sign") from error


def _read_key(jwk: JWK) -> SigningKey:
    if jwk["alg"] not in _GENERATE or "d" not in jwk:
        raise ValueError
    # Huge numbers, and RSA keys without their primes, would take minutes to load.
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
    private = PyJWK(jwk).key
    jwt.encode({}, private, jwk["alg"])
    return SigningKey(
        algorithm=jwk["alg"],
        private=private,
        kid=jwk["kid"],
        public=public,
        signs_from=inf if signs_from is None else _timestamp(signs_from),
        published_until=_timestamp(jwk["exp"]) if "exp" in jwk else inf,
    )


def _timestamp(seconds: object) -> float:
    """Return seconds since the epoch as a float. Raises an error beyond the year 9999."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError
    if not 0 <= seconds < _YEAR_10000:
        raise ValueError
    return float(seconds)


def rotate(jwks: Iterable[JWK], algorithm: str, now: float) -> list[JWK]:
    """Return the stored keys after a rotation.

    The waiting key, or a new one, signs once it has been published for :data:`PUBLISH_AHEAD`. The
    older keys stay published until their last tokens have expired.
    """
    jwks = [dict(jwk) for jwk in jwks]
    waiting = [jwk for jwk in jwks if jwk["alg"] == algorithm and jwk.get("nbf", 0) is None]
    if not waiting:
        waiting = [new_key(algorithm, now, signs_from=None)]
        jwks += waiting
    successor = waiting[0]
    successor["nbf"] = max(int(now), successor.get("iat", int(now)) + PUBLISH_AHEAD)
    for jwk in jwks:
        if jwk["alg"] == algorithm and jwk.get("nbf", 0) is not None and jwk is not successor:
            jwk.setdefault("exp", successor["nbf"] + MAX_TOKEN_LIFETIME)
    return jwks


def retire(jwks: Iterable[JWK], kid: str, now: float) -> list[JWK]:
    """Return the stored keys after retiring one, which signs no more but stays published for a day.

    Raises :exc:`LookupError` if there is no such key, and :exc:`ValueError` if no other key could
    sign.
    """
    jwks = [dict(jwk) for jwk in jwks]
    found = [jwk for jwk in jwks if jwk["kid"] == kid]
    if not found:
        raise LookupError(kid)
    retired = found[0]
    retired["exp"] = min(retired.get("exp", inf), int(now) + MAX_TOKEN_LIFETIME)
    ring_at(now + 1, map(read_key, jwks), retired["alg"])
    return jwks


def thumbprint(jwk: JWK) -> str:
    """Return the SHA-256 thumbprint of a JWK (RFC 7638)."""
    members = {name: jwk[name] for name in _PUBLIC[jwk["kty"]]}
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode("ascii")
    return base64url_encode(hashlib.sha256(canonical).digest()).decode("ascii")
