"""Names: how a full name is divided for clients that want two."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.interfaces import User
from ropg_twisted.oauth.claims import claims_of, for_client
from ropg_twisted.oauth.names import split_name
from ropg_twisted.settings.model import Client, NameSplit
from tests.memory import InMemoryDaemon
from tests.parametrize import parametrize

LAST, FIRST = NameSplit.FAMILY_LAST, NameSplit.GIVEN_FIRST
FAMILY_FIRST, COMMA = NameSplit.FAMILY_FIRST, NameSplit.COMMA
RULES = st.sampled_from([LAST, FIRST, FAMILY_FIRST, COMMA])
NAMES = st.text().filter(str.strip) | st.lists(
    st.sampled_from(["Ada", "de", "Löwe", "王", ",", " ", "\u3000", "van, der"]), min_size=1
).map(" ".join).filter(str.strip)


class SplitTests(SynchronousTestCase):
    """The rules."""

    @parametrize(
        {
            "the last word": (LAST, "Ada Maria Lovelace", ("Ada Maria", "Lovelace")),
            "the last word after a comma": (LAST, "Lovelace, Ada", ("Lovelace,", "Ada")),
            "the first word": (FIRST, "Juan García Márquez", ("Juan", "García Márquez")),
            "particles": (FIRST, "Ludwig van Beethoven", ("Ludwig", "van Beethoven")),
            "the family first": (FAMILY_FIRST, "Nagy Anna Mária", ("Anna Mária", "Nagy")),
            "a comma": (COMMA, "van Beethoven, Ludwig", ("Ludwig", "van Beethoven")),
            "a comma without a space": (COMMA, "Lovelace,Ada Maria", ("Ada Maria", "Lovelace")),
            "two commas": (COMMA, "King, Martin Luther, Jr.", ("Martin Luther, Jr.", "King")),
            "no comma": (COMMA, "Ada Maria Lovelace", ("Ada Maria", "Lovelace")),
            "a comma at the end": (COMMA, "Ada Lovelace,", ("Ada", "Lovelace")),
            "a comma before one word": (COMMA, " ,Ada", ("Ada", "Ada")),
            "only a comma": (COMMA, " , ", (",", ",")),
            "one word": (LAST, "Prince", ("Prince", "Prince")),
            "one word, given first": (FIRST, "Prince", ("Prince", "Prince")),
            "one word, family first": (FAMILY_FIRST, "Prince", ("Prince", "Prince")),
            "one word, comma": (COMMA, "Prince", ("Prince", "Prince")),
            "spaces": (LAST, "  Ada\t Maria \u3000Lovelace ", ("Ada Maria", "Lovelace")),
        }
    )
    def test_rule(self, rule: NameSplit, name: str, expected: tuple[str, str]) -> None:
        """Given name and family name, in this order; a single word is both."""
        self.assertEqual(split_name(name, rule), expected)

    @given(NAMES, RULES)
    def test_both_names_are_there_and_nothing_is_lost(self, name: str, rule: NameSplit) -> None:
        """Neither is empty, and together they are the words of the name."""
        parts = split_name(name, rule)
        self.assertEqual(parts, tuple(" ".join(part.split()) for part in parts))
        self.assertTrue(all(parts))

        def letters(text: str) -> str:
            return "".join(sorted("".join(text.replace(",", "").split())))

        whole = letters(name)
        given, family = map(letters, parts)
        single = len(name.replace(",", " ").split()) <= 1 or len(name.split()) == 1
        if given == family and single:
            self.assertEqual(given, whole)
        else:
            self.assertEqual(letters(given + family), whole)


class ClaimsTests(SynchronousTestCase):
    """The claims of a client with a rule."""

    def names(self, user: User, client: Client, *scope: str) -> tuple[object, object]:
        """The two claims."""
        claims = for_client(claims_of(user, scope or ("profile",)), client)
        return claims.get("given_name"), claims.get("family_name")

    def test_a_client_without_a_rule(self) -> None:
        """It gets the full name as its given name, as from Authentik."""
        user = User("uid-1", "ada", "Ada Lovelace")
        self.assertEqual(self.names(user, Client("mac")), ("Ada Lovelace", None))

    def test_a_client_with_a_rule(self) -> None:
        """It gets both names, in the scope of the full name only, and aliases of them."""
        client = Client("iru", name_split=LAST, aliases=(("sn", "family_name"),))
        user = User("uid-1", "ada", "Ada Lovelace")
        self.assertEqual(self.names(user, client), ("Ada", "Lovelace"))
        self.assertEqual(self.names(user, client, "openid", "email"), (None, None))
        claims = for_client(claims_of(user, ("profile",)), client)
        self.assertEqual((claims["name"], claims["sn"]), ("Ada Lovelace", "Lovelace"))

    @parametrize({"none": ("",), "only spaces": (" \u3000",)})
    def test_a_user_without_a_name(self, name: str) -> None:
        """The user name is in its place, because the client requires both claims."""
        user = User("uid-1", "ada", name)
        self.assertEqual(self.names(user, Client("iru", name_split=LAST)), ("ada", "ada"))

    def test_names_of_a_scope_mapping_stay(self) -> None:
        """Authentik knows better, if it tells the family name; an empty one tells nothing."""
        client = Client("iru", name_split=LAST)
        mapped = {"name": "Ada King Lovelace", "given_name": "Ada", "family_name": "King Lovelace"}
        self.assertEqual(for_client(mapped, client), mapped)
        for unknown in ("", None):
            found = for_client({**mapped, "family_name": unknown}, client)
            self.assertEqual(found["family_name"], "Lovelace")

    def test_a_name_that_is_no_text(self) -> None:
        """A strange scope mapping changes nothing."""
        claims = {"sub": "uid-1", "name": ["Ada"], "preferred_username": None}
        self.assertEqual(for_client(claims, Client("iru", name_split=LAST)), claims)


class DaemonTests(SynchronousTestCase):
    """The tokens of a daemon for Iru, which has no name without a family name."""

    TABLE = '[[clients]]\nid = "jamf-connect"\nprofile = "iru"\n'

    def assert_names(self, claims: Mapping[str, object], given: str, family: str) -> None:
        """Assert that all is there that Iru reads."""
        found = {name: claims.get(name) for name in ("given_name", "family_name")}
        self.assertEqual(found, {"given_name": given, "family_name": family})
        self.assertEqual(claims["preferred_username"], "alice")
        self.assertEqual(claims["groups"], ["mac-admins"])

    def test_a_password(self) -> None:
        """The id token and userinfo tell both names, whatever the client has asked for."""
        daemon = InMemoryDaemon(self, self.TABLE)
        for scope in ({}, {"scope": "openid"}, {"scope": "email"}):
            tokens = daemon.password("alice", **scope).json
            self.assert_names(daemon.verified(tokens["id_token"]), "Alice", "Example")
            self.assert_names(daemon.userinfo(tokens["access_token"]).json, "Alice", "Example")

    def test_another_rule(self) -> None:
        """The table overrides the profile."""
        daemon = InMemoryDaemon(self, f'{self.TABLE}name_split = "family_first"\n')
        tokens = daemon.password("alice").json
        self.assert_names(daemon.verified(tokens["id_token"]), "Example", "Alice")

    def test_a_login_in_a_browser(self) -> None:
        """The id token of a relayed code tells both names as well."""
        daemon = InMemoryDaemon(self, self.TABLE)
        tokens = daemon.redeem(daemon.code()).json
        self.assert_names(daemon.verified(tokens["id_token"]), "Alice", "Example")
