"""The trial of the package: ``python -m tests.debian BASE PACKAGE``, as root.

It takes port 443, so it must run in a network namespace of its own. Prints a line for each thing
that is as it should be, and ends at the first that is not.
"""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from tests.certificates import identity
from tests.checking import CheckingThread
from tests.daemon import PATIENCE, wait_until
from tests.debian.machine import Machine

AFTER = 10
"""Checks of each client after each disturbance."""

CERTIFICATE = "privateKey=/etc/ropg/tls/key.pem:certKey=/etc/ropg/tls/cert.pem"
SETTINGS = f"""
authentik_url = "http://127.0.0.1:8591"
proxy_issuer = "https://localhost"
listen = "ssl:systemd:domain=INET6:name=ropg:{CERTIFICATE}"
limits = "off"
max_checks = 200
"""

FIRST, SECOND = identity("localhost"), identity("localhost")


class Trial:
    """A machine, and clients that go on checking passwords."""

    def __init__(self, machine: Machine, package: Path, older: Path) -> None:
        self.machine = machine
        self.package = package
        self.older = older
        self.clients: list[CheckingThread] = []

    def run(self) -> None:
        """Do everything, in order."""
        self.install()
        self.start()
        self.check()
        self.clients = [self.client(keeps, right) for keeps in (1, 0) for right in (1, 0)]
        for client in self.clients:
            client.start()
        self.undisturbed("clients in a closed loop")
        self.restart()
        self.upgrade()
        self.replace_certificate()
        self.reload()
        self.second_instance()
        self.end_clients()
        self.watchdog()
        self.remove()
        self.purge()

    def install(self) -> None:
        """The version before, which must not be started in a loop without settings."""
        self.dpkg("-i", self.older)
        ok("the package is installed")
        states = self.machine.run("systemctl", "is-enabled", "ropg.service", check=False)
        assert states.strip() == "disabled", states
        assert self.machine.status("systemctl", "start", "ropg") != 0
        assert self.show("ExecMainStatus") == "78", self.show("ExecMainStatus")
        assert self.show("NRestarts") == "0"
        assert "ropg: AUTHENTIK_URL is missing" in self.journal("ropg")
        ok("without settings it stops with status 78, is not restarted, and names the setting")

    def start(self) -> None:
        """A sandbox, settings and certificate, then the socket and the daemon."""
        sandbox = ("systemd-run", "--unit=sandbox", "/usr/bin/ropg", "sandbox", "--listen", "8591")
        self.machine.run(*sandbox)
        wait_until(lambda: "The sandbox is at" in self.journal("sandbox"), "the sandbox listens")
        settings = self.machine.path("/etc/ropg/ropg.toml")
        settings.write_text(settings.read_text() + SETTINGS)
        self.write_certificate(FIRST.key, FIRST.pem)
        self.machine.run("systemctl", "enable", "--now", "ropg.socket", "ropg.service")
        assert self.show("ActiveState") == "active"
        wait_until(lambda: self.show("StatusText") == "ready", "systemd is told that it is ready")
        ok("systemctl enable --now ropg.socket ropg.service: active, and ready in its status")
        for unit in ("ropg.service", "ropg@2.service"):
            self.machine.run("systemd-analyze", "security", "--threshold=11", unit)
        ok("the exposure of both units is at most 1.1")
        mode = self.machine.path("/var/lib/private/ropg/keys.json").stat().st_mode
        assert mode & 0o777 == 0o600, oct(mode)
        ok("only the daemon can read the keys")

    def check(self) -> None:
        """A right and a wrong password, over TLS through the activated socket."""
        answer = self.client(False, True).check(USUAL_PASSWORD)
        assert answer == "200 tokens", answer
        answer = self.client(False, False).check("wrong")
        assert answer == "400 invalid_grant", answer
        ok("a right and a wrong password are answered over TLS on port 443")

    def restart(self) -> None:
        self.machine.run("systemctl", "restart", "ropg")
        self.undisturbed("systemctl restart")

    def upgrade(self) -> None:
        """To the new version, while clients ask; settings and keys stay."""
        keys = self.machine.path("/var/lib/private/ropg/keys.json").read_text()
        before = self.show("MainPID")
        self.dpkg("-i", self.package)
        assert self.show("MainPID") != before, "the daemon was not restarted"
        assert SETTINGS in self.machine.path("/etc/ropg/ropg.toml").read_text()
        assert self.machine.path("/var/lib/private/ropg/keys.json").read_text() == keys
        self.undisturbed("an upgrade from the version before; settings and keys have stayed")

    def replace_certificate(self) -> None:
        self.write_certificate(SECOND.key, SECOND.pem)
        self.undisturbed("the certificate is replaced")
        shown = ssl.get_server_certificate(("localhost", 443))
        assert shown.split() == SECOND.pem.split(), shown
        ok("clients are shown the new certificate")

    def reload(self) -> None:
        settings = self.machine.path("/etc/ropg/ropg.toml")
        clients = '[[clients]]\nid = "jamf-connect"\n[[clients]]\nid = "new"\n'
        settings.write_text(settings.read_text() + clients)
        pid = self.show("MainPID")
        self.machine.run("systemctl", "reload", "ropg")
        wait_until(
            lambda: "settings reloaded" in self.journal("ropg"), "the log tells of the reload"
        )
        assert (self.show("MainPID"), self.show("ActiveState")) == (pid, "active")
        self.undisturbed("systemctl reload, with another client in the settings")
        settings.write_text(settings.read_text() + "deadline = nonsense\n")
        self.machine.run("systemctl", "reload", "ropg")
        wait_until(
            lambda: "no setting has changed: ROPG_CONFIG is not TOML" in self.journal("ropg"),
            "the log tells of the invalid file",
        )
        self.undisturbed("systemctl reload with an invalid file")
        settings.write_text(settings.read_text().replace("deadline = nonsense\n", ""))

    def second_instance(self) -> None:
        """Another daemon on the same socket, with the same keys."""
        self.machine.run("systemctl", "enable", "--now", "ropg@2")
        for unit, other in (("ropg@2", "ropg"), ("ropg", "ropg@2")):
            self.machine.run("systemctl", "restart", other)
            wait_until(
                lambda unit=unit: '"verdict": "verified"' in self.journal(unit),  # type: ignore[misc]
                f"{unit} answers too",
            )
        self.undisturbed("a second daemon on the socket; each was restarted while the other served")
        assert "has the mode" not in self.journal("ropg@2")

    def end_clients(self) -> None:
        for client in self.clients:
            client.ending.set()
            client.join(PATIENCE)
        lost = [line for client in self.clients for line in client.lost]
        assert not lost, lost
        for client in self.clients:
            right = {"200 tokens"} if client.right else {"400 invalid_grant"}
            assert set(client.answers) == right, client.answers
        ok(f"{sum(client.asked for client in self.clients)} checks, none lost, no verdict wrong")

    def watchdog(self) -> None:
        """A daemon that hangs is killed and started again."""
        self.machine.run("systemctl", "stop", "ropg@2")
        drop_in = self.machine.path("/run/systemd/system/ropg.service.d/trial.conf")
        drop_in.parent.mkdir(parents=True)
        drop_in.write_text("[Service]\nWatchdogSec=1\n")
        self.machine.run("systemctl", "daemon-reload")
        self.machine.run("systemctl", "restart", "ropg")
        pid = self.show("MainPID")
        self.machine.run("systemctl", "kill", "--signal=STOP", "--kill-whom=main", "ropg")
        wait_until(lambda: self.show("MainPID") not in (pid, "0"), "systemd starts it again")
        assert "Watchdog timeout" in self.machine.run("journalctl", "-u", "ropg", "--no-pager")
        answer = self.client(False, True).check(USUAL_PASSWORD)
        assert answer == "200 tokens", answer
        ok("a daemon that hangs is killed by the watchdog, and the next check is answered")

    def remove(self) -> None:
        """The program goes; settings and keys stay."""
        self.machine.run("systemctl", "stop", "sandbox")
        self.dpkg("--remove", "ropg-twisted")
        for unit in ("ropg.socket", "ropg.service", "ropg@2.service"):
            assert self.machine.status("systemctl", "is-active", unit) != 0, unit
        assert not self.machine.path("/usr/lib/ropg").exists()
        assert self.machine.path("/etc/ropg/ropg.toml").exists()
        assert self.machine.path("/var/lib/private/ropg/keys.json").exists()
        ok("after its removal nothing runs; settings and keys are there")

    def purge(self) -> None:
        """Settings and keys go too; the certificate is not ours."""
        self.dpkg("--purge", "ropg-twisted")
        assert not self.machine.path("/etc/ropg/ropg.toml").exists()
        assert not self.machine.path("/var/lib/private/ropg").exists()
        assert self.machine.path("/etc/ropg/tls/key.pem").exists()
        links = self.machine.run("find", "/etc/systemd/system", "-name", "ropg*")
        assert not links, links
        ok("after its purge nothing is left but the certificate")

    def client(self, keeps: int, right: int) -> CheckingThread:
        """A client that trusts both certificates."""
        context = ssl.create_default_context(cadata=FIRST.pem + SECOND.pem)
        return CheckingThread(443, keeps=bool(keeps), right=bool(right), context=context)

    def undisturbed(self, what: str) -> None:
        """Wait until each client has been answered many times more, and none was lost."""
        before = [client.asked for client in self.clients]
        wait_until(
            lambda: all(
                client.asked >= asked + AFTER
                for client, asked in zip(self.clients, before, strict=True)
            ),
            f"clients are answered: {what}",
        )
        lost = [line for client in self.clients for line in client.lost]
        assert not lost, (what, lost)
        ok(f"no check is lost: {what}")

    def write_certificate(self, key: str, certificate: str) -> None:
        for name, text in (("key.pem", key), ("cert.pem", certificate)):
            path = self.machine.path(f"/etc/ropg/tls/{name}")
            path.write_text(text)
            self.machine.run("chgrp", "ropg-config", f"/etc/ropg/tls/{name}")
            path.chmod(0o640)

    def dpkg(self, action: str, package: Path | str) -> None:
        if isinstance(package, Path):
            shutil.copy(package, self.machine.path("/root"))
            package = f"/root/{package.name}"
        self.machine.run("dpkg", "--force-confold", action, str(package))

    def show(self, name: str, unit: str = "ropg.service") -> str:
        return self.machine.run("systemctl", "show", "--value", "-p", name, unit).strip()

    def journal(self, unit: str) -> str:
        return self.machine.run("journalctl", "-u", unit, "-o", "cat", "--no-pager")


def version_before(package: Path, folder: Path) -> Path:
    """A package with a lower version and another settings file, otherwise the same."""
    root = folder / "older"
    subprocess.run(["dpkg-deb", "-R", package, root], check=True)
    control = root / "DEBIAN" / "control"
    control.write_text(
        re.sub(r"^Version: ", "Version: 0~", control.read_text(), flags=re.MULTILINE)
    )
    settings = root / "etc" / "ropg" / "ropg.toml"
    settings.write_text(f"# An older file.\n{settings.read_text()}")
    older = folder / "older.deb"
    build = ["dpkg-deb", "-Zgzip", "-z1", "--build", str(root), str(older)]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    return older


def ok(what: str) -> None:
    """Print that something is as it should be."""
    print(f"ok: {what}", flush=True)


def main(base: str, package: str) -> None:
    """Boot, and try."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as folder, Machine(Path(base)) as machine:
        older = version_before(Path(package), Path(folder))
        Trial(machine, Path(package), older).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
