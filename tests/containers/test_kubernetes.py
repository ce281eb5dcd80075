"""The Kubernetes manifests: the schemas of the versions that are served, and what they promise."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted import __version__
from ropg_twisted.settings.sources import read_settings
from tests.containers import KUBERNETES, load_manifests, with_secrets

REPOSITORY: Final = "ghcr.io/ropg-twisted/ropg-twisted"
VERSIONS: Final = ("1.35", "1.37")
"""The oldest and the newest version that Kubernetes maintains."""


class ManifestTestCase(SynchronousTestCase):
    """All objects."""

    def setUp(self) -> None:
        files = [path.name for path in sorted(KUBERNETES.glob("*.yaml"))]
        self.objects = list(chain.from_iterable(load_manifests(name) for name in files))

    def find(self, kind: str, name: str) -> dict[str, Any]:
        """The object of a kind and name."""
        [found] = [
            item
            for item in self.objects
            if (item["kind"], item["metadata"]["name"]) == (kind, name)
        ]
        return found

    def pod(self, name: str) -> dict[str, Any]:
        """The pods of a Deployment."""
        template: dict[str, Any] = self.find("Deployment", name)["spec"]["template"]
        return template


class ManifestTests(ManifestTestCase):
    """What holds for all objects."""

    def test_the_schemas(self) -> None:
        """Every object is valid, without unknown fields, in the oldest and the newest version."""
        for version in VERSIONS:
            for item in self.objects:
                kubernetes_validate.validate(item, version, strict=True)
            broken = {**self.pod("ropg"), "apiVersion": "apps/v1", "kind": "Deployment"}
            with self.assertRaises(kubernetes_validate.ValidationError):
                kubernetes_validate.validate(broken, version, strict=True)

    def test_pods_are_confined(self) -> None:
        """Every pod is as the Pod Security Standard "restricted" asks, and more."""
        for name in ("ropg", "ropg-redis"):
            pod = self.pod(name)["spec"]
            self.assertIs(pod["automountServiceAccountToken"], False)
            self.assertIs(pod["enableServiceLinks"], False)
            self.assertIs(pod["securityContext"]["runAsNonRoot"], True)
            self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
            for container in [*pod.get("initContainers", []), *pod["containers"]]:
                context = container["securityContext"]
                self.assertIs(context["readOnlyRootFilesystem"], True)
                self.assertIs(context["allowPrivilegeEscalation"], False)
                self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
                self.assertIn("memory", container["resources"]["limits"])

    def test_selectors_find_their_pods(self) -> None:
        """Services, the disruption budget and network policies mean the pods that there are."""
        selectors = [
            *[self.find("Service", name)["spec"]["selector"] for name in ("ropg", "ropg-redis")],
            self.find("PodDisruptionBudget", "ropg")["spec"]["selector"]["matchLabels"],
            *[
                self.find("NetworkPolicy", name)["spec"]["podSelector"]["matchLabels"]
                for name in ("ropg", "ropg-redis")
            ],
        ]
        labels = [self.pod(name)["metadata"]["labels"] for name in ("ropg", "ropg-redis")]
        expected = [labels[0], labels[1], labels[0], labels[0], labels[1]]
        self.assertEqual(selectors, expected)
        for name, label in zip(("ropg", "ropg-redis"), labels, strict=True):
            selector = self.find("Deployment", name)["spec"]["selector"]
            self.assertEqual(selector, {"matchLabels": label})

    def test_ports_have_the_names_of_containers(self) -> None:
        """Services and policies name ports that the pods have."""
        for name in ("ropg", "ropg-redis"):
            ports = {p["name"] for c in self.pod(name)["spec"]["containers"] for p in c["ports"]}
            named = {p["targetPort"] for p in self.find("Service", name)["spec"]["ports"]}
            for rule in self.find("NetworkPolicy", name)["spec"]["ingress"]:
                named |= {port["port"] for port in rule["ports"]}
            self.assertLessEqual(named, ports)


class DaemonPodTests(ManifestTestCase):
    """The pods of the daemon."""

    def setUp(self) -> None:
        super().setUp()
        self.spec = self.pod("ropg")["spec"]
        [self.container] = self.spec["containers"]

    def test_the_settings_are_valid(self) -> None:
        """A daemon starts with the ConfigMap, and the Secret has every file that it names."""
        folder = Path(self.mktemp())
        folder.mkdir()
        data = self.find("ConfigMap", "ropg")["data"]
        secret = self.find("Secret", "ropg")["stringData"]
        contents = {name.replace("-", "_"): text for name, text in secret.items()}
        settings = read_settings({}, with_secrets(data, folder, **contents))
        self.assertIsNotNone(settings.limits_store)
        [mount] = [m for m in self.container["volumeMounts"] if m["name"] == "secret"]
        for name, value in data.items():
            if name.endswith("_FILE"):
                self.assertEqual(str(Path(value).parent), mount["mountPath"])
        sleep = self.container["lifecycle"]["preStop"]["sleep"]["seconds"]
        grace = self.spec["terminationGracePeriodSeconds"]
        self.assertGreaterEqual(grace, sleep + settings.deadline + 10)

    def test_the_image_is_of_this_version(self) -> None:
        """Both containers have the image that a release of this version pushes."""
        [keys] = self.spec["initContainers"]
        self.assertEqual(self.container["image"], f"{REPOSITORY}:{__version__}")
        self.assertEqual(keys["image"], self.container["image"])

    def test_probes(self) -> None:
        """A pod must have been ready once. An outage of Authentik does not take it away."""
        paths = {
            probe: self.container[f"{probe}Probe"]["httpGet"]["path"]
            for probe in ("startup", "readiness", "liveness")
        }
        self.assertEqual(
            paths, {"startup": "/ready", "readiness": "/health", "liveness": "/health"}
        )

    def test_everything_written_is_in_memory(self) -> None:
        """Keys and temporary files are gone with the pod."""
        read_only = {m["name"] for m in self.container["volumeMounts"] if m.get("readOnly")}
        self.assertEqual(read_only, {"secret"})
        for volume in self.spec["volumes"]:
            if "secret" not in volume:
                self.assertEqual(volume["emptyDir"]["medium"], "Memory", volume["name"])

    def test_a_drained_node_leaves_one(self) -> None:
        """There is one daemon at least while nodes are drained and versions are rolled out."""
        deployment = self.find("Deployment", "ropg")["spec"]
        self.assertGreater(
            deployment["replicas"], self.find("PodDisruptionBudget", "ropg")["spec"]["minAvailable"]
        )
        self.assertEqual(deployment["strategy"]["rollingUpdate"]["maxUnavailable"], 0)
