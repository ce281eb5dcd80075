"""What is found in profiles of XCreds."""

from __future__ import annotations

from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.provisioning.profiles.xcreds import DOMAIN, PASSWORD_CHECKS, SUCCESS_BODIES
from tests.parametrize import parametrize
from tests.provisioning.profiles.examples import (
    CLIENTS,
    SECRET,
    found,
    keys_of,
    lines,
    settings_of,
    written,
)

HERE: Final = "https://ropg.example.com/.well-known/openid-configuration"
GOOD: Final = keys_of(written("xcreds"))[DOMAIN]
MFA, INTERACTION = SUCCESS_BODIES
WRONG: Final = '{"error":"invalid_grant","error_description":"Invalid username or password"}'
MISSING: Final = object()

ROWS: Final[dict[str, tuple[dict[str, Any], list[str], str]]] = {
    "no bodies": (
        {"ropgResponseValue": MISSING},
        ["failure ropgResponseValue"],
        "default can never match",
    ),
    "the default": (
        {"ropgResponseValue": "interaction_required"},
        ["failure ropgResponseValue"],
        "is the default, which can never match",
    ),
    "one body as a string": (
        {"ropgResponseValue": MFA},
        ["warning ropgResponseValue"],
        INTERACTION,
    ),
    "one body in an array": (
        {"ropgResponseValue": [INTERACTION]},
        ["warning ropgResponseValue"],
        MFA,
    ),
    "a body with a line end": (
        {"ropgResponseValue": [f"{MFA}\n", INTERACTION]},
        ["failure ropgResponseValue", "warning ropgResponseValue"],
        "line ends",
    ),
    "a body with spaces": (
        {"ropgResponseValue": [MFA.replace(":", ": "), MFA, INTERACTION]},
        ["failure ropgResponseValue"],
        "not a body of the daemon",
    ),
    "the body of a wrong password": (
        {"ropgResponseValue": [MFA, INTERACTION, WRONG]},
        ["failure ropgResponseValue"],
        "does not mean a right password",
    ),
    "both bodies in the other order": ({"ropgResponseValue": [INTERACTION, MFA]}, [], ""),
    "bodies of another type": (
        {"ropgResponseValue": 400},
        ["failure ropgResponseValue"],
        "must be a string or an array",
    ),
    "no client in the discovery URL": ({"discoveryURL": HERE}, ["warning discoveryURL"], "503"),
    "another client in the discovery URL": (
        {"discoveryURL": f"{HERE}?client_id=jamf-connect"},
        ["failure discoveryURL"],
        "differs in its query",
    ),
    "no discovery URL": ({"discoveryURL": MISSING}, ["failure discoveryURL"], "is missing"),
    "an unknown client": ({"clientID": "canary"}, ["failure clientID"], "invalid_client"),
    "another secret": ({"clientSecret": "canary"}, ["failure clientSecret"], "differs"),
    "no redirect URI": ({"redirectURI": MISSING}, ["warning redirectURI"], "xcreds://auth/"),
    "no scopes": ({"scopes": MISSING}, ["warning scopes"], "openid profile"),
    "scopes without openid": ({"scopes": "profile email"}, ["failure scopes"], "lacks openid"),
    "scopes as an array": ({"scopes": ["openid"]}, ["failure scopes"], "must be a string"),
    "keys of old versions": (
        {"ropgClientID": "x", "ropgClientSecret": "canary"},
        ["warning ropgClientID", "warning ropgClientSecret"],
        "since 4.0",
    ),
    "a flag as a string": (
        {"shouldUseROPGForMenuLogin": "true"},
        ["failure shouldUseROPGForMenuLogin"],
        "must be a boolean",
    ),
    **{
        f"{key} is {word}": ({key: value}, [f"warning {key}"], "not checked")
        for key in PASSWORD_CHECKS
        for word, value in (("false", False), ("missing", MISSING))
    },
}


class FindingTests(SynchronousTestCase):
    """Each mistake has its finding, and no other one."""

    @parametrize(ROWS)
    def test_keys(self, changes: dict[str, Any], wanted: list[str], words: str) -> None:
        """The keys of a profile."""
        keys = {key: value for key, value in {**GOOD, **changes}.items() if value is not MISSING}
        if "clientID" in changes:
            wanted = [*wanted, "failure discoveryURL"]  # It names the client, too.
        findings = found(DOMAIN, keys)
        self.assertEqual([line.replace(f"{DOMAIN} ", "") for line in lines(findings)], wanted)
        text = "\n".join(finding.message for finding in findings)
        self.assertIn(words, text)
        for secret in (SECRET, "canary"):
            self.assertNotIn(secret, text)

    @parametrize(
        {
            "EdDSA": ({"ROPG_SIGNING_ALG": "EdDSA"}, CLIENTS, "EdDSA"),
            "HS256": ({"JWT_SECRET": "0" * 32}, CLIENTS, "HS256"),
            "503 in an outage": (
                {},
                CLIENTS.replace('"xcreds"\ns', '"xcreds"\noutage="503"\ns'),
                "503",
            ),
            "a rate by address": (
                {},
                CLIENTS.replace("user 10 per 15 minutes", "address 60 per minute"),
                "429",
            ),
        }
    )
    def test_settings(self, environ: dict[str, str], clients: str, words: str) -> None:
        """Settings of the daemon with which XCreds cannot work."""
        [finding] = found(DOMAIN, GOOD, settings_of(clients, **environ))
        self.assertIn(words, finding.message)

    def test_algorithms_that_it_verifies(self) -> None:
        """RS256 and ES256 are well."""
        for algorithm in ("RS256", "ES256"):
            self.assertEqual(found(DOMAIN, GOOD, settings_of(ROPG_SIGNING_ALG=algorithm)), [])

    def test_outage_of_all_clients(self) -> None:
        """Where every client's connection is dropped, the discovery URL needs no client."""
        self.assertEqual(
            found(DOMAIN, {**GOOD, "discoveryURL": HERE}, settings_of(ROPG_OUTAGE="abort")), []
        )

    def test_one_scope_with_unencoded_forms(self) -> None:
        """Versions 5.3 and 5.4 are told apart by the spaces between the scopes."""
        settings = settings_of(CLIENTS.replace('"xcreds"\ns', '"xcreds"\nbody="unencoded"\ns'))
        self.assertEqual(found(DOMAIN, GOOD, settings), [])
        [finding] = found(DOMAIN, {**GOOD, "scopes": "openid"}, settings)
        self.assertIn("5.4", finding.message)
