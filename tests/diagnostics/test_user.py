"""A real password check, step by step."""

from __future__ import annotations

from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.diagnostics.daemon import discovery_problems
from ropg_twisted.diagnostics.examination import examine
from ropg_twisted.diagnostics.findings import State
from ropg_twisted.diagnostics.user import UserPassword, check_user
from ropg_twisted.oauth.metadata import IssuerInfo, own_document
from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.service import session_remover
from tests.diagnostics.examining import ISSUER, ExaminationTestCase, reactor
from tests.fakes import RIGHT, FixedVerifier
from tests.parametrize import parametrize

TOKENS = """
[[clients]]
id = "jamf-connect"
tokens = "authentik"
redirect_uri = "https://127.0.0.1/jamfconnect"
"""

USERS = {
    "right": ("alice", USUAL_PASSWORD, {}, State.OK, "The password is right: alice"),
    "wrong": ("alice", "an-unlucky-guess", {}, State.FAILURE, "refused the name or the password"),
    "a second factor": ("bob", USUAL_PASSWORD, {}, State.WARNING, "ak-stage-authenticator-valid"),
    "a second factor that is not needed": (
        "bob",
        USUAL_PASSWORD,
        {"ROPG_MFA": "tokens", "ROPG_CLAIMS": "typed", "ROPG_CHECK_ACCESS": "off"},
        State.OK,
        "ROPG_MFA=tokens",
    ),
    "no access": (
        "grace",
        USUAL_PASSWORD,
        {},
        State.FAILURE,
        "when Authentik was asked for whether the user may use the application",
    ),
    "no login stage": (
        "alice",
        USUAL_PASSWORD,
        {"FLOW_SLUG": "ropg-nologin"},
        State.FAILURE,
        "It stopped at xak-flow-redirect",
    ),
}


class UserTests(ExaminationTestCase):
    """The verdict, the stages, the requests and the session of one check."""

    @parametrize(USERS)
    async def test_user(
        self, name: str, password: str, environ: dict[str, str], state: State, words: str
    ) -> None:
        """Each outcome says where it stopped and what to do; no password is shown."""
        await self.sandbox()
        installation = self.installation(**environ)
        check = partial(examine, user=UserPassword(f" {name} ", password))
        found = await self.findings(check, installation)
        text = "\n".join(map(str, found))
        [user] = [finding for finding in found if finding.name == "user"]
        self.assertEqual((user.state, words in user.message), (state, True), text)
        [stages] = [finding for finding in found if finding.name == "user-stages"]
        self.assertIn("Stages: ak-stage-identification, ak-stage-password", stages.message)
        self.assertNotIn(password, text)
        self.assertEqual(len(self.stand_in.sessions.authenticated), 0)

    async def test_the_name_is_that_which_the_daemon_sends(self) -> None:
        """Spaces around it are removed, and a code is split from the password."""
        verifier = FixedVerifier(RIGHT)
        installation = self.installation(ROPG_MFA="code")
        sessions = session_remover(installation.settings, reactor)
        check = partial(
            check_user,
            user=UserPassword(" alice ", "guess;123456"),
            verifier=verifier,
            sessions=sessions,
        )
        await self.expect(check, installation, "user", State.OK)
        [login] = verifier.asked
        self.assertEqual((login.username, login.password, login.code), ("alice", "guess", "123456"))

    @parametrize(
        {
            "access": ("core/applications/jamf-connect/check_access/", "whether the user may use"),
            "user": ("core/users/me/", "who the user is"),
        }
    )
    async def test_a_request_after_the_login(self, path: str, words: str) -> None:
        """The line names the request that failed."""
        authentik = await self.sandbox()
        authentik.overrides[f"/api/v3/{path}"] = 500
        check = partial(examine, user=UserPassword("alice", USUAL_PASSWORD))
        await self.expect(check, self.installation(), "user", State.FAILURE, words)

    async def test_session(self) -> None:
        """It is removed as the daemon does, and the line says so; or that it was not."""
        authentik = await self.sandbox()
        check = partial(examine, user=UserPassword("alice", USUAL_PASSWORD))
        await self.expect(check, self.installation(), "user-session", State.OK, "removed")
        authentik.overrides["/api/v3/flows/executor/default-invalidation-flow/"] = 500
        await self.expect(check, self.installation(), "user-session", State.WARNING, "stays")

    @parametrize(
        {
            "never removed": ({"ROPG_SESSION_REMOVAL": "never"}, "as the settings want it"),
            "no flow for it": ({"ROPG_INVALIDATION_FLOW": ""}, "as the settings want it"),
            "short": ({"FLOW_SLUG": "short-session"}, "a few minutes"),
        }
    )
    async def test_session_that_stays(self, environ: dict[str, str], words: str) -> None:
        """The line says that it stays, and for how long."""
        await self.sandbox()
        check = partial(examine, user=UserPassword("alice", USUAL_PASSWORD))
        await self.expect(check, self.installation(**environ), "user-session", State.OK, words)

    async def test_tokens_of_authentik(self) -> None:
        """A client that gets them gets them here too, and they are not shown."""
        authentik = await self.sandbox()
        check = partial(examine, user=UserPassword("alice", USUAL_PASSWORD))
        installation = self.installation(clients=TOKENS)
        found = await self.findings(check, installation)
        self.assertIn("tokens", next(f.message for f in found if f.name == "user-stages"))
        self.assertNotIn("eyJ", "".join(map(str, found)))
        authentik.overrides["/application/o/authorize/"] = 400
        await self.expect(check, installation, "user", State.FAILURE, "asked for the tokens")


DOCUMENT = own_document(
    IssuerInfo(ISSUER, "RS256", "https://authentik.example.com", introspection=False)
)
KEYS = [{"kid": "1", "alg": "RS256"}]


class DiscoveryTests(SynchronousTestCase):
    """A discovery document as a strict client sees it."""

    @parametrize(
        {
            "fine": ({}, KEYS, ""),
            "another issuer": ({"issuer": f"{ISSUER}/"}, KEYS, "restart it"),
            "another token endpoint": ({"token_endpoint": "http://x/"}, KEYS, "token_endpoint"),
            "no authorization endpoint": (
                {"authorization_endpoint": None},
                KEYS,
                "authorization_endpoint",
            ),
            "no keys": ({}, [], "No key for RS256"),
            "keys of another kind": ({}, None, "No key for RS256"),
            "no algorithm": ({"id_token_signing_alg_values_supported": []}, KEYS, "algorithm"),
            "HS256": ({"id_token_signing_alg_values_supported": ["HS256"]}, [], ""),
            "an outage": ({"error": "temporarily_unavailable"}, KEYS, "not available"),
        }
    )
    def test_document(self, changes: dict[str, object], keys: object, words: str) -> None:
        """Each deviation is one problem."""
        problems = list(discovery_problems({**DOCUMENT, **changes}, keys, ISSUER))
        self.assertEqual(len(problems), bool(words))
        self.assertIn(words, "".join(problems))
