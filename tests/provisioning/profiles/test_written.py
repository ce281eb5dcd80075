"""The profiles that are written."""

from __future__ import annotations

import plistlib
from configparser import RawConfigParser

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.diagnostics.findings import State
from ropg_twisted.provisioning.profiles import dovecot, freeradius, himmelblau, jamf_connect, xcreds
from ropg_twisted.provisioning.profiles.catalogue import DOMAINS, HELP, PROGRAMS, check_profile
from ropg_twisted.provisioning.profiles.jamf_connect_keys import LOGIN_WINDOW, MENU_BAR
from ropg_twisted.provisioning.profiles.registration import (
    SECRET_PLACEHOLDER,
    ClientNotFoundError,
    Registration,
    UnwritableError,
    find_client,
    plain,
)
from ropg_twisted.provisioning.profiles.section import PAGES
from ropg_twisted.remedies import DOCUMENTATION
from ropg_twisted.settings.model import Client
from tests.parametrize import parametrize
from tests.paths import CHECKOUT
from tests.provisioning.profiles.examples import (
    CLIENTS,
    SECRET,
    keys_of,
    registration,
    settings_of,
    written,
)

HERE = "https://ropg.example.com/.well-known/openid-configuration"
THERE = "https://authentik.example.com/application/o/mac/.well-known/openid-configuration"


class EveryProfileTests(SynchronousTestCase):
    """Rules for the profiles of all programs."""

    @parametrize({name: (name,) for name in PROGRAMS})
    def test_stable(self, program: str) -> None:
        """The same settings give the same bytes."""
        self.assertEqual(written(program), written(program))

    @parametrize({name: (name,) for name in ("jamf-connect", "xcreds", "himmelblau")})
    def test_own_check(self, program: str) -> None:
        """The check finds nothing in it."""
        findings = check_profile(written(program), settings_of())
        self.assertGreater(len(findings), 3)
        self.assertEqual([str(each) for each in findings if each.state is not State.OK], [])

    @parametrize({name: (name,) for name in PROGRAMS})
    def test_secret(self, program: str) -> None:
        """A placeholder stands for the secret, unless it is asked for."""
        settings = settings_of()
        client = find_client(settings, program, None)
        text = PROGRAMS[program].profile(Registration(client, settings)).decode()
        self.assertNotIn(SECRET, text)
        self.assertNotIn("canary", text)
        if program != "himmelblau":
            self.assertIn(SECRET_PLACEHOLDER, text)

    def test_hash(self) -> None:
        """A secret of which only the hash is known cannot be shown."""
        client = Client("mac", secret_hash=b"0" * 32)
        self.assertEqual(
            Registration(client, settings_of(), shows_secret=True).secret, SECRET_PLACEHOLDER
        )

    @parametrize({name: (name,) for name in PROGRAMS})
    def test_notes(self, program: str) -> None:
        """What is left to do is said in sentences, without the secret."""
        for note in PROGRAMS[program].notes(registration(program)):
            self.assertRegex(note, r"\A[A-Z][^\n]*\.\Z")
            self.assertNotIn("canary", note)


class PageTests(SynchronousTestCase):
    """Findings lead to pages."""

    def test_pages(self) -> None:
        """Each page exists."""
        for url in (HELP, *(f"{PAGES}{domain.page}" for domain in DOMAINS.values())):
            self.assertTrue((CHECKOUT / "docs" / url.removeprefix(DOCUMENTATION)).is_file(), url)


class JamfConnectTests(SynchronousTestCase):
    """``ropg profile jamf-connect``."""

    def test_login_window(self) -> None:
        """The login goes to Authentik, the password to the daemon."""
        keys = keys_of(written("jamf-connect"))[LOGIN_WINDOW]
        self.assertEqual(
            keys,
            {
                "OIDCProvider": "Custom",
                "OIDCDiscoveryURL": THERE,
                "OIDCClientID": "jamf-connect",
                "OIDCClientSecret": SECRET,
                "OIDCRedirectURI": "https://127.0.0.1/jamfconnect",
                "OIDCNewPassword": False,
                "OIDCROPGID": "jamf-connect",
                "ROPGProvider": "Custom",
                "ROPGDiscoveryURL": HERE,
                "ROPGRedirectURI": "https://127.0.0.1/jamfconnect",
                "ROPGClientSecret": SECRET,
                "ROPGSuccessCodes": ["interaction_required"],
            },
        )

    def test_menu_bar(self) -> None:
        """It has other names for the same things."""
        keys = keys_of(written("jamf-connect"))[MENU_BAR]
        self.assertEqual(
            keys,
            {
                "IdPSettings": {
                    "Provider": "Custom",
                    "ROPGID": "jamf-connect",
                    "DiscoveryURL": HERE,
                    "ClientSecret": SECRET,
                    "SuccessCodes": ["interaction_required"],
                },
                "PasswordPolicies": {"NetworkCheck": 60},
            },
        )

    def test_web_login_here(self) -> None:
        """Both may go to the daemon."""
        text = jamf_connect.profile(registration("jamf-connect"), web_login_here=True)
        keys = keys_of(text)[LOGIN_WINDOW]
        self.assertEqual(keys["OIDCDiscoveryURL"], HERE)
        self.assertFalse([f for f in check_profile(text, settings_of()) if f.state is not State.OK])

    def test_public_client(self) -> None:
        """A client without a secret gets none, and a redirect URI of the settings counts."""
        settings = settings_of(
            '[[clients]]\nid = "mac"\nprofile = "jamf-connect"\n'
            'redirect_uri = "https://mac.example.com/done"'
        )
        text = written("jamf-connect", settings)
        self.assertNotIn(b"Secret", text)
        keys = keys_of(text)[LOGIN_WINDOW]
        self.assertEqual(keys["OIDCRedirectURI"], "https://mac.example.com/done")
        self.assertFalse([f for f in check_profile(text, settings) if f.state is not State.OK])

    def test_identifiers(self) -> None:
        """They are the same for the same client, others for another one, and each is unique."""
        profile = plistlib.loads(written("jamf-connect"))
        other = plistlib.loads(
            written("jamf-connect", settings_of(PROXY_ISSUER="https://other.example.com"))
        )

        def uuids(profile: dict[str, object]) -> set[object]:
            content = profile["PayloadContent"]
            assert isinstance(content, list)
            return {profile["PayloadUUID"], *(payload["PayloadUUID"] for payload in content)}

        self.assertEqual(len(uuids(profile) | uuids(other)), 6)
        self.assertEqual(profile["PayloadScope"], "System")
        self.assertEqual(profile["PayloadIdentifier"], "com.example.ropg.ropg.jamf-connect")
        self.assertEqual(profile["PayloadUUID"], "5553A22A-592A-5DB6-8D5E-CE5EB1BF867C")


class XCredsTests(SynchronousTestCase):
    """``ropg profile xcreds``."""

    def test_keys(self) -> None:
        """The client is named in the discovery URL, and the bodies are those of the answers."""
        keys = keys_of(written("xcreds"))[xcreds.DOMAIN]
        self.assertEqual(
            keys,
            {
                "discoveryURL": f"{HERE}?client_id=xcreds",
                "clientID": "xcreds",
                "clientSecret": SECRET,
                "redirectURI": "https://127.0.0.1/xcreds",
                "scopes": "openid profile email offline_access",
                "shouldUseROPGForPasswordChangeChecking": True,
                "shouldUseROPGForMenuLogin": True,
                "shouldUseROPGForLoginWindowLogin": True,
                "ropgResponseValue": [
                    '{"error":"interaction_required",'
                    '"error_description":"Multi-factor authentication required"}',
                    '{"error":"interaction_required",'
                    '"error_description":"User interaction required"}',
                ],
            },
        )

    def test_client_id_in_the_url(self) -> None:
        """Any client id can be in a URL."""
        text = xcreds.profile(Registration(Client("a&b c"), settings_of()))
        url = keys_of(text)[xcreds.DOMAIN]["discoveryURL"]
        self.assertEqual(url, f"{HERE}?client_id=a%26b%20c")

    def test_settings_that_it_cannot_work_with(self) -> None:
        """They are said after the profile was written."""
        settings = settings_of('[[clients]]\nid = "xcreds"', ROPG_SIGNING_ALG="EdDSA")
        text = " ".join(xcreds.notes(registration("xcreds", settings)))
        for word in ("EdDSA", "503", "429"):
            self.assertIn(word, text)


class SnippetTests(SynchronousTestCase):
    """The files of other programs."""

    def test_himmelblau(self) -> None:
        """The issuer is exactly that of the daemon."""
        parser = RawConfigParser()
        parser.read_string(written("himmelblau").decode())
        self.assertEqual(
            dict(parser["global"]),
            {
                "oidc_issuer_url": "https://ropg.example.com",
                "app_id": "himmelblau",
                "allow_console_password_only": "true",
            },
        )
        self.assertIn(b"4.0.0", written("himmelblau"))

    def test_himmelblau_settings(self) -> None:
        """A client that gets no refresh token, or has a secret, is said."""
        settings = settings_of('[[clients]]\nid = "linux"\nsecret = "x"')
        text = " ".join(himmelblau.notes(registration("himmelblau", settings)))
        self.assertIn("refresh token", text)
        self.assertIn("has a secret", text)

    def test_iru(self) -> None:
        """A line for each field."""
        rows = dict(line.split("  ", 1) for line in written("iru").decode().splitlines())
        self.assertEqual(rows["Discovery URL"].strip(), HERE)
        self.assertEqual(rows["Client ID"].strip(), "server")
        self.assertEqual(rows["Client secret"].strip(), SECRET)

    def test_dovecot(self) -> None:
        """The password goes to the token endpoint, the token to introspection, with the secret."""
        text = written("dovecot").decode()
        self.assertIn("\ngrant_url = https://ropg.example.com/oauth/token\n", text)
        self.assertIn(f"\nclient_secret = {SECRET}\n", text)
        self.assertIn("\nintrospection_url = https://ropg.example.com/introspect\n", text)

    def test_dovecot_public(self) -> None:
        """Introspection needs a secret, and without limits there is nothing else to say."""
        client = Client("mail")
        [note] = dovecot.notes(Registration(client, settings_of()))
        self.assertIn("needs a secret", note)

    def test_freeradius(self) -> None:
        """A percent sign is doubled, because one alone begins an expansion."""
        text = written("freeradius").decode()
        self.assertIn("client_id=server&client_secret=canary+secret&username=%{urlquote", text)
        client = Client("a b", secret='1%2"\\')
        text = freeradius.profile(Registration(client, settings_of(), shows_secret=True)).decode()
        self.assertIn("client_id=a+b&client_secret=1%%252%%22%%5C&", text)

    def test_freeradius_limits(self) -> None:
        """A rate by address would stop everybody."""
        self.assertIn("limits", " ".join(freeradius.notes(registration("freeradius"))))

    @given(st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp"))))
    def test_plain(self, value: str) -> None:
        """What has no quotation marks is read back as it is, or not written."""
        try:
            written = plain(value, "#;")
        except UnwritableError:
            return
        parser = RawConfigParser(inline_comment_prefixes=("#", ";"))
        parser.read_string(f"[global]\nkey = {written}\n")
        self.assertEqual(parser["global"]["key"], value)

    def test_unwritable(self) -> None:
        """A secret that Dovecot would cut is not written, and not shown."""
        client = Client("mail", secret="canary # secret")
        with self.assertRaises(UnwritableError) as caught:
            dovecot.profile(Registration(client, settings_of(), shows_secret=True))
        self.assertNotIn("canary", str(caught.exception))


class ClientTests(SynchronousTestCase):
    """The client of the settings that a profile is for."""

    @parametrize(
        {
            "by its preset": ("jamf-connect", None, "jamf-connect"),
            "the only one without a preset": ("dovecot", None, "server"),
            "by its id": ("iru", "xcreds", "xcreds"),
        }
    )
    def test_found(self, program: str, client_id: str | None, wanted: str) -> None:
        """A client fits."""
        self.assertEqual(find_client(settings_of(), program, client_id).id, wanted)

    def test_preset_before_id(self) -> None:
        """The preset says more than a name."""
        settings = settings_of('[[clients]]\nid = "iru"\n[[clients]]\nid = "x"\nprofile = "xcreds"')
        self.assertEqual(find_client(settings, "xcreds", None).id, "x")
        self.assertEqual(find_client(settings, "iru", None).id, "iru")

    @parametrize(
        {
            "several": (CLIENTS + '[[clients]]\nid = "other"', None, "--client: server, other"),
            "none": ('[[clients]]\nid = "fleet"\nprofile = "fleet"', None, "No client"),
            "unknown": (CLIENTS, "nobody", "have no client nobody"),
        }
    )
    def test_not_found(self, clients: str, client_id: str | None, words: str) -> None:
        """It says which there are."""
        with self.assertRaisesRegex(ClientNotFoundError, words):
            find_client(settings_of(clients), "dovecot", client_id)
