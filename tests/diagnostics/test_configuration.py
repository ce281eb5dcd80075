"""Checks of the settings alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ropg_twisted.diagnostics.configuration import check_settings
from ropg_twisted.diagnostics.findings import Finding, State
from ropg_twisted.diagnostics.installation import Installation
from tests.diagnostics.examining import ExaminationTestCase, reactor, states
from tests.parametrize import parametrize

SECRET = "canary-secret-0123456789-0123456789"

CASES = {
    "everything as it should be": ({"ROPG_LISTEN": "tcp:8580"}, "settings", State.OK, "1 client"),
    "the sandbox": ({"AUTHENTIK_URL": "sandbox:"}, "authentik-url", State.WARNING, "public"),
    "Authentik without TLS": (
        {"AUTHENTIK_URL": "http://authentik.example.com"},
        "authentik-url",
        State.WARNING,
        "in clear",
    ),
    "an issuer of this machine": (
        {"PROXY_ISSUER": "http://localhost:8580"},
        "issuer",
        State.WARNING,
        "this machine only",
    ),
    "an issuer without TLS": (
        {"PROXY_ISSUER": "http://ropg.example.com"},
        "issuer",
        State.FAILURE,
        "https only",
    ),
    "RS256": ({}, "signing-algorithm", State.OK, "RS256"),
    "EdDSA": ({"ROPG_SIGNING_ALG": "EdDSA"}, "signing-algorithm", State.WARNING, "EdDSA"),
    "a shared secret": ({"JWT_SECRET": SECRET}, "signing-algorithm", State.WARNING, "HS256"),
    "an unknown proxy": ({}, "trusted-proxies", State.WARNING, "ROPG_TRUSTED_PROXIES"),
    "an unknown proxy at a UNIX socket": (
        {"ROPG_LISTEN": "unix:/run/ropg/socket"},
        "trusted-proxies",
        State.WARNING,
        "unix:/run",
    ),
    "enough checks": ({}, "limits", State.OK, "about 360 Macs"),
    "few checks": (
        {"ROPG_LIMITS": "address 5 per minute"},
        "limits",
        State.WARNING,
        "about 30 Macs",
    ),
    "no limits": ({"ROPG_LIMITS": "off"}, "limits", State.OK, "No limit"),
    "no endpoint": ({"ROPG_LISTEN": "tcp:http:x=1"}, "listen", State.FAILURE, "not an endpoint"),
    "no endpoint for metrics": (
        {"ROPG_ADMIN_LISTEN": "8582"},
        "listen",
        State.FAILURE,
        "ROPG_ADMIN_LISTEN",
    ),
    "a setting that may surprise": (
        {"ROPG_DEADLINE": "60"},
        "settings",
        State.WARNING,
        "ROPG_DEADLINE",
    ),
}


async def check(installation: Installation) -> AsyncIterator[Finding]:
    """The findings about the settings."""
    for finding in check_settings(installation.settings, installation.clients, reactor):
        yield finding


class SettingsTests(ExaminationTestCase):
    """Settings that are valid, and what they lead to."""

    @parametrize(CASES)
    async def test_settings(
        self, environ: dict[str, str], name: str, state: State, words: str
    ) -> None:
        """Each has its finding, and no secret is in it."""
        finding = await self.expect(check, self.installation(**environ), name, state, words)
        self.assertNotIn("canary", str(finding))

    @parametrize(
        {
            "a trusted proxy": ({"ROPG_TRUSTED_PROXIES": "127.0.0.1"},),
            "the PROXY protocol": ({"ROPG_LISTEN": "haproxy:tcp:8580:interface=127.0.0.1"},),
            "every address": ({"ROPG_LISTEN": "tcp:8580"},),
        }
    )
    async def test_addresses_of_clients_are_known(self, environ: dict[str, str]) -> None:
        """Then there is no warning about a proxy."""
        found = states(await self.findings(check, self.installation(**environ)))
        self.assertNotIn("trusted-proxies", found)

    async def test_one_client(self) -> None:
        """Only the limits of the chosen client are looked at."""
        clients = '[[clients]]\nid = "mac"\n[[clients]]\nid = "server"\nlimits = "off"\n'
        found = await self.findings(check, self.installation("server", clients))
        limits = [finding.message for finding in found if finding.name == "limits"]
        self.assertEqual(limits, ["No limit of checks from one address for server."])

    async def test_certificates_are_not_opened(self) -> None:
        """Endpoints with files are left to the check of the host: a gate need not have them."""
        where = "ssl:443:privateKey=/nowhere/key.pem"
        found = states(await self.findings(check, self.installation(ROPG_LISTEN=where)))
        self.assertNotIn("listen", found)
