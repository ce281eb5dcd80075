"""Claims: what each scope brings."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.interfaces import User
from ropg_twisted.oauth.claims import CLAIMS, claims_of
from ropg_twisted.oauth.scopes import SCOPES, granted_scope
from ropg_twisted.settings.model import Client

ALICE = User("uid-1", "alice", "Alice Ä.", "alice@example.com", ("staff", "admins"))


class ScopeTests(SynchronousTestCase):
    """Which scopes a client gets."""

    def test_the_table(self) -> None:
        """Known scopes are granted once and in one order, unknown ones are ignored."""
        rows: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
            ((), ("openid", "profile", "email")),
            (("openid",), ("openid",)),
            (("groups", "openid", "groups"), ("openid", "groups")),
            (("openid", "offline_access", "OPENID"), ("openid",)),
            (("email", "profile"), ("profile", "email")),
            (("offline_access",), ()),
            (SCOPES, SCOPES),
        ]
        for asked, granted in rows:
            self.assertEqual(granted_scope(asked, Client("mac")), granted, asked)
            self.assertEqual(granted_scope((word for word in asked), Client("mac")), granted, asked)

    def test_a_client_gets_no_more_than_its_scopes(self) -> None:
        """Neither by asking nor by its extra scopes."""
        client = Client("mac", scopes=("openid", "email"), extra_scopes=("email", "groups"))
        for asked in ((), ("openid",), ("openid", "profile", "groups")):
            self.assertEqual(granted_scope(asked, client), ("openid", "email"), asked)


class ClaimsTests(SynchronousTestCase):
    """What is said of a person."""

    def test_the_table(self) -> None:
        """Each scope brings its claims, and ``sub`` is always there."""
        names = {"preferred_username": "alice", "name": "Alice Ä.", "given_name": "Alice Ä."}
        email = {"email": "alice@example.com", "email_verified": False}
        groups = {"groups": ["staff", "admins"]}
        rows: list[tuple[tuple[str, ...], dict[str, Any]]] = [
            ((), {}),
            (("openid",), {}),
            (("profile",), {**names, **groups}),
            (("email",), email),
            (("groups",), groups),
            (SCOPES, {**names, **email, **groups}),
        ]
        for scope, claims in rows:
            self.assertEqual(claims_of(ALICE, scope), {"sub": "uid-1", **claims}, scope)
            self.assertEqual(claims_of(ALICE, iter(scope)), {"sub": "uid-1", **claims}, scope)

    def test_what_is_not_known_is_left_out(self) -> None:
        """No claim has an empty text; a person without groups has none."""
        self.assertEqual(
            claims_of(User("uid-2", "bob"), SCOPES),
            {"sub": "uid-2", "preferred_username": "bob", "groups": []},
        )

    def test_the_list_of_claims_is_whole(self) -> None:
        """It names each claim that any scope brings, once."""
        self.assertEqual(sorted(CLAIMS), sorted(claims_of(ALICE, SCOPES)))
