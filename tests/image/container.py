"""A container of an unpacked image: its own command, on a read-only root. Needs root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.daemon import PATIENCE

START = Path(__file__).with_name("start")


class Image:
    """What ``tests/image/build`` leaves in a folder."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.config: dict[str, Any] = json.loads((folder / "image.json").read_text("utf-8"))[
            "Docker"
        ]["config"]

    def environ(self, **settings: str) -> dict[str, str]:
        """The environment of a container with these settings."""
        own = dict(line.split("=", 1) for line in self.config["Env"])
        return {**own, **settings}


class Container:
    """The command of an image, with a volume of its own."""

    def __init__(self, image: Image, **settings: str) -> None:
        self._image = image
        self._environ = image.environ(**settings)
        self._scratch = Path(tempfile.mkdtemp(prefix="ropg-image-"))
        [self.volume] = image.config["Volumes"]
        self._pid: int | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command(self._image.config["Entrypoint"]),
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=(self._scratch / "log").open("wb"),
            stderr=subprocess.STDOUT,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            print(self.log())
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        shutil.rmtree(self._scratch)

    def log(self) -> str:
        """Everything that it has printed."""
        return (self._scratch / "log").read_text("utf-8")

    def stop(self) -> int:
        """Ask it to end, as ``docker stop`` does, and return its exit status."""
        self._process.terminate()
        return self.wait()

    def wait(self) -> int:
        """Wait for its end and return the exit status."""
        return self._process.wait(PATIENCE)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run another command of the image beside it, with the same volume."""
        return subprocess.run(
            self._command(command),
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def files(self) -> dict[str, tuple[int, int]]:
        """The files in the volume: their owner and mode."""
        state = self._scratch / "volume"
        found = [(path, os.stat(path)) for path in sorted(state.rglob("*"))]
        return {path.name: (stat.st_uid, stat.st_mode & 0o777) for path, stat in found}

    def _command(self, command: Any) -> list[str]:
        user = self._image.config["User"]
        folders = [str(self._image.root), str(self._scratch / "volume"), self.volume]
        return ["unshare", "-m", str(START), *folders, user, *command]
