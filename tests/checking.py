"""Clients that go on checking passwords, over plain HTTP or TLS."""

from __future__ import annotations

import json
import ssl
import threading
from collections import Counter
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlencode

from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from tests.daemon import PATIENCE

HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}
TOO_MANY = 5000
"""Checks of a client after which something has gone wrong."""


def form(password: str) -> str:
    """The body of a check."""
    fields = {"grant_type": "password", "client_id": "jamf-connect", "username": "alice"}
    return urlencode({**fields, "password": password})


class CheckingThread(threading.Thread):
    """Checks one password after the other until it is told to end; never two at a time.

    ``answers`` counts what came back, ``lost`` tells of each check that was not answered.
    ``keeps``: on one connection for as long as the server lets it, as clients should.
    ``context``: of TLS, ``None`` for plain HTTP.
    """

    def __init__(
        self, port: int, *, keeps: bool, right: bool, context: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(daemon=True)
        self.answers: Counter[str] = Counter()
        self.lost: list[str] = []
        self.connections = 0
        self.ending = threading.Event()
        self._port = port
        self.keeps = keeps
        self.right = right
        self._context = context
        self._connection: HTTPConnection | None = None

    @property
    def asked(self) -> int:
        """The number of checks that have ended."""
        return sum(self.answers.values()) + len(self.lost)

    def run(self) -> None:
        """Check, until it is enough."""
        while not self.ending.is_set() and self.asked < TOO_MANY:
            password = USUAL_PASSWORD if self.right else f"wrong {self.name} {self.asked}"
            try:
                self.answers[self.check(password)] += 1
            except (OSError, HTTPException) as error:
                self.lost.append(repr(error))
                self._connection = None

    def check(self, password: str) -> str:
        if self._connection is None:
            self._connection = self._connect()
            self.connections += 1
        self._connection.request("POST", "/oauth/token", form(password), HEADERS)
        response = self._connection.getresponse()
        body = json.loads(response.read())
        if response.will_close or not self.keeps:
            self._connection.close()
            self._connection = None
        return f"{response.status} {body.get('error', 'tokens')}"

    def _connect(self) -> HTTPConnection:
        if self._context is None:
            return HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        return HTTPSConnection("localhost", self._port, timeout=PATIENCE, context=self._context)
