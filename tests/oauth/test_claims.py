"""Claims: what each scope brings."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.interfaces import User
from ropg_twisted.oauth.claims import CLAIMS, claims_of, for_client
from ropg_twisted.oauth.scopes import SCOPES, granted_scope
from ropg_twisted.settings.model import Client, NameSplit
from tests.parametrize import parametrize

NAMES = {"preferred_username": "alice", "name": "Alice Ä.", "given_name": "Alice Ä."}
EMAIL = {"email": "alice@example.com", "email_verified": False}
GROUPS = {"groups": ["staff", "admins"]}

ALICE = User("uid-1", "alice", "Alice Ä.", "alice@example.com", ("staff", "admins"))


class ScopeTests(SynchronousTestCase):
    """The scopes that a client gets."""

    @parametrize(
        {
            "none": ((), ("openid", "profile", "email")),
            "openid": (("openid",), ("openid",)),
            "twice": (("groups", "openid", "groups"), ("openid", "groups")),
            "unknown ones": (("openid", "offline_access", "OPENID"), ("openid",)),
            "in another order": (("email", "profile"), ("profile", "email")),
            "only unknown ones": (("offline_access",), ()),
            "all": (SCOPES, SCOPES),
        }
    )
    def test_granted(self, asked: tuple[str, ...], granted: tuple[str, ...]) -> None:
        """Known scopes are granted once and in one order, unknown ones are ignored."""
        self.assertEqual(granted_scope(asked, Client("mac")), granted)
        self.assertEqual(granted_scope((word for word in asked), Client("mac")), granted)

    def test_a_client_gets_no_more_than_its_scopes(self) -> None:
        """Neither by asking nor by its extra scopes."""
        client = Client("mac", scopes=("openid", "email"), extra_scopes=("email", "groups"))
        for asked in ((), ("openid",), ("openid", "profile", "groups")):
            self.assertEqual(granted_scope(asked, client), ("openid", "email"), asked)


class ClaimsTests(SynchronousTestCase):
    """Claims about a user."""

    @parametrize(
        {
            "none": ((), {}),
            "openid": (("openid",), {}),
            "profile": (("profile",), {**NAMES, **GROUPS}),
            "email": (("email",), EMAIL),
            "groups": (("groups",), GROUPS),
            "all": (SCOPES, {**NAMES, **EMAIL, **GROUPS}),
        }
    )
    def test_scope(self, scope: tuple[str, ...], claims: dict[str, Any]) -> None:
        """Each scope brings its claims, and ``sub`` is always there."""
        self.assertEqual(claims_of(ALICE, scope), {"sub": "uid-1", **claims})
        self.assertEqual(claims_of(ALICE, iter(scope)), {"sub": "uid-1", **claims})

    def test_what_is_not_known_is_left_out(self) -> None:
        """No claim has an empty text; a person without groups has none."""
        self.assertEqual(
            claims_of(User("uid-2", "bob"), SCOPES),
            {"sub": "uid-2", "preferred_username": "bob", "groups": []},
        )

    def test_the_list_of_claims_is_whole(self) -> None:
        """It names each claim that any scope brings, for any client, once."""
        client = Client("iru", name_split=NameSplit.FAMILY_LAST)
        self.assertEqual(sorted(CLAIMS), sorted(for_client(claims_of(ALICE, SCOPES), client)))
