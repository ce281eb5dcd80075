"""What the peers in Python share: their settings and their tokens."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_private_key

AUTHENTIK = os.environ["BENCH_AUTHENTIK"]
FLOW = f"{AUTHENTIK}/api/v3/flows/executor/default-authentication-flow/?query="
ACCESS = f"{AUTHENTIK}/api/v3/core/applications/jamf-connect/check_access/"
USER = f"{AUTHENTIK}/api/v3/core/users/me/"
REMOVAL = f"{AUTHENTIK}/api/v3/flows/executor/default-invalidation-flow/?query="

EXTRAS = frozenset(os.environ["BENCH_EXTRAS"].split())
"""Requests besides the flow: ``access``, ``user``, ``removal``."""

ISSUER = "http://127.0.0.1"
CLIENT = "jamf-connect"
LIFETIME = 3600

ALGORITHM = os.environ["BENCH_ALGORITHM"]
KEY: Any = load_pem_private_key(Path(os.environ["BENCH_KEY"]).read_bytes(), None)
HEADERS = {"Accept": "application/json"}


def typed(username: str) -> dict[str, Any]:
    """Return the claims of a user of whom only the name is known."""
    return {"sub": username, "preferred_username": username, "name": username}


def claims_of(user: dict[str, Any]) -> dict[str, Any]:
    """Return the claims of a user whom Authentik has described."""
    return {
        "sub": user["uid"],
        "preferred_username": user["username"],
        "name": user["name"],
        "given_name": user["name"],
        "email": user["email"],
        "email_verified": False,
        "groups": [group["name"] for group in user["groups"]],
    }


def token_response(claims: dict[str, Any], scope: str) -> dict[str, Any]:
    """Return the token response: an access token and an id token."""
    now = int(time.time())
    claims = {
        **claims,
        "iss": ISSUER,
        "aud": CLIENT,
        "azp": CLIENT,
        "iat": now,
        "exp": now + LIFETIME,
        "auth_time": now,
        "amr": ["pwd"],
    }
    return {
        "token_type": "Bearer",
        "access_token": _sign("at+jwt", {**claims, "client_id": CLIENT, "scope": scope}),
        "expires_in": LIFETIME,
        "scope": scope,
        "id_token": _sign("JWT", claims),
    }


def _sign(kind: str, claims: dict[str, Any]) -> str:
    claims["jti"] = str(uuid.uuid4())
    return jwt.encode(claims, KEY, ALGORITHM, headers={"typ": kind, "kid": "bench"})
