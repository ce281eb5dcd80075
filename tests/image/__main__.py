"""The trial of the image: ``python -m tests.image FOLDER``, as root.

It takes port 8580, so it must run in a network namespace of its own. Prints a line for each thing
that is as it should be, and ends at the first that is not.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from ropg_twisted import __version__
from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from tests.checking import HEADERS, form
from tests.daemon import PATIENCE, SandboxProcess, wait_until
from tests.image.container import Container, Image

PORT = 8580
USER = 8580
LABELS = ("title", "description", "licenses", "source", "documentation")
DROPPED = ("pip", "setuptools", "cyclonedx-bom")
"""Needed for the build alone."""


def ok(what: str) -> None:
    """Say what is as it should be."""
    print(f"ok: {what}", flush=True)


def expect(actual: object, expected: object, what: str) -> None:
    """End the trial unless both are the same."""
    if actual != expected:
        raise SystemExit(f"{what}: {actual!r} instead of {expected!r}")
    ok(what)


def ask(method: str, path: str, body: str | None = None) -> tuple[int, str]:
    """The status of an answer, and its error; 0 if there is none."""
    connection = HTTPConnection("127.0.0.1", PORT, timeout=PATIENCE)
    try:
        connection.request(method, path, body, HEADERS if body else {})
        response = connection.getresponse()
        return response.status, json.loads(response.read()).get("error", "")
    except (OSError, HTTPException):
        return 0, ""
    finally:
        connection.close()


def look(image: Image) -> None:
    """What the image is made of."""
    config = image.config
    expect(config["User"], f"{USER}:{USER}", "the user is not root")
    labels = [name for name in LABELS if config["Labels"].get(f"org.opencontainers.image.{name}")]
    expect(tuple(labels), LABELS, "labels")
    sbom = json.loads((image.root / "opt/ropg/share/ropg.cdx.json").read_text("utf-8"))
    versions = {part["name"].lower(): part["version"] for part in sbom["components"]}
    expect(sbom["bomFormat"], "CycloneDX", "the SBOM has a format")
    expect(versions["ropg-twisted"], __version__, "the SBOM names the daemon")
    expect("redis" in versions, True, "the SBOM names the extra for a shared store")
    packages = next((image.root / "opt/ropg/lib").glob("python3.*/site-packages"))
    installed = {path.name.split("-")[0].lower() for path in packages.glob("*.dist-info")}
    named = {name.replace("-", "_").replace(".", "_") for name in versions}
    expect(
        sorted(name.replace(".", "_") for name in installed),
        sorted(named),
        "the SBOM lists every package of the environment, and no other",
    )
    expect([name for name in DROPPED if name in versions], [], "nothing of the build is left")
    writable = subprocess.run(
        ["find", image.root / "opt", "-perm", "/022", "!", "-type", "l"],
        capture_output=True,
        text=True,
        check=True,
    )
    expect(writable.stdout, "", "the daemon is root's alone to change")


def try_out(image: Image, authentik: str) -> None:
    """Start the daemon as a container engine would, and check passwords."""
    settings = {"AUTHENTIK_URL": authentik, "PROXY_ISSUER": f"http://127.0.0.1:{PORT}"}
    with Container(image, **settings) as container:
        wait_until(lambda: ask("GET", "/health")[0] == 200, "the daemon answers")
        expect(ask("GET", "/ready")[0], 200, "ready")
        expect(ask("POST", "/oauth/token", form(USUAL_PASSWORD)), (200, ""), "a right password")
        wrong = ask("POST", "/oauth/token", form("wrong"))
        expect(wrong, (400, "invalid_grant"), "a wrong password")
        expect(container.files(), {"keys.json": (USER, 0o600)}, "the keys in the volume")
        written = container.run("python", "-c", "open('/var/file', 'w')").stderr
        expect(written.splitlines()[-1].partition(":")[0], "OSError", "a read-only root")
        kind, *check = image.config["Healthcheck"]["Test"]
        expect((kind, container.run(*check).returncode), ("CMD", 0), "the health check")
        tried = container.run("ropg", "keys", "list")
        expect((tried.returncode, "signs" in tried.stdout), (0, True), "ropg keys list")
        failures = [line for line in container.log().splitlines() if '"level": "error"' in line]
        expect(failures, [], "no error in the log")
        expect(container.stop(), 0, "a stop")
        expect(container.run(*check).returncode == 0, False, "the health check after the stop")
    with Container(image, PROXY_ISSUER="http://127.0.0.1") as container:
        expect(container.wait(), 78, "a start without a setting")
        expect("AUTHENTIK_URL is missing" in container.log(), True, "the log names the setting")


def main() -> None:
    """Look at the image in a folder, and start it."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    image = Image(Path(sys.argv[1]))
    look(image)
    with (
        tempfile.TemporaryDirectory() as folder,
        SandboxProcess(Path(folder)) as sandbox,
    ):
        try_out(image, sandbox.url)


if __name__ == "__main__":
    main()
