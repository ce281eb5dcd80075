"""Checks of the application and of its provider."""

from __future__ import annotations

from ropg_twisted.diagnostics.findings import State
from ropg_twisted.diagnostics.provider import check_application
from ropg_twisted.sandbox.oauth2.applications import CONFIDENTIAL_SECRET
from tests.diagnostics.examining import ExaminationTestCase, states
from tests.parametrize import parametrize

AUTHORIZE = "/application/o/authorize/"
TOKEN = "/application/o/token/"
ACCESS = "/api/v3/core/applications/jamf-connect/check_access/"
DISCOVERY = "/application/o/jamf-connect/.well-known/openid-configuration"
TOKENS = 'tokens = "authentik"\nredirect_uri = "https://127.0.0.1/jamfconnect"\n'


def client(name: str, more: str = "") -> str:
    """The table of a client."""
    return f'[[clients]]\nid = "{name}"\n{more}'


CLIENTS = {
    "known": (client("jamf-connect"), "client", State.OK, "knows jamf-connect"),
    "unknown": (client("mac"), "client", State.WARNING, "client ID mac"),
    "unknown, for upstream tokens": (client("mac", TOKENS), "client", State.FAILURE, "mac"),
    "a wrong secret": (
        client("jamf-connect-confidential", 'secret = "canary"'),
        "client",
        State.WARNING,
        "with this secret",
    ),
    "a right secret": (
        client("jamf-connect-confidential", f'secret = "{CONFIDENTIAL_SECRET}"'),
        "client",
        State.OK,
        "knows",
    ),
    "a registered redirect URI": (
        client("jamf-connect", 'redirect_uri = "https://127.0.0.1/jamfconnect"'),
        "client-login",
        State.OK,
        "jamfconnect",
    ),
    "another redirect URI": (
        client("jamf-connect", 'redirect_uri = "https://127.0.0.1/other"'),
        "client-login",
        State.WARNING,
        "https://127.0.0.1/other: add it",
    ),
    "another redirect URI, for upstream tokens": (
        client("jamf-connect", TOKENS.replace("jamfconnect", "other")),
        "client-login",
        State.FAILURE,
        "add it",
    ),
    "no grant types": (
        client("jamf-connect-nogrant"),
        "client-login",
        State.WARNING,
        "grant_types",
    ),
    "no grant types, for upstream tokens": (
        client("jamf-connect-nogrant", TOKENS),
        "client-login",
        State.FAILURE,
        "grant_types",
    ),
}


class ClientTests(ExaminationTestCase):
    """What Authentik knows of the clients."""

    @parametrize(CLIENTS)
    async def test_client(self, clients: str, name: str, state: State, words: str) -> None:
        """A refresh token that nobody has, and a login that nobody finishes, show it."""
        await self.sandbox()
        installation = self.installation(clients=clients, ROPG_APP_SLUG="jamf-connect")
        finding = await self.expect(check_application, installation, name, state, words)
        self.assertNotIn("canary", str(finding))

    async def test_passwords_only(self) -> None:
        """A client that sends nothing but passwords need not be known."""
        authentik = await self.sandbox()
        installation = self.installation(
            clients=client("mac", 'grants = "password"'), ROPG_APP_SLUG="jamf-connect"
        )
        found = states(await self.findings(check_application, installation))
        self.assertNotIn("client", found)
        self.assertEqual(authentik.count("POST", TOKEN), 0)

    async def test_an_unknown_redirect_uri_that_is_not_set(self) -> None:
        """Nothing is said of a redirect URI that the settings do not have."""
        authentik = await self.sandbox()
        authentik.overrides[AUTHORIZE] = 400
        await self.expect(
            check_application, self.installation(), "client-login", State.OK, "Not checked"
        )

    @parametrize(
        {
            "of the token endpoint": (TOKEN, 500, "client", "not a JSON object"),
            "of the token endpoint, as JSON": (TOKEN, b'{"error":"x y"}', "client", "HTTP 200"),
            "of the authorization endpoint": (AUTHORIZE, 500, "client-login", "HTTP 500"),
        }
    )
    async def test_an_error(self, path: str, answer: bytes | int, name: str, words: str) -> None:
        """Answers that mean nothing are shown by their status."""
        authentik = await self.sandbox()
        authentik.overrides[path] = answer
        await self.expect(check_application, self.installation(), name, State.WARNING, words)


class ApplicationTests(ExaminationTestCase):
    """The application, its keys and who may use it."""

    async def test_everything_is_fine(self) -> None:
        """Each has its line."""
        await self.sandbox()
        found = states(await self.findings(check_application, self.installation()))
        self.assertEqual(set(found.values()), {State.OK})
        expected = "application application-key application-access client client-login"
        self.assertEqual(list(found), expected.split())

    async def test_none(self) -> None:
        """One that is named must exist; without one, the line says what that means."""
        await self.sandbox()
        installation = self.installation(ROPG_APP_SLUG="nowhere")
        await self.expect(
            check_application, installation, "application", State.FAILURE, "ROPG_APP_SLUG"
        )
        installation = self.installation(CLIENT_ID="nowhere")
        await self.expect(
            check_application, installation, "application", State.WARNING, "everybody"
        )

    async def test_no_signing_key(self) -> None:
        """It is a warning, and a failure for a client that gets tokens of Authentik."""
        await self.sandbox()
        for more, state in {"": State.WARNING, TOKENS: State.FAILURE}.items():
            name = "jamf-connect-nokey"
            installation = self.installation(clients=client(name, more))
            await self.expect(
                check_application, installation, "application-key", state, "signing key"
            )

    async def test_open_to_nobody(self) -> None:
        """Authentik says no even without a login."""
        authentik = await self.sandbox()
        authentik.overrides[ACCESS] = b'{"passing": false}'
        await self.expect(
            check_application, self.installation(), "application-access", State.FAILURE, "bind"
        )
        installation = self.installation(ROPG_CHECK_ACCESS="off")
        await self.expect(
            check_application, installation, "application-access", State.OK, "ROPG_CHECK_ACCESS"
        )

    async def test_internal_urls(self) -> None:
        """Browsers of Macs cannot use the internal URL of Authentik."""
        authentik = await self.sandbox()
        authentik.overrides[DISCOVERY] = (
            b'{"authorization_endpoint":"http://authentik:9000/application/o/authorize/"}'
        )
        await self.expect(
            check_application,
            self.installation(),
            "application-url",
            State.WARNING,
            "http://authentik:9000",
        )

    async def test_no_refresh_tokens(self) -> None:
        """A client that gets tokens of Authentik usually wants a refresh token too."""
        await self.sandbox()
        installation = self.installation(
            clients=client("jamf-connect", TOKENS), ROPG_APP_SLUG="mac-fleet"
        )
        await self.expect(
            check_application, installation, "application-scopes", State.WARNING, "offline_access"
        )
