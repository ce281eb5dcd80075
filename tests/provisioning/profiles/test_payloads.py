"""Profiles in all their forms, and files that are none."""

from __future__ import annotations

import plistlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from ropg_twisted.diagnostics.findings import State
from ropg_twisted.provisioning.profiles.catalogue import check_profile
from ropg_twisted.provisioning.profiles.payloads import (
    HIMMELBLAU,
    MAX_SIZE,
    NotAProfileError,
    Payload,
    read_profile,
)
from tests.parametrize import parametrize
from tests.provisioning.profiles.examples import keys_of, settings_of, written
from tests.provisioning.profiles.test_cms import sign

KEYS: dict[str, Any] = {"OIDCProvider": "Custom", "OIDCNewPassword": False}
DOMAIN = "com.jamf.connect.login"


def configuration(*payloads: dict[str, Any]) -> dict[str, Any]:
    """A configuration profile."""
    return {"PayloadType": "Configuration", "PayloadVersion": 1, "PayloadContent": list(payloads)}


PAYLOAD = {"PayloadType": DOMAIN, "PayloadUUID": "1", "PayloadVersion": 1, **KEYS}
PLAIN = plistlib.dumps(configuration(PAYLOAD))
FORCED = {
    "PayloadType": "com.apple.ManagedClient.preferences",
    "PayloadContent": {DOMAIN: {"Forced": [{"mcx_preference_settings": KEYS}]}},
}

FORMS = {
    "a configuration profile": (PLAIN, DOMAIN),
    "with a byte order mark": (b"\xef\xbb\xbf" + PLAIN, DOMAIN),
    "in UTF-16": (PLAIN.decode().replace("UTF-8", "UTF-16").encode("utf-16"), DOMAIN),
    "a binary property list": (
        plistlib.dumps(configuration(PAYLOAD), fmt=plistlib.FMT_BINARY),
        DOMAIN,
    ),
    "signed": (sign(PLAIN), DOMAIN),
    "signed, in PEM": (sign(PLAIN, pem=True), DOMAIN),
    "signed, binary": (
        sign(plistlib.dumps(configuration(PAYLOAD), fmt=plistlib.FMT_BINARY)),
        DOMAIN,
    ),
    "exported with forced settings": (plistlib.dumps(configuration(FORCED)), DOMAIN),
    "the keys of a domain alone": (plistlib.dumps(KEYS), None),
}

BOMB = b"""<?xml version="1.0"?>
<!DOCTYPE plist [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<plist version="1.0"><dict><key>OIDCProvider</key><string>&b;</string></dict></plist>"""

HOSTILE = {
    "empty": (b"", "empty"),
    "spaces": (b" \n", "empty"),
    "huge": (b"<" * (MAX_SIZE + 1), "KiB"),
    "an entity bomb": (BOMB, "broken property list"),
    "an external entity": (
        BOMB.replace(b'"aaaaaaaaaa"', b'SYSTEM "file:///etc/passwd"'),
        "broken property list",
    ),
    "deep": (b"<plist>" + b"<array>" * 100_000, "broken property list"),
    "deep and closed": (
        b"<plist>" + b"<array>" * 50_000 + b"</array>" * 50_000 + b"</plist>",
        "not one with keys",
    ),
    "HTML": (b"<!DOCTYPE html><html><body>Log in</body></html>", "broken property list"),
    "cut off": (PLAIN[:300], "broken property list"),
    "a cut binary list": (b"bplist00" + b"\xff" * 40, "broken property list"),
    "another structure of DER": (b"0\x03\x02\x01\x01", "signed"),
    "PEM of nothing": (b"-----BEGIN CMS-----\n!!!\n", "signed"),
    "PEM cut off": (b"-----BEGIN CMS", "signed"),
    "JSON": (b'{"OIDCProvider": "Custom"}', "neither"),
    "a picture": (b"\x89PNG\r\n\x1a\n\xff\xff", "neither"),
    "another configuration file": (b"[main]\nkey = value\n", "no section"),
    "a list": (plistlib.dumps(["a"]), "not one with keys"),
    "encrypted": (plistlib.dumps({"EncryptedPayloadContent": b"x"}), "encrypted"),
    "too many payloads": (plistlib.dumps(configuration(*[PAYLOAD] * 101)), "more payloads"),
    "too many keys": (plistlib.dumps({f"Key{n}": n for n in range(1001)}), "more payloads or keys"),
    "numbers that are too long": (
        b"<plist><dict><key>a</key><integer>" + b"9" * 10_000 + b"</integer></dict></plist>",
        "broken property list",
    ),
}


class FormTests(SynchronousTestCase):
    """The same keys, in each form in which a profile is found."""

    @parametrize(FORMS)
    def test_form(self, data: bytes, domain: str | None) -> None:
        """The keys are found, without those of the envelope."""
        self.assertEqual(read_profile(data).payloads, (Payload(domain, KEYS),))

    @parametrize(FORMS)
    def test_checked(self, data: bytes, domain: str | None) -> None:
        """They are checked as those of the login window, also if the file does not name it."""
        findings = check_profile(data, settings_of())
        names = {finding.name for finding in findings}
        self.assertIn(f"{DOMAIN} OIDCProvider", names)
        self.assertEqual("signature" in names, read_profile(data).signed)

    def test_himmelblau(self) -> None:
        """A himmelblau.conf has the keys of its section for all domains."""
        data = b"[global]\n# a comment\napp_id = linux ; another\n[example.com]\napp_id = other\n"
        self.assertEqual(read_profile(data).payloads, (Payload(HIMMELBLAU, {"app_id": "linux"}),))

    def test_several_payloads(self) -> None:
        """All payloads of a profile are read."""
        data = written("jamf-connect")
        self.assertEqual({p.domain for p in read_profile(data).payloads}, set(keys_of(data)))

    def test_openssl(self) -> None:
        """A profile that openssl has signed, in each of its ways."""
        openssl = shutil.which("openssl")
        if openssl is None:
            raise SkipTest("openssl is not installed")
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "plain").write_bytes(PLAIN)
        request = "req -x509 -newkey rsa:2048 -nodes -subj /CN=mdm -keyout key.pem -out cert.pem"
        subprocess.run([openssl, *request.split()], cwd=folder, check=True, capture_output=True)
        for command, *options in (
            ("smime", "-nodetach", "-binary", "-outform", "DER"),
            ("smime", "-nodetach", "-binary", "-outform", "PEM"),
            ("cms", "-nodetach", "-binary", "-outform", "DER"),
            ("cms", "-nodetach", "-binary", "-outform", "DER", "-stream"),
        ):
            sign = ("-sign", "-signer", "cert.pem", "-inkey", "key.pem", "-in", "plain")
            done = subprocess.run(
                [openssl, command, *sign, *options], cwd=folder, check=True, capture_output=True
            )
            profile = read_profile(done.stdout)
            self.assertEqual(profile.payloads, (Payload(DOMAIN, KEYS),), (command, options))
            self.assertTrue(profile.signed)


class HostileTests(SynchronousTestCase):
    """Files that are no profiles."""

    @parametrize(HOSTILE)
    def test_hostile(self, data: bytes, words: str) -> None:
        """One line says what the file is."""
        with self.assertRaisesRegex(NotAProfileError, words):
            read_profile(data)
        [finding] = check_profile(data, settings_of())
        self.assertEqual(finding.state, State.FAILURE)
        self.assertTrue(str(finding).startswith("failure: file: "))

    @given(st.binary(max_size=300), st.sampled_from([b"", b"bplist00", b"<plist>", b"0\x80"]))
    def test_anything(self, data: bytes, start: bytes) -> None:
        """Whatever the bytes, there is a finding."""
        self.assertTrue(check_profile(start + data, settings_of()))

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=20),
            lambda inner: (
                st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
            ),
        ),
        st.sampled_from(["PayloadContent", "IdPSettings", "OIDCAdmin", "ropgResponseValue"]),
    )
    def test_any_values(self, value: Any, key: str) -> None:
        """Values of any type are a matter of findings."""
        try:
            data = plistlib.dumps({"OIDCProvider": value, key: value})
        except (TypeError, ValueError, OverflowError):
            return
        self.assertTrue(check_profile(data, settings_of()))

    def test_other_domains(self) -> None:
        """A profile for something else is said to be none of ours."""
        for content in (configuration({"PayloadType": "com.apple.wifi.managed"}), {"SSID": "a"}):
            [finding] = check_profile(plistlib.dumps(content), settings_of())
            self.assertIn("no keys of a program that is known", finding.message)

    @parametrize(
        {
            name: (name, wanted)
            for name, wanted in {
                "com.jamf.connect.logon": DOMAIN,
                "com.twocanoes.xcred": "com.twocanoes.xcreds",
            }.items()
        }
    )
    def test_misspelt_domain(self, name: str, wanted: str) -> None:
        """A domain that is nearly right is read by nothing."""
        data = plistlib.dumps(configuration({**PAYLOAD, "PayloadType": name}))
        [finding] = check_profile(data, settings_of())
        self.assertEqual(finding.state, State.FAILURE)
        self.assertIn(f"Did you mean {wanted}?", finding.message)

    @parametrize(
        {
            name: (name,)
            for name in (
                "com.jamf.connect.actions",
                "com.jamf.connect.shares",
                "com.twocanoes.xcreds-overlay",
            )
        }
    )
    def test_other_domains_of_a_program(self, name: str) -> None:
        """A program has domains that are not checked, and not misspelt either."""
        data = plistlib.dumps(configuration(PAYLOAD, {"PayloadType": name, "Key": "value"}))
        self.assertEqual(check_profile(data, settings_of()), check_profile(PLAIN, settings_of()))

    def test_case_of_a_domain(self) -> None:
        """A domain in other letters is checked, and to be spelt right."""
        data = plistlib.dumps(configuration({**PAYLOAD, "PayloadType": "com.jamf.connect.Login"}))
        first, *others = check_profile(data, settings_of())
        self.assertEqual(first.state, State.WARNING)
        self.assertIn(f"Write it as {DOMAIN}.", first.message)
        self.assertTrue(others)
