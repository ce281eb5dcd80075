"""Clients: public ones, those with a secret, and those that are not known."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import quote_plus

from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.errors import InvalidClientError
from ropg_twisted.oauth.clients import Clients
from ropg_twisted.oauth.request import ClientCredentials, parse_client
from ropg_twisted.settings.model import Client
from tests.parametrize import parametrize

PUBLIC = Client("mac")
SECRET = "a b+c%20:&=ü"
CONFIDENTIAL = Client("web: ä", SECRET)


def basic(client_id: str, secret: str) -> str:
    """The header of RFC 6749 section 2.3.1."""
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return f"Basic {b64encode(pair.encode()).decode()}"


class ClientsTests(SynchronousTestCase):
    """Client authentication, by the form and by HTTP Basic."""

    @parametrize(
        {
            "public": (PUBLIC, PUBLIC.id, None),
            "public with a secret": (PUBLIC, PUBLIC.id, "whatever it sends"),
            "confidential": (CONFIDENTIAL, CONFIDENTIAL.id, SECRET),
            "confidential without a secret": (None, CONFIDENTIAL.id, None),
            "a wrong secret": (None, CONFIDENTIAL.id, "wrong"),
            "a space after the secret": (None, CONFIDENTIAL.id, SECRET + " "),
            "a secret that is cut": (None, CONFIDENTIAL.id, SECRET[:-1]),
            "an encoded secret": (None, CONFIDENTIAL.id, quote_plus(SECRET)),
            "another case of the id": (None, CONFIDENTIAL.id.upper(), SECRET),
            "unknown": (None, "nobody", None),
            "unknown with a secret": (None, "nobody", SECRET),
            "a space after the id": (None, PUBLIC.id + " ", None),
        }
    )
    def test_client(self, client: Client | None, client_id: str, sent: str | None) -> None:
        """A public client needs its name only, any other its very secret."""
        clients = Clients([PUBLIC, CONFIDENTIAL])
        form = {"client_id": client_id}
        if sent is not None:
            form["client_secret"] = sent
        for credentials in (
            parse_client(form, None),
            parse_client({}, basic(client_id, sent or "")),
        ):
            if client is not None:
                self.assertEqual(clients.authenticate(credentials), client)
                continue
            error = self.assertRaises(InvalidClientError, clients.authenticate, credentials)
            self.assertEqual(
                (error.status, error.code, str(error), error.basic),
                (401, "invalid_client", "Client authentication failed", credentials.basic),
                f"{client_id} {sent} {credentials.basic}",
            )

    def test_basic_without_a_colon(self) -> None:
        """The newest XCreds sends it; it names a public client, and is no secret of another one."""
        clients = Clients([PUBLIC, Client("web", SECRET)])

        def sent(text: str) -> ClientCredentials:
            return parse_client({}, f"Basic {b64encode(text.encode()).decode()}")

        self.assertEqual(clients.authenticate(sent("mac")), PUBLIC)
        for text in ("web", f"web{SECRET}", SECRET, ""):
            self.assertRaises(InvalidClientError, clients.authenticate, sent(text))

    def test_they_are_found_by_their_id(self) -> None:
        """A client is there for its very id only."""
        clients = Clients([PUBLIC, CONFIDENTIAL])
        self.assertEqual(clients.find("mac"), PUBLIC)
        for client_id in (None, "", "MAC", "nobody"):
            self.assertIsNone(clients.find(client_id), client_id)
