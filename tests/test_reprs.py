"""Objects show no secret in their repr."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyChannel

import ropg_twisted
from ropg_twisted.server.request import BoundedRequest

SECRET_WORDS = {
    *("body", "code", "cookie", "fields", "hash", "key", "password", "payload", "private"),
    *("response", "secret", "secrets", "sid", "store", "token", "tokens", "verifier"),
}

SECRET_TYPES = ("str", "bytes", "Any", "Mapping", "JSONObject", "ChallengeFields", "TokenResponse")


def all_dataclasses() -> Iterator[type]:
    """Each dataclass of the package; not of the sandbox, whose people are public."""
    for module in pkgutil.walk_packages(ropg_twisted.__path__, "ropg_twisted."):
        if module.name.startswith("ropg_twisted.sandbox"):
            continue
        importlib.import_module(module.name)
        for value in list(vars(sys.modules[module.name]).values()):
            if is_dataclass(value) and isinstance(value, type) and value.__module__ == module.name:
                yield value


def secret_fields(kind: type) -> list[str]:
    """The fields of a dataclass that hold a secret, by their name and type."""
    return [
        field.name
        for field in fields(kind)
        if SECRET_WORDS & set(field.name.split("_"))
        and any(word in str(field.type) for word in SECRET_TYPES)
    ]


class ReprTests(SynchronousTestCase):
    """Representations of objects."""

    def test_no_value_shows_its_secrets(self) -> None:
        """A field that is named like a secret is in no ``repr`` and no ``str``."""
        checked = set()
        for kind in all_dataclasses():
            names = secret_fields(kind)
            if not names:
                continue
            instance: Any = object.__new__(kind)
            for field in fields(kind):
                mark = f"hidden {field.name}" if field.name in names else None
                object.__setattr__(instance, field.name, mark)
            shown = f"{instance!r} {instance} {[instance]}"
            self.assertNotIn("hidden", shown, kind)
            checked.add(kind.__name__)
        expected = {"Settings", "Client", "LoginAttempt", "PasswordGrant", "ClientCredentials"}
        expected |= {"SigningKey", "ClientIPHeaders", "Response", "Challenge", "SessionCookie"}
        expected |= {"ChallengeResponse"}
        self.assertEqual(expected - checked, set())

    def test_no_exception_of_a_request_shows_it(self) -> None:
        """A request in a traceback, or in a log line of the framework, tells its path alone."""
        request = BoundedRequest(DummyChannel(), False)
        request.method, request.clientproto = b"POST", b"HTTP/1.1"
        request.uri = b"/oauth/token?password=canary"
        self.assertNotIn("canary", repr(request))
