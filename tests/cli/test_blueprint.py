"""``ropg blueprint``: its options, and what it takes from the settings."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.cli.blueprint import BlueprintOptions
from ropg_twisted.provisioning.blueprint.document import render
from ropg_twisted.provisioning.blueprint.model import Backend, Blueprint, SecretSource
from ropg_twisted.provisioning.profiles import jamf_connect, xcreds
from tests.daemon import ROPG
from tests.parametrize import parametrize

CLIENTS = """
flow_slug = "macs"
app_slug = "fleet"
outpost_token = "canary-outpost-token"

[[clients]]
id = "himmelblau"
profile = "himmelblau"
redirect_uri = "https://127.0.0.1/himmelblau"
secret = "canary-secret"

[[clients]]
id = "jamf-connect"

[[clients]]
id = "hashed"
secret_sha256 = "%s"
""" % ("0" * 64)


class BlueprintTestCase(SynchronousTestCase):
    """The options without settings in the environment."""

    def setUp(self) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.patch(os, "environ", kept)

    def config(self, text: str) -> str:
        """Write a settings file, and return its path."""
        path = Path(self.mktemp()).absolute()
        path.write_text(text, "utf-8")
        return str(path)

    def blueprint(self, *arguments: str) -> Blueprint:
        """Return the blueprint of a command line."""
        options = BlueprintOptions()
        options.parseOptions(arguments)
        blueprint = options["blueprint"]
        assert isinstance(blueprint, Blueprint)
        return blueprint

    def refusal(self, *arguments: str) -> str:
        """Return the line about an invalid command line."""
        with self.assertRaises(usage.UsageError) as caught:
            BlueprintOptions().parseOptions(arguments)
        return str(caught.exception)


class DefaultTests(BlueprintTestCase):
    """What is not given."""

    def test_no_settings_are_needed(self) -> None:
        """The blueprint comes before the daemon."""
        expected = Blueprint(
            slug="ropg",
            client_id="jamf-connect",
            application="jamf-connect",
            redirect_uris=("https://127.0.0.1/jamfconnect",),
        )
        self.assertEqual(self.blueprint(), expected)

    def test_the_settings_are_those_of_the_daemon(self) -> None:
        """The first client is the one of the application, unless another is named."""
        config = self.config(CLIENTS)
        expected = Blueprint(
            slug="macs",
            client_id="himmelblau",
            application="fleet",
            redirect_uris=("https://127.0.0.1/himmelblau",),
            upstream_tokens=True,
            confidential=True,
            client_secret="canary-secret",
            outpost_token="canary-outpost-token",
        )
        self.assertEqual(self.blueprint("--config", config), expected)
        os.environ["ROPG_CONFIG"] = config
        self.assertEqual(self.blueprint(), expected)
        other = self.blueprint("--client", "jamf-connect")
        self.assertEqual(
            (other.client_id, other.confidential, other.redirect_uris),
            ("jamf-connect", False, ("https://127.0.0.1/jamfconnect",)),
        )
        self.assertTrue(self.blueprint("--client", "hashed").confidential)

    def test_the_environment_counts(self) -> None:
        """As for the daemon."""
        os.environ |= {"FLOW_SLUG": "checks", "CLIENT_ID": "XCreds", "ROPG_APP_SLUG": "x"}
        found = self.blueprint()
        self.assertEqual(
            (found.slug, found.client_id, found.application), ("checks", "XCreds", "x")
        )
        self.assertEqual(found.redirect_uris, ("https://127.0.0.1/xcreds",))

    def test_redirect_uris_are_those_of_the_profiles(self) -> None:
        """What Authentik is told and what the client is told agree without a setting."""
        for client, module in (("jamf-connect", jamf_connect), ("xcreds", xcreds)):
            os.environ["CLIENT_ID"] = client
            self.assertEqual(self.blueprint().redirect_uris, (module.REDIRECT_URI,))

    def test_the_flow_of_browsers_is_never_the_default(self) -> None:
        """Stages would be added to it, and nobody could log in any more."""
        os.environ["FLOW_SLUG"] = "default-authentication-flow"
        self.assertEqual(self.blueprint().slug, "ropg")


class OptionTests(BlueprintTestCase):
    """What is given."""

    def test_each_option(self) -> None:
        """Values that may be given more than once are kept once, in their order."""
        found = self.blueprint(
            *("--slug", "macs", "--group", " b ", "--group", "a: #", "--group", "b"),
            *("--redirect-uri", "https://a.example/x?y=z", "--redirect-uri", "com.example.app:/cb"),
            *("--backend", "kerberos,inbuilt", "--second-factor", "none", "--confidential"),
            *("--no-outpost", "--secrets", "context"),
        )
        expected = Blueprint(
            slug="macs",
            client_id="jamf-connect",
            application="jamf-connect",
            redirect_uris=("https://a.example/x?y=z", "com.example.app:/cb"),
            groups=("b", "a: #"),
            backends=(Backend.INBUILT, Backend.KERBEROS),
            second_factor=False,
            confidential=True,
            outpost=False,
            secrets=SecretSource.CONTEXT,
        )
        self.assertEqual(found, expected)

    @parametrize(
        {
            "no slug": (("--slug", "a b"), "--slug is not a slug of letters, digits, - and _."),
            "an empty slug": (("--slug", ""), "--slug is not a slug of letters, digits, - and _."),
            "the flow of browsers": (
                ("--slug", "default-authentication-flow"),
                "--slug is the flow of browsers, to which stages would be added.",
            ),
            "a long slug": (("--slug", "a" * 51), "--slug is longer than 50 characters."),
            "no backend": (("--backend", ""), "--backend is not inbuilt, ldap or kerberos."),
            "app passwords": (
                ("--backend", "inbuilt,token"),
                "--backend is not inbuilt, ldap or kerberos.",
            ),
            "a second factor": (("--second-factor", "yes"), "--second-factor is not skip or none."),
            "an empty group": (("--group", " "), "--group is empty."),
            "a group of two lines": (
                ("--group", "a\nb"),
                "--group contains characters that cannot be printed.",
            ),
            "a relative URI": (
                ("--redirect-uri", "/callback"),
                "--redirect-uri is not an absolute URI without a fragment.",
            ),
            "a URI with a fragment": (
                ("--redirect-uri", "https://a.example/#b"),
                "--redirect-uri is not an absolute URI without a fragment.",
            ),
            "secrets": (("--secrets", "clear"), "--secrets is not env, context or plaintext."),
            "a client that is not there": (
                ("--client", "mac"),
                "--client is not one of the settings: jamf-connect.",
            ),
            "a secret that is not there": (
                ("--secrets", "plaintext", "--confidential"),
                "--secrets plaintext needs the secret of the client in the settings: "
                "CLIENT_SECRET.",
            ),
            "an argument": (("ropg",), "Wrong number of arguments."),
        }
    )
    def test_invalid_usage(self, arguments: tuple[str, ...], line: str) -> None:
        """One line names the option."""
        self.assertEqual(self.refusal(*arguments), line)

    def test_invalid_settings(self) -> None:
        """One line names the setting."""
        for text, setting in (
            ('flow_slug = "a b"', "FLOW_SLUG is not a slug"),
            ('flow_slugs = "a"', "unknown setting flow_slugs in "),
            ('client_id = "a b"', "ROPG_APP_SLUG is missing, and the id of the client is not a"),
        ):
            line = self.refusal("--config", self.config(text))
            self.assertTrue(line.startswith(setting), line)
            self.assertEqual(len(line.splitlines()), 1)

    @given(st.text(st.characters(exclude_characters="\0")))
    def test_any_text_is_taken_or_refused(self, text: str) -> None:
        """What is taken can be written, and is the same again."""
        for option in ("--slug", "--group", "--redirect-uri", "--backend", "--client"):
            options = BlueprintOptions()
            try:
                options.parseOptions([f"{option}={text}"])
            except usage.UsageError as error:
                self.assertTrue(str(error).startswith(option), error)
            else:
                render(options["blueprint"]).encode()


class CommandTests(BlueprintTestCase):
    """The command as a process."""

    def ropg(
        self, *arguments: str, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run ``ropg blueprint``."""
        return subprocess.run(
            [ROPG, "blueprint", *arguments],
            env={**os.environ, **(environ or {})},
            capture_output=True,
            check=False,
            timeout=60,
        )

    def test_it_prints_a_blueprint(self) -> None:
        """The same bytes each time, in UTF-8 whatever the terminal has, and nothing else."""
        arguments = ("--config", self.config(CLIENTS), "--group", "ünï")
        runs = [
            self.ropg(*arguments, environ={"LC_ALL": locale, "PYTHONIOENCODING": encoding})
            for locale, encoding in (("C.UTF-8", "utf-8"), ("C", "latin-1"))
        ]
        self.assertEqual([(run.returncode, run.stderr) for run in runs], [(0, b"")] * 2)
        self.assertEqual(runs[0].stdout, runs[1].stdout)
        self.assertIn('name: "ünï"', runs[0].stdout.decode())

    def test_it_prints_no_secret_unless_asked(self) -> None:
        """Not in the blueprint, and not in an error."""
        config = self.config(CLIENTS)
        for arguments, status, shown in (
            ((), 0, False),
            (("--secrets", "context"), 0, False),
            (("--secrets", "plaintext"), 0, True),
            (("--slug", "a b"), 64, False),
            (("--secrets", "canary-x"), 64, False),
        ):
            run = self.ropg("--config", config, *arguments)
            self.assertEqual(run.returncode, status, run.stderr)
            for secret in (b"canary-secret", b"canary-outpost-token"):
                self.assertEqual(secret in run.stdout + run.stderr, shown, arguments)

    def test_invalid_usage_names_the_option(self) -> None:
        """On standard error, with exit status 64, and without a blueprint."""
        run = self.ropg("--backend", "app")
        self.assertEqual((run.returncode, run.stdout), (os.EX_USAGE, b""))
        self.assertEqual(
            run.stderr.decode().splitlines(),
            [
                "Usage: ropg blueprint [options]",
                "ropg: --backend is not inbuilt, ldap or kerberos.",
            ],
        )
