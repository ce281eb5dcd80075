"""Alerts and dashboard, with a real Prometheus that scrapes the daemon through an outage."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from math import isnan
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.authentik.evidence import Evidence
from ropg_twisted.guard.circuit_breaker import OUTAGES_TO_OPEN
from ropg_twisted.remedies import DOCUMENTATION
from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.sandbox.http.outposts import SERVICE_TOKEN
from ropg_twisted.verdict import Reason, Verdict
from tests import FIRST_PYTHON_ONLY
from tests.certificates import make_certificate
from tests.daemon import PATIENCE, DaemonProcess, Process, SandboxProcess, wait_until
from tests.paths import CHECKOUT
from tests.ports import free_port
from tests.scrape import Scrape

PROMETHEUS: Final = shutil.which("prometheus")
PROMTOOL: Final = shutil.which("promtool")
MISSING: Final = "prometheus is not installed (Debian's package prometheus)"

CONTRIB: Final = CHECKOUT / "contrib"
RULES: Final = CONTRIB / "prometheus" / "ropg.rules.yml"
DASHBOARD: Final = CONTRIB / "grafana" / "ropg.json"

CONFIG: Final = """
global: {{scrape_interval: 250ms, evaluation_interval: 250ms}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: ropg
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""

OF_EVERY_TARGET: Final = {"job", "instance"}
"""Labels that Prometheus adds."""

WORDS: Final[Mapping[str, set[str]]] = {
    "verdict": set(Verdict),
    "reason": set(Reason),
    "evidence": set(Evidence),
    "status": {"2xx", "3xx", "4xx", "5xx", "none"},
}
"""All values of the labels whose values are chosen in queries."""


def rules() -> list[Any]:
    """The alerts of the rule file."""
    [group] = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    alerts: list[Any] = group["rules"]
    return alerts


def panels() -> list[Any]:
    """The panels of the dashboard, without the rows."""
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries(panel: Any) -> list[str]:
    """The queries of a panel, for all instances in the last minute."""
    variables = {"$__rate_interval": "1m", "$instance": ".*"}
    texts = [target["expr"] for target in panel["targets"]]
    for name, value in variables.items():
        texts = [text.replace(name, value) for text in texts]
    return texts


def matchers(query: str) -> Iterator[tuple[str, str, list[str]]]:
    """The metric, the label and the values of each matcher in a query."""
    for name, selector in re.findall(r"(ropg_\w+)\{([^}]*)\}", query):
        for label, operator, text in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', selector):
            yield name, label, text.split("|") if "~" in operator else [text]


def grouped(query: str) -> set[str]:
    """The labels that the aggregations of a query keep or match."""
    lists = re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", query)
    return {label.strip() for labels in lists for label in labels.split(",") if label.strip()}


class PrometheusProcess(Process):
    """Prometheus with the rules, scraping an admin listener four times a second."""

    def __init__(self, folder: Path, admin_port: int) -> None:
        self._port = free_port()
        config = folder / "prometheus.yml"
        config.write_text(CONFIG.format(rules=RULES, port=admin_port))
        assert PROMETHEUS is not None
        super().__init__(
            PROMETHEUS,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            "--storage.tsdb.retention.time=1h",
            f"--web.listen-address=127.0.0.1:{self._port}",
            environ={"GOMAXPROCS": "1"},
            folder=folder,
        )

    def begin(self) -> None:
        """Wait until it answers queries."""
        self.wait_for(lambda line: "Server is ready to receive web requests" in line)

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its HTTP interface."""
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{urlencode(parameters)}"
        with urlopen(url, timeout=PATIENCE) as response:
            return json.load(response)["data"]

    def values(self, query: str) -> list[float]:
        """The numbers that a query returns now."""
        found = [float(each["value"][1]) for each in self.get("query", query=query)["result"]]
        return [value for value in found if not isnan(value)]


class LoadedDaemon:
    """A daemon that serves TLS before a sandbox, and its clients.

    The outpost token is refused, so the readiness probe warns.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self.admin_port = free_port()
        self._sandbox = stack.enter_context(SandboxProcess(folder))
        certificate = make_certificate(folder)
        self._tls = ssl.create_default_context(cafile=certificate)
        self._daemon = stack.enter_context(
            DaemonProcess(
                folder,
                listen=f"ssl:{{port}}:privateKey={certificate}:interface=127.0.0.1",
                scheme="https",
                AUTHENTIK_URL=self._sandbox.url,
                ROPG_ADMIN_LISTEN=f"tcp:{self.admin_port}:interface=127.0.0.1",
                ROPG_LIMITS="user 5 per minute, address 10000 per minute",
                ROPG_OUTPOST_TOKEN=SERVICE_TOKEN,
            )
        )

    def scrape(self) -> Scrape:
        """The metrics now."""
        return Scrape.from_url(f"http://127.0.0.1:{self.admin_port}")

    def send(self, path: str, **form: str) -> int:
        """The status of the response to a request, a POST if it has a form."""
        data = urlencode(form).encode() if form else None
        try:
            with urlopen(self._daemon.url + path, data, PATIENCE, context=self._tls) as response:
                return int(response.status)
        except HTTPError as error:
            error.close()
            return error.code

    def check(self, username: str, password: str = USUAL_PASSWORD, **more: str) -> int:
        """The status of a password check."""
        form = {"grant_type": "password", "client_id": "jamf-connect", "username": username}
        return self.send("/oauth/token", **{**form, "password": password, **more})

    def load(self) -> None:
        """Send requests of every kind."""
        self.check("alice")
        self.check("bob")
        self.check("dave", "wrong")
        self.check("dave", "wrong")
        self.check("nobody")
        self.check("alice", client_id="unknown")
        self.send(
            "/oauth/token",
            grant_type="refresh_token",
            client_id="jamf-connect",
            refresh_token="unknown",
        )
        self.send("/ready")

    def have_outage(self) -> None:
        """End Authentik, check until the circuit breaker opens, and start Authentik again."""
        self._sandbox.end()
        for number in range(OUTAGES_TO_OPEN + 1):
            self.check(f"user-{number}")
        port = int(self._sandbox.url.rpartition(":")[2])
        self._sandbox = self._stack.enter_context(SandboxProcess(self._folder, port))

    def wait_until_verified(self) -> None:
        """Check until a password is verified.

        Before the first probe the outpost token is in use, and after an outage the breaker is open.
        """
        wait_until(lambda: self.check("alice") == 200, "a password is verified")


class AlertTests(SynchronousTestCase):
    """The rule file."""

    def test_each_alert_fires_and_does_not_fire(self) -> None:
        """Promtool runs the tests beside the rules."""
        if PROMTOOL is None:
            self.skipTest(MISSING)
        files = ["tests.yml", "office-hours.tests.yml"]
        command = [PROMTOOL, "test", "rules", *files]
        result = subprocess.run(
            command, cwd=RULES.parent, capture_output=True, text=True, timeout=300, check=False
        )
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        tests = "".join((RULES.parent / file).read_text("utf-8") for file in files)
        for rule in rules():
            self.assertIn(f'alertname="{rule["alert"]}"', tests)

    def test_each_alert_says_what_to_do(self) -> None:
        """It has a summary, a description, and a link to its row in the documents."""
        document = (CHECKOUT / "docs" / "operations.md").read_text("utf-8")
        for rule in rules():
            name, notes = rule["alert"], rule["annotations"]
            self.assertEqual(set(notes), {"summary", "description", "runbook_url"}, name)
            self.assertEqual(notes["runbook_url"], f"{DOCUMENTATION}operations.md#{name}")
            self.assertTrue(f'<a id="{name}"></a>`{name}`' in document, name)
            self.assertIn(rule["labels"]["severity"], {"critical", "warning"}, name)

    def test_templates_name_labels_that_the_alert_has(self) -> None:
        """A label that an aggregation drops would be empty."""
        for rule in rules():
            aggregated = grouped(rule["expr"])
            kept = aggregated or OF_EVERY_TARGET | {"listener", "reason"}
            used = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
            self.assertLessEqual(used, kept, rule["alert"])


class MixedLoadTests(SynchronousTestCase):
    """A daemon under a mixed load, whose Authentik is down for a while."""

    skip = FIRST_PYTHON_ONLY

    def setUp(self) -> None:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        self.folder = folder
        self.stack = ExitStack()
        self.addCleanup(self.stack.close)

    def test_names(self) -> None:
        """Every metric, label and value in the rules and the dashboard is one of the daemon's."""
        daemon = LoadedDaemon(self.folder, self.stack)
        daemon.wait_until_verified()
        daemon.load()
        labels: dict[str, set[str]] = {}
        for sample in daemon.scrape().samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
        of_panels = [query for panel in panels() for query in queries(panel)]
        for query in [*(rule["expr"] for rule in rules()), *of_panels]:
            names = set(re.findall(r"\bropg_\w+", query))
            self.assertEqual(names - set(labels), set(), query)
            for name, label, values in matchers(query):
                self.assertIn(label, labels[name] | OF_EVERY_TARGET, query)
                if label not in OF_EVERY_TARGET:
                    self.assertLessEqual(set(values), WORDS[label], query)
            known = OF_EVERY_TARGET.union(*(labels[name] for name in names))
            self.assertEqual(grouped(query) - known, set(), query)

    def test_every_panel_has_data(self) -> None:
        """Each query of the dashboard returns numbers, and Prometheus evaluates every rule."""
        if PROMETHEUS is None:
            self.skipTest(MISSING)
        daemon = LoadedDaemon(self.folder, self.stack)
        prometheus = self.stack.enter_context(PrometheusProcess(self.folder, daemon.admin_port))
        daemon.load()
        daemon.have_outage()
        wait_until(
            lambda: prometheus.values("max_over_time(ropg_circuit_breaker_open[1m])") == [1],
            "the open breaker is seen",
        )
        daemon.wait_until_verified()
        missing = {query: panel["title"] for panel in panels() for query in queries(panel)}

        def has_all() -> bool:
            daemon.load()
            for query in list(missing):
                if prometheus.values(query):
                    del missing[query]
            return not missing

        with contextlib.suppress(AssertionError):
            wait_until(has_all, "data")
        self.assertEqual(missing, {})
        [group] = prometheus.get("rules")["groups"]
        self.assertEqual(len(group["rules"]), len(rules()))
        for rule in group["rules"]:
            self.assertEqual(rule["health"], "ok", rule["name"])
        [share] = prometheus.values(queries(panels()[0])[0])
        self.assertGreater(share, 0)
