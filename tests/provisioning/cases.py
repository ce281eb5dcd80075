"""Blueprints of tests: as usual, and at random."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from ropg_twisted.provisioning.blueprint.document import render
from ropg_twisted.provisioning.blueprint.model import Backend, Blueprint, SecretSource
from tests.provisioning.authentik_objects import AuthentikObjects, fresh_authentik

USUAL = Blueprint(
    slug="ropg",
    client_id="jamf-connect",
    application="jamf-connect",
    redirect_uris=("https://127.0.0.1/jamfconnect",),
    groups=("mac-users",),
)

TOKEN = "outpost-token-0123456789"
SECRETS = {"ROPG_OUTPOST_TOKEN": TOKEN, "ROPG_CLIENT_SECRET": "client-secret-0123456789"}
"""The environment of Authentik."""


def usual(**changes: Any) -> str:
    """Return the usual blueprint with changes, as YAML."""
    return render(replace(USUAL, **changes))


def applied(*texts: str) -> AuthentikObjects:
    """Return a new Authentik to which blueprints have been applied."""
    authentik = fresh_authentik()
    for text in texts:
        authentik.apply(text, SECRETS)
    return authentik


def texts() -> st.SearchStrategy[str]:
    """Return texts that are hard to quote, among others."""
    hostile = st.sampled_from(
        [
            "a: b # c",
            "- a",
            "{a: [b]}",
            "!Env PATH",
            "&a *a",
            "'\"\\",
            "\\n",
            "%s %d %%",
            "null",
            "yes",
            "0x10",
            "1e3",
            "2026-11-24",
            "---",
            "...",
            "first\nsecond",
            "first\r\n# second: x",
            "\x85\u2028\u2029\ufeff",
            "\x00\x07\x1b\x7f\x9f",
            "ünï 密码 🔑",
            "\U000e0001\ufffe",
            " spaces ",
            "\ttab",
            "<<",
            "=",
            "~",
            "@`",
        ]
    )
    return st.one_of(hostile, st.text(st.characters(exclude_categories=["Cs"]), min_size=1))


def blueprints() -> st.SearchStrategy[Blueprint]:
    """Return blueprints of any texts and choices."""
    return st.builds(
        Blueprint,
        slug=texts(),
        client_id=texts(),
        application=texts(),
        redirect_uris=st.lists(texts(), min_size=1, max_size=3, unique=True).map(tuple),
        groups=st.lists(texts(), max_size=3, unique=True).map(tuple),
        backends=st.lists(st.sampled_from(Backend), min_size=1, unique=True).map(tuple),
        second_factor=st.booleans(),
        upstream_tokens=st.booleans(),
        confidential=st.booleans(),
        outpost=st.booleans(),
        secrets=st.just(SecretSource.PLAINTEXT),
        client_secret=texts(),
        outpost_token=st.none() | texts(),
    )
