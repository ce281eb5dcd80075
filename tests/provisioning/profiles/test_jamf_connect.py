"""What is found in profiles of Jamf Connect."""

from __future__ import annotations

from copy import deepcopy
from hashlib import sha256
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.diagnostics.findings import State
from ropg_twisted.provisioning.profiles.catalogue import DOMAINS
from ropg_twisted.provisioning.profiles.jamf_connect_keys import LOGIN_WINDOW, MENU_BAR
from ropg_twisted.provisioning.profiles.section import Section
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
GOOD: Final = keys_of(written("jamf-connect"))
MISSING: Final = object()


def changed(domain: str, **changes: Any) -> dict[str, Any]:
    """The keys of our own profile with changes. A key in a dictionary has two underscores."""
    keys = deepcopy(GOOD[domain])
    for path, value in changes.items():
        table, _, key = path.rpartition("__")
        place = keys.setdefault(table, {}) if table else keys
        if value is MISSING:
            del place[key]
        else:
            place[key] = value
    return keys


SWAPPED: Final = {"OIDCAdmin": ["groups"], "OIDCAdminAttribute": "mac-admins"}

LOGIN_WINDOW_ROWS: Final[dict[str, tuple[dict[str, Any], list[str], str]]] = {
    "a key of articles": (
        {"ROPGSuccessfulCheckTime": 60},
        ["warning ROPGSuccessfulCheckTime"],
        "NetworkCheck",
    ),
    "a key of the menu bar": (
        {"SuccessCodes": ["interaction_required"]},
        ["warning SuccessCodes"],
        "com.jamf.connect IdPSettings",
    ),
    "a key in other letters": (
        {"OIDCROPGId": "jamf-connect", "OIDCROPGID": MISSING},
        ["warning OIDCROPGId", "failure OIDCROPGID"],
        "Did you mean OIDCROPGID?",
    ),
    "a key like one that is there": ({"OIDCROPGIDs": "mac"}, [], ""),
    "a provider with a preset": ({"OIDCProvider": "Azure"}, ["failure OIDCProvider"], "Custom"),
    "no provider": ({"ROPGProvider": MISSING}, ["failure ROPGProvider"], "missing"),
    "no discovery": ({"OIDCDiscoveryURL": MISSING}, ["failure OIDCDiscoveryURL"], "authentik.exam"),
    "another application": (
        {
            "OIDCDiscoveryURL": "https://authentik.example.com/application/o/other/"
            ".well-known/openid-configuration"
        },
        ["failure OIDCDiscoveryURL"],
        "/application/o/other/",
    ),
    "passwords at Authentik": (
        {"ROPGDiscoveryURL": GOOD[LOGIN_WINDOW]["OIDCDiscoveryURL"]},
        ["failure ROPGDiscoveryURL"],
        "leads to authentik.example.com:443",
    ),
    "another port": (
        {"ROPGDiscoveryURL": HERE.replace(".com", ".com:8443")},
        ["failure ROPGDiscoveryURL"],
        "ropg.example.com:8443",
    ),
    "no TLS": (
        {"ROPGDiscoveryURL": HERE.replace("https", "http")},
        ["failure ROPGDiscoveryURL"],
        "begins with http, not with https",
    ),
    "a slash at the end": (
        {"ROPGDiscoveryURL": f"{HERE}/"},
        ["failure ROPGDiscoveryURL"],
        "slash",
    ),
    "the issuer alone": (
        {"ROPGDiscoveryURL": "https://ropg.example.com"},
        ["failure ROPGDiscoveryURL"],
        "has the path /.",
    ),
    "no URL": ({"ROPGDiscoveryURL": "ropg.example.com"}, ["failure ROPGDiscoveryURL"], "not a URL"),
    "a port that is none": (
        {"ROPGDiscoveryURL": "https://ropg.example.com:a/"},
        ["failure ROPGDiscoveryURL"],
        "not a URL",
    ),
    "a password in the URL": (
        {"ROPGDiscoveryURL": HERE.replace("//", "//user:canary@")},
        ["failure ROPGDiscoveryURL"],
        "has a user name or a password",
    ),
    "no client": ({"OIDCROPGID": MISSING}, ["failure OIDCROPGID"], "jamf-connect, xcreds"),
    "an empty client": ({"OIDCROPGID": ""}, ["failure OIDCROPGID"], "is missing"),
    "an unknown client": ({"OIDCROPGID": "canary"}, ["failure OIDCROPGID"], "invalid_client"),
    "an unknown client of the web login": (
        {"OIDCClientID": "canary"},
        ["warning OIDCClientID"],
        "provider in Authentik",
    ),
    "no client of the web login": ({"OIDCClientID": MISSING}, ["failure OIDCClientID"], "missing"),
    "no redirect URI": ({"OIDCRedirectURI": MISSING}, ["failure OIDCRedirectURI"], "Authentik"),
    "a redirect URI that is none": (
        {"ROPGRedirectURI": "127.0.0.1/jamf"},
        ["failure ROPGRedirectURI"],
        "not a URI",
    ),
    "no secret": ({"ROPGClientSecret": MISSING}, ["failure ROPGClientSecret"], "invalid_client"),
    "another secret": ({"ROPGClientSecret": "canary"}, ["failure ROPGClientSecret"], "differs"),
    "the placeholder": (
        {"ROPGClientSecret": "REPLACE-WITH-THE-CLIENT-SECRET"},
        ["failure ROPGClientSecret"],
        "placeholder",
    ),
    "the placeholder of the web login": (
        {"OIDCClientSecret": "REPLACE-WITH-THE-CLIENT-SECRET"},
        ["failure OIDCClientSecret"],
        "placeholder",
    ),
    "another secret of the web login at Authentik": ({"OIDCClientSecret": "canary"}, [], ""),
    "another secret of the web login here": (
        {"OIDCDiscoveryURL": HERE, "OIDCClientSecret": "canary"},
        ["failure OIDCClientSecret"],
        "differs",
    ),
    "OIDCNewPassword not set": ({"OIDCNewPassword": MISSING}, ["warning OIDCNewPassword"], "false"),
    "OIDCNewPassword true": ({"OIDCNewPassword": True}, ["warning OIDCNewPassword"], "false"),
    "OIDCNewPassword as a string": (
        {"OIDCNewPassword": "false"},
        ["failure OIDCNewPassword"],
        "is a string, but must be a boolean",
    ),
    "no success codes": (
        {"ROPGSuccessCodes": MISSING},
        ["failure ROPGSuccessCodes"],
        "incorrect password",
    ),
    "success codes as a string": (
        {"ROPGSuccessCodes": "interaction_required"},
        ["failure ROPGSuccessCodes"],
        "must be an array",
    ),
    "a misspelt success code": (
        {"ROPGSuccessCodes": ["interaction-required"]},
        ["failure ROPGSuccessCodes"],
        "spelt like this",
    ),
    "a code of wrong passwords": (
        {"ROPGSuccessCodes": ["interaction_required", "invalid_grant"]},
        ["failure ROPGSuccessCodes"],
        "has invalid_grant",
    ),
    "a code of outages": (
        {"ROPGSuccessCodes": ["interaction_required", "temporarily_unavailable"]},
        ["failure ROPGSuccessCodes"],
        "Remove it",
    ),
    "the vendor's sample": (SWAPPED, ["warning OIDCAdmin"], "swapped"),
    "administrators": ({"OIDCAdmin": ["mac-admins"], "OIDCAdminAttribute": "groups"}, [], ""),
    "a group with the name of a claim": (
        {"OIDCAdmin": ["groups"], "OIDCAdminAttribute": "groups"},
        [],
        "",
    ),
    "administrators by a claim of the provider": (
        {"OIDCAdmin": ["mac-admins"], "OIDCAdminAttribute": "roles"},
        [],
        "",
    ),
    "both discovery URLs here": ({"OIDCDiscoveryURL": HERE}, [], ""),
    "keys that are not known": ({"KerberosRealm": "A", "HelpURL": "B"}, [], ""),
}

MENU_BAR_ROWS: Final[dict[str, tuple[dict[str, Any], list[str], str]]] = {
    "a key of articles": (
        {"PasswordPolicies__ROPGSuccessfulCheckTime": 60},
        ["warning PasswordPolicies ROPGSuccessfulCheckTime"],
        "NetworkCheck",
    ),
    "a client id that is never read": (
        {"IdPSettings__ClientID": "jamf-connect"},
        ["warning IdPSettings ClientID"],
        "Set ROPGID",
    ),
    "a redirect URI that is never read": (
        {"IdPSettings__RedirectURI": "https://127.0.0.1/"},
        ["warning IdPSettings RedirectURI"],
        "never read",
    ),
    "the key of the login window": (
        {
            "IdPSettings__ROPGSuccessCodes": ["interaction_required"],
            "IdPSettings__SuccessCodes": MISSING,
        },
        ["warning IdPSettings ROPGSuccessCodes", "failure IdPSettings SuccessCodes"],
        "com.jamf.connect.login only",
    ),
    "a key outside its dictionary": (
        {"NetworkCheck": 60},
        ["warning NetworkCheck"],
        "com.jamf.connect PasswordPolicies",
    ),
    "keys of the login window": (
        {"OIDCROPGID": "jamf-connect"},
        ["warning OIDCROPGID"],
        "com.jamf.connect.login",
    ),
    "never": (
        {"PasswordPolicies__NetworkCheck": 0},
        ["warning PasswordPolicies NetworkCheck"],
        "never",
    ),
    "a negative number": (
        {"PasswordPolicies__NetworkCheck": -1},
        ["warning PasswordPolicies NetworkCheck"],
        "never",
    ),
    "a number as a string": (
        {"PasswordPolicies__NetworkCheck": "60"},
        ["failure PasswordPolicies NetworkCheck"],
        "must be an integer",
    ),
    "a number as a boolean": (
        {"PasswordPolicies__NetworkCheck": True},
        ["failure PasswordPolicies NetworkCheck"],
        "is a boolean",
    ),
    "no number": ({"PasswordPolicies__NetworkCheck": MISSING}, [], ""),
    "an unknown client": (
        {"IdPSettings__ROPGID": "canary"},
        ["failure IdPSettings ROPGID"],
        "invalid_client",
    ),
    "another secret": (
        {"IdPSettings__ClientSecret": "canary"},
        ["failure IdPSettings ClientSecret"],
        "differs",
    ),
    "another provider": (
        {"IdPSettings__Provider": "Okta"},
        ["failure IdPSettings Provider"],
        "Custom",
    ),
    "discovery at Authentik": (
        {"IdPSettings__DiscoveryURL": GOOD[LOGIN_WINDOW]["OIDCDiscoveryURL"]},
        ["failure IdPSettings DiscoveryURL"],
        "(the daemon)",
    ),
    "no dictionary": (
        {"IdPSettings": "Custom"},
        [
            "failure IdPSettings",
            "failure IdPSettings Provider",
            "failure IdPSettings ROPGID",
            "failure IdPSettings DiscoveryURL",
            "failure IdPSettings SuccessCodes",
        ],
        "must be a dictionary",
    ),
}


class FindingTests(SynchronousTestCase):
    """Each mistake has its finding, and no other one."""

    def assert_found(
        self, domain: str, changes: dict[str, Any], wanted: list[str], words: str
    ) -> None:
        """The findings have these states and names, and the first has these words."""
        findings = found(domain, changed(domain, **changes))
        names = [line.replace(f"{domain} ", "") for line in lines(findings)]
        self.assertEqual(names, wanted)
        text = "\n".join(finding.message for finding in findings)
        self.assertIn(words, text)
        for secret in (SECRET, "canary"):
            self.assertNotIn(secret, text)

    @parametrize(LOGIN_WINDOW_ROWS)
    def test_login_window(self, changes: dict[str, Any], wanted: list[str], words: str) -> None:
        """The keys of the login window."""
        self.assert_found(LOGIN_WINDOW, changes, wanted, words)

    @parametrize(MENU_BAR_ROWS)
    def test_menu_bar(self, changes: dict[str, Any], wanted: list[str], words: str) -> None:
        """The keys of the menu bar."""
        self.assert_found(MENU_BAR, changes, wanted, words)

    def test_unknown_keys(self) -> None:
        """They are named in one line, and not called wrong."""
        keys = changed(LOGIN_WINDOW, KerberosRealm="A", **{f"Key{n}": n for n in range(30)})
        section = Section(LOGIN_WINDOW, "page.md", keys)
        checked = DOMAINS[LOGIN_WINDOW].check(section, settings_of())
        [line] = [f.message for f in checked if "Not known here" in f.message]
        self.assertIn("KerberosRealm, Key0", line)
        self.assertIn("and 11 more", line)

    def test_registered_redirect_uri(self) -> None:
        """A redirect URI of the settings is compared."""
        settings = settings_of(
            '[[clients]]\nid = "mac"\nprofile = "jamf-connect"\nredirect_uri = "https://a.example/"'
        )
        keys = keys_of(written("jamf-connect", settings))[LOGIN_WINDOW]
        keys["ROPGRedirectURI"] = "https://a.example"
        [finding] = found(LOGIN_WINDOW, keys, settings)
        self.assertIn("https://a.example/.", finding.message)

    def test_secret_of_a_public_client(self) -> None:
        """It is accepted, which may not be what is meant."""
        settings = settings_of(CLIENTS.replace(f'secret = "{SECRET}"', "", 1))
        findings = found(LOGIN_WINDOW, GOOD[LOGIN_WINDOW], settings)
        self.assertEqual(lines(findings), [f"warning {LOGIN_WINDOW} ROPGClientSecret"])

    def test_secret_by_its_hash(self) -> None:
        """A secret of which the settings have the hash is compared too."""
        for secret, wanted in ((SECRET, 0), ("another", 1)):
            digest = sha256(secret.encode()).hexdigest()
            hashed = f'secret_sha256 = "{digest}"'
            settings = settings_of(CLIENTS.replace(f'secret = "{SECRET}"', hashed))
            findings = found(LOGIN_WINDOW, GOOD[LOGIN_WINDOW], settings)
            self.assertEqual(lines(findings), [f"failure {LOGIN_WINDOW} ROPGClientSecret"] * wanted)

    def test_client_without_the_grant(self) -> None:
        """A client that may not check passwords is of no use."""
        settings = settings_of(
            CLIENTS.replace('profile = "jamf', 'grants = "refresh_token"\nprofile = "jamf')
        )
        findings = found(LOGIN_WINDOW, GOOD[LOGIN_WINDOW], settings)
        self.assertEqual(lines(findings), [f"failure {LOGIN_WINDOW} OIDCROPGID"])

    def test_plain_http(self) -> None:
        """An issuer without TLS works on this machine only."""
        for issuer, wanted in (("http://ropg.example.com", 1), ("http://127.0.0.1:8580", 0)):
            settings = settings_of(PROXY_ISSUER=issuer)
            keys = keys_of(written("jamf-connect", settings))[LOGIN_WINDOW]
            findings = found(LOGIN_WINDOW, keys, settings)
            self.assertEqual([f.state for f in findings], [State.WARNING] * wanted, issuer)
