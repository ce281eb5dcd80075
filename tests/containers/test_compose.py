"""The compose files: read by the rules of the specification, and what they promise."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.settings.model import Settings
from ropg_twisted.settings.sources import read_settings
from tests.containers import COMPOSE, load_compose, with_secrets

try:
    from compose_spec import PyCompose
except ImportError:
    PyCompose = None  # type: ignore[assignment, misc]  # There is no wheel for every platform.

VARIABLES = {"PROXY_ISSUER": "https://ropg.example.com", "PROXY_ADDRESS": "172.18.0.1"}
SECRETS = {"outpost_token": "token of an outpost", "limits_store": "redis://:password@redis:6379/0"}


class ComposeTestCase(SynchronousTestCase):
    """Both files."""

    def setUp(self) -> None:
        self.files = {
            name: load_compose(name, **VARIABLES)
            for name in ("compose.yaml", "compose.balanced.yaml")
        }

    def daemons(self) -> list[tuple[str, dict[str, Any]]]:
        """The services of the image, with the name of their file."""
        return [
            (file, service)
            for file, document in self.files.items()
            for service in document["services"].values()
            if service["image"] == "ropg"
        ]

    def settings(self, service: dict[str, Any]) -> Settings:
        """The settings of a daemon."""
        folder = Path(self.mktemp())
        folder.mkdir()
        return read_settings({}, with_secrets(service["environment"], folder, **SECRETS))


class ComposeFileTests(ComposeTestCase):
    """What holds for every service."""

    def test_the_specification(self) -> None:
        """Each file is valid, and all networks, volumes and secrets that a service names exist."""
        for name, document in self.files.items():
            PyCompose.from_yaml(yaml.safe_dump(document)).validate()
            broken = yaml.safe_dump(document).replace("read_only:", "read_onli:")
            self.assertRaises(ValueError, PyCompose.from_yaml, broken)
            self.assertIn("services", document, name)

    if PyCompose is None:
        test_the_specification.skip = "compose-spec is not installed"  # type: ignore[attr-defined]

    def test_every_service_is_confined(self) -> None:
        """The root file system is read-only, and there is no capability to gain."""
        for file, document in self.files.items():
            for name, service in document["services"].items():
                self.assertIs(service["read_only"], True, (file, name))
                self.assertEqual(service["cap_drop"], ["ALL"], (file, name))
                self.assertEqual(service["security_opt"], ["no-new-privileges:true"], (file, name))
                self.assertNotIn("cap_add", service, (file, name))
                self.assertNotIn("privileged", service, (file, name))

    def test_files_exist(self) -> None:
        """Every file exists, but for the secrets, which the head of the file lists."""
        for name, document in self.files.items():
            text = (COMPOSE / name).read_text("utf-8")
            head = text.partition("\n\n")[0]
            for secret in document["secrets"].values():
                self.assertIn(f"#   {secret['file']} ", head)
            for service in document["services"].values():
                for volume in service.get("volumes", ()):
                    source = volume.partition(":")[0]
                    if source.startswith("."):
                        self.assertTrue((COMPOSE / source).is_file(), source)
                if "build" in service:
                    self.assertTrue((COMPOSE / service["build"] / "Dockerfile").is_file())

    def test_no_secret_is_in_the_environment(self) -> None:
        """Secrets are files: ``docker inspect`` shows every variable."""
        for _, service in self.daemons():
            for name in ("ROPG_OUTPOST_TOKEN", "CLIENT_SECRET", "ROPG_LIMITS_STORE", "JWT_SECRET"):
                self.assertNotIn(name, service["environment"])


class DaemonTests(ComposeTestCase):
    """The daemons in the files."""

    def test_the_settings_are_valid(self) -> None:
        """A daemon starts with them, and asks Authentik's server in the network of its project."""
        self.assertEqual(len(self.daemons()), 3)
        for file, service in self.daemons():
            self.assertEqual(self.settings(service).authentik_url, "http://server:9000")
            network = self.files[file]["networks"]["authentik"]
            self.assertEqual((network["name"], network["external"]), ("authentik_default", True))

    def test_a_stop_waits_for_the_last_check(self) -> None:
        """Docker waits for ten seconds more than a check may take."""
        for file, service in self.daemons():
            grace = int(service["stop_grace_period"].removesuffix("s"))
            self.assertGreaterEqual(grace, self.settings(service).deadline + 10, file)

    def test_two_daemons_share_keys_and_counts(self) -> None:
        """They differ in nothing, so they have one volume and one Redis."""
        [first, second] = [s for file, s in self.daemons() if file == "compose.balanced.yaml"]
        self.assertEqual(first, second)
        self.assertIn("state:/var/lib/ropg", first["volumes"])
        self.assertIsNotNone(self.settings(first).limits_store)

    def test_only_the_balancer_is_trusted(self) -> None:
        """Its address is fixed, within a network that nothing outside can reach."""
        document = self.files["compose.balanced.yaml"]
        [daemon, _] = [s for file, s in self.daemons() if file == "compose.balanced.yaml"]
        address = document["services"]["balancer"]["networks"]["balancer"]["ipv4_address"]
        self.assertEqual(daemon["environment"]["ROPG_TRUSTED_PROXIES"], address)
        network = document["networks"]["balancer"]
        [subnet] = network["ipam"]["config"]
        self.assertIn(ip_address(address), ip_network(subnet["subnet"]))
        self.assertIs(network["internal"], True)
        published = [n for n, s in document["services"].items() if "ports" in s]
        self.assertEqual(published, ["balancer"])
