"""Checks of the outpost token and of the login flow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import partial

from ropg_twisted.diagnostics.examination import examine
from ropg_twisted.diagnostics.findings import Finding, State
from ropg_twisted.diagnostics.installation import Installation
from ropg_twisted.diagnostics.login_flow import check_flow, check_outpost_token
from ropg_twisted.sandbox.http.outposts import LDAP_OUTPOST_TOKEN, OUTPOST_TOKEN, SERVICE_TOKEN
from tests.diagnostics.examining import ExaminationTestCase, states
from tests.parametrize import parametrize

ME = "/api/v3/core/users/me/"


class OutpostTests(ExaminationTestCase):
    """The token of an outpost."""

    @parametrize(
        {
            "none": (None, "outpost-token", State.WARNING, "not set"),
            "of a proxy outpost": (OUTPOST_TOKEN, "outpost-token", State.OK, "takes the token"),
            "its rights": (OUTPOST_TOKEN, "outpost-rights", State.OK, "cannot read users"),
            "of an LDAP outpost": (LDAP_OUTPOST_TOKEN, "outpost-rights", State.WARNING, " users "),
            "unknown": ("canary-token", "outpost-token", State.FAILURE, "does not know"),
            "of another account": (SERVICE_TOKEN, "outpost-token", State.FAILURE, "internal-svc"),
        }
    )
    async def test_token(self, token: str | None, name: str, state: State, words: str) -> None:
        """Authentik itself says whose it is and what it may read; it is never shown."""
        await self.sandbox()
        environ = {} if token is None else {"ROPG_OUTPOST_TOKEN": token}
        installation = self.installation(**environ)
        found = await self.findings(check_outpost_token, installation)
        await self.expect(check_outpost_token, installation, name, state, words)
        self.assertNotIn(token or "canary", "".join(map(str, found)))

    @parametrize(
        {
            "an error": (500, "unexpected HTTP status"),
            "no object": (b"[]", "not a JSON object"),
            "no user": (b"{}", "a token of nobody"),
        }
    )
    async def test_another_answer(self, answer: bytes | int, words: str) -> None:
        """It is no proof of the token."""
        authentik = await self.sandbox()
        authentik.overrides[ME] = answer
        installation = self.installation(ROPG_OUTPOST_TOKEN=OUTPOST_TOKEN)
        await self.expect(check_outpost_token, installation, "outpost-token", State.FAILURE, words)

    async def test_lists_that_cannot_be_read(self) -> None:
        """Then the token is taken to have no rights."""
        authentik = await self.sandbox()
        authentik.overrides["/api/v3/outposts/instances/"] = b'{"results": {}}'
        authentik.overrides["/api/v3/core/users/"] = 403
        installation = self.installation(ROPG_OUTPOST_TOKEN=OUTPOST_TOKEN)
        await self.expect(check_outpost_token, installation, "outpost-rights", State.OK)


FLOWS: Mapping[str, tuple[str, str, State, str]] = {
    "the default flow": ("default-authentication-flow", "flow", State.OK, "email, username"),
    "shared with browsers": (
        "default-authentication-flow",
        "flow-shared",
        State.WARNING,
        "login page",
    ),
    "one form": ("ropg-combined", "flow-form", State.WARNING, "spaces"),
    "unknown": ("no-such-flow", "flow", State.FAILURE, "FLOW_SLUG"),
    "restricted": ("req-outpost", "flow", State.FAILURE, "ROPG_OUTPOST_TOKEN"),
    "a captcha": ("captcha-ident", "flow", State.FAILURE, "captcha"),
    "empty": ("empty-flow", "flow", State.FAILURE, "begins with xak-flow-redirect"),
    "denied": ("denied-message", "flow", State.FAILURE, "ak-stage-access-denied"),
}


class FlowTests(ExaminationTestCase):
    """The first challenge of the flow, and how the flow refuses."""

    @parametrize(FLOWS)
    async def test_first_challenge(self, slug: str, name: str, state: State, words: str) -> None:
        """A login can start, or not, or with a trap."""
        await self.sandbox()
        await self.expect(check_flow, self.installation(FLOW_SLUG=slug), name, state, words)

    async def test_a_flow_of_its_own(self) -> None:
        """It has no warning."""
        await self.sandbox()
        found = await self.findings(check_flow, self.installation(FLOW_SLUG="inbuilt-only"))
        self.assertEqual(states(found), {"flow": State.OK})

    async def test_an_outpost_may_start(self) -> None:
        """With the token, a flow for outposts starts."""
        await self.sandbox()
        installation = self.installation(FLOW_SLUG="req-outpost", ROPG_OUTPOST_TOKEN=OUTPOST_TOKEN)
        await self.expect(check_flow, installation, "flow", State.OK)

    @parametrize(
        {
            "in place": ("inbuilt-only", State.OK, "refuses a wrong password in place"),
            "by a restart": ("restart", State.FAILURE, "RETRY"),
            "not at all": ("no-pretend", State.WARNING, "Pretend user exists"),
        }
    )
    async def test_refusal(self, slug: str, state: State, words: str) -> None:
        """A canary shows it, and the line says what the canary leaves behind."""
        await self.sandbox()
        installation = self.installation(FLOW_SLUG=slug)
        check = partial(examine, user=None)
        finding = await self.expect(check, installation, "flow-refusal", state, words)
        self.assertEqual("event log" in finding.message, state is State.OK)
        names = [event.username for event in self.stand_in.events]
        self.assertTrue(all(name.startswith("ropg-canary-") for name in names), names)
        self.assertEqual(len(self.stand_in.sessions.authenticated), 0)

    async def test_a_failure_skips_what_needs_it(self) -> None:
        """There is one failure for one cause, and a plain word for the rest."""
        await self.sandbox()
        installation = self.installation(FLOW_SLUG="no-such-flow")

        async def check(installation: Installation) -> AsyncIterator[Finding]:
            async for finding in examine(installation, None):
                yield finding

        found = [finding async for finding in check(installation)]
        failures = [finding.name for finding in found if finding.state is State.FAILURE]
        self.assertEqual(failures, ["flow"])
        [skipped] = [finding for finding in found if finding.name == "flow-refusal"]
        self.assertEqual(skipped.state, State.WARNING)
        self.assertIn("failure of flow above", skipped.message)
