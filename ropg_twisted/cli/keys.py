"""``ropg keys``: manages the signing keys of the daemon, which reloads them by itself."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import ClassVar, Final, TypeAlias

from twisted.python import usage

from ropg_twisted.oauth.keys import JWK, SigningKey, new_key, read_key, retire, ring_at, rotate
from ropg_twisted.oauth.keystore import KEYS_FILE, read_keys, write_keys
from ropg_twisted.options import CommandOptions
from ropg_twisted.private_files import locked
from ropg_twisted.settings.errors import SettingError
from ropg_twisted.settings.model import SigningAlgorithm
from ropg_twisted.settings.table import TABLE
from ropg_twisted.types import IReactor

Change: TypeAlias = Callable[[list[JWK], str, float], list[JWK]]
"""Takes the stored keys, an algorithm or a key id, and the time; returns the keys to store."""


def _add(jwks: list[JWK], algorithm: str, now: float) -> list[JWK]:
    return [*jwks, new_key(algorithm, now, signs_from=None if jwks else int(now))]


CHANGES: Final[Mapping[str, Change]] = {
    "list": lambda jwks, _, now: jwks,
    "add": _add,
    "rotate": rotate,
    "retire": retire,
}


class KeysOptions(CommandOptions):
    """The options of ``ropg keys``."""

    synopsis = "[options] list | add | rotate | retire KID"
    longdesc = (
        "list: show the keys. add: publish a new key that does not sign yet; the first key of a "
        "folder signs at once. rotate: sign with the key that was added, or with a new one, as "
        "soon as it has been published for ten minutes; the old key stays published until its "
        "tokens have expired. retire: stop signing with a key. The daemon reloads the keys by "
        "itself. Exit status: 0 done, 1 refused."
    )
    optParameters: ClassVar = [
        ["state-dir", None, None, "Directory of the keys. [default: $ROPG_STATE_DIR, else state]"],
        ["signing-alg", None, None, "Algorithm of a new key. [default: $ROPG_SIGNING_ALG]"],
    ]
    compData = usage.Completions(
        optActions={
            "state-dir": usage.CompleteDirs(),
            "signing-alg": usage.CompleteList(list(SigningAlgorithm)),
        },
        extraActions=[usage.CompleteList(list(CHANGES), descr="action")],
    )

    def parseArgs(self, action: str, kid: str | None = None) -> None:  # type: ignore[override]  # Twisted has *args.
        """Store the action and its key."""
        if action not in CHANGES or (action == "retire") != (kid is not None):
            raise usage.UsageError("The action must be list, add, rotate, or retire KID.")
        self["action"], self["kid"] = action, kid

    def postOptions(self) -> None:
        """Complete the options from the environment. Raises :exc:`UsageError` if one is invalid."""
        folder = self["state-dir"] or os.environ.get("ROPG_STATE_DIR") or "state"
        self["path"] = Path(folder, KEYS_FILE)
        setting = TABLE["ROPG_SIGNING_ALG"]
        text = self["signing-alg"] or os.environ.get(setting.name) or None
        try:
            self["algorithm"] = setting.value(text)
        except SettingError as error:
            raise usage.UsageError(str(error)) from None

    async def run(self, reactor: IReactor) -> int:
        """Change the keys, print the result, and return the exit status."""
        path, now = self["path"], time.time()
        try:
            with locked(path.parent):
                first = self["action"] == "add" and not path.exists()
                before = [] if first else read_keys(path)
                for jwk in before:
                    read_key(jwk)
                after = CHANGES[self["action"]](before, self["kid"] or self["algorithm"], now)
                keys = [read_key(jwk) for jwk in after]
                if after is not before:
                    write_keys(path, after, replace=not first)
        except OSError as error:
            return _refuse(f"{path}: {error.strerror}")
        except LookupError:
            return _refuse("there is no key with this id")
        except ValueError:
            return _refuse("no signing key would be left, or the file contains no keys")
        print("\n".join(describe(keys, now)))
        return 0


def describe(keys: Iterable[SigningKey], now: float) -> Iterable[str]:
    """Yield a line for each key that is still published: its id, algorithm and state."""
    keys = [key for key in keys if now < key.published_until]
    for key in keys:
        try:
            signs = ring_at(now, keys, key.algorithm).signing is key
        except ValueError:
            signs = False
        yield f"{key.kid}  {key.algorithm}  {_state(key, signs)}"


def _state(key: SigningKey, signs: bool) -> str:
    words = ["signs"] if signs else ["published"]
    if key.signs_from == inf:
        words.append("waits for a rotation")
    elif not signs and key.published_until == inf:
        words.append(f"signs from {_moment(key.signs_from)}")
    if key.published_until != inf:
        words.append(f"published until {_moment(key.published_until)}")
    return ", ".join(words)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _refuse(reason: str) -> int:
    print(f"ropg: {reason}", file=sys.stderr)
    return 1
