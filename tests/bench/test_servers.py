"""The daemon and its peers on the fake Authentik: right verdicts, and the same work."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import jwt
import requests
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from twisted.trial.unittest import SynchronousTestCase

from tests import FIRST_PYTHON_ONLY
from tests.bench.connection import Answer, Check, connect
from tests.bench.machine import Bench, make_keys
from tests.bench.processes import Cores
from tests.bench.servers import (
    AIOHTTP_SAME,
    FLASK_SAME,
    GO_SAME,
    OURS,
    Authentik,
    Server,
    Shape,
    build_go,
)
from tests.parametrize import parametrize

T = TypeVar("T")

SAME = {"flow": 6, "access": 1, "user": 1, "removal": 1}
"""Requests of a right password with all extras, by kind."""

NO_GO = None if shutil.which("go") else "no toolchain of Go on PATH"


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine of asyncio, on a loop of its own."""
    return asyncio.run(coroutine)


class ServerTestCase(SynchronousTestCase):
    """A fake Authentik, and servers on it."""

    skip = FIRST_PYTHON_ONLY
    number: ClassVar = 0

    def setUp(self) -> None:
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        make_keys(folder)
        everywhere = Cores((0,), frozenset({0}), False)
        authentik = Authentik(everywhere.load)
        self.addCleanup(authentik.end)
        self.bench = Bench(folder, everywhere, authentik, None, None)
        self.addCleanup(self.bench.end_servers)

    def start(self, shape: Shape, *, tls: bool = False) -> Server:
        """Start a server that has accepted a right password."""
        if shape.kind == "go":
            build_go(self.bench.folder)
        server = run(self.bench.start(shape, tls=tls))
        self.until_removed(1)
        self.bench.authentik.reset()
        return server

    def check(self, server: Server, *, right: bool = True) -> Answer:
        """Make a check of a new user."""
        type(self).number += 1

        async def ask() -> Answer:
            connection = await connect(server.port, tls=server.tls)
            try:
                return await connection.ask(Check(9_000_000 + self.number, right))
            finally:
                connection.close()

        return run(ask())

    def until_removed(self, checks: int) -> dict[str, int]:
        """Wait for the removals after so many checks. Return the counts."""
        for _ in range(500):
            counts = self.bench.authentik.counts().requests
            if counts.get("removal", 0) >= checks:
                break
            run(asyncio.sleep(0.01))
        return counts


PEERS = {"Flask": (FLASK_SAME,), "aiohttp": (AIOHTTP_SAME,)}
SERVERS = {"ours": (OURS,), **PEERS}


class VerdictTests(ServerTestCase):
    """Each server tells a right password from a wrong one."""

    def assert_verdicts(self, server: Server) -> None:
        right, wrong = self.check(server), self.check(server, right=False)
        self.assertEqual((right.status, wrong.status), (200, 400), server.log.read_text())
        self.assertEqual(json.loads(wrong.body)["error"], "invalid_grant")

    @parametrize(SERVERS)
    def test_right_and_wrong(self, shape: Shape) -> None:
        """With and without the requests besides those of the flow."""
        self.assert_verdicts(self.start(shape))
        bare = replace(shape, extras=False)
        server = run(self.bench.start(bare))
        self.bench.authentik.reset()
        self.assert_verdicts(server)
        self.assertEqual(self.bench.authentik.counts().requests, {"flow": 10})

    @parametrize(SERVERS)
    def test_tls(self, shape: Shape) -> None:
        """Over a TLS connection."""
        self.assert_verdicts(self.start(shape, tls=True))

    def test_go(self) -> None:
        """The compiled peer, by both ways."""
        self.assert_verdicts(self.start(GO_SAME))
        self.assert_verdicts(self.start(GO_SAME, tls=True))

    test_go.skip = NO_GO  # type: ignore[attr-defined]  # Twisted's own way to skip one test.

    def test_the_daemon_is_ready(self) -> None:
        """The fake Authentik refuses a canary in place."""
        server = self.start(OURS)
        response = requests.get(f"http://127.0.0.1:{server.port}/ready", timeout=10)
        self.assertEqual((response.status_code, response.json()), (200, {"status": "ready"}))


class WorkTests(ServerTestCase):
    """Each server does the same work for a check."""

    def assert_work(self, shape: Shape) -> None:
        server = self.start(shape)
        for number in (1, 2, 3):
            self.assertEqual(self.check(server).status, 200)
            self.until_removed(number)
        counts = self.bench.authentik.counts()
        self.assertEqual(counts.requests, {kind: 3 * count for kind, count in SAME.items()})
        self.assertLessEqual(counts.connections, 2)

    @parametrize(SERVERS)
    def test_requests(self, shape: Shape) -> None:
        """The same requests at Authentik, on connections that are kept alive."""
        self.assert_work(shape)

    def test_requests_of_go(self) -> None:
        """The compiled peer."""
        self.assert_work(GO_SAME)

    test_requests_of_go.skip = NO_GO  # type: ignore[attr-defined]  # As above.

    @parametrize({"RS256": ("RS256",), "ES256": ("ES256",)})
    def test_signatures(self, algorithm: str) -> None:
        """Two tokens of the same algorithm, and of about the same size."""
        ours = self.start(replace(OURS, algorithm=algorithm))
        published = requests.get(f"http://127.0.0.1:{ours.port}/.well-known/jwks.json", timeout=10)
        [key] = jwt.PyJWKSet.from_dict(published.json()).keys
        sizes = self.assert_tokens(ours, key.key)
        pem = (self.bench.folder / f"{algorithm}.key").read_bytes()
        private: Any = load_pem_private_key(pem, None)
        peers = [FLASK_SAME, AIOHTTP_SAME, *([] if NO_GO else [GO_SAME])]
        for peer in peers:
            server = self.start(replace(peer, algorithm=algorithm))
            for size, own in zip(
                self.assert_tokens(server, private.public_key()), sizes, strict=True
            ):
                self.assertTrue(0.85 < size / own < 1.15, (peer.name, size, own))

    def assert_tokens(self, server: Server, key: Any) -> list[int]:
        """Verify the two tokens of a response, and return their sizes."""
        response = json.loads(self.check(server).body)
        tokens = [value for name, value in response.items() if name.endswith("_token")]
        self.assertEqual(len(tokens), 2, response)
        for token in tokens:
            algorithm = server.shape.algorithm
            claims = jwt.decode(token, key, [algorithm], audience="jamf-connect")
            self.assertRegex(claims["preferred_username"], "^user9")
            self.assertEqual(claims["groups"], ["mac-admins"])
        return [len(token) for token in tokens]
