"""People with a second factor: the three ways to answer them, through the whole program."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from ropg_twisted.oauth.request import split_code
from ropg_twisted.sandbox.accounts import ACCOUNTS, USUAL_PASSWORD, find
from ropg_twisted.sandbox.flow.devices import totp
from tests.client import Reply
from tests.memory import InMemoryDaemon, claims
from tests.parametrize import parametrize
from tests.sandbox_browser import DEFAULT, EXECUTOR

MFA_REQUIRED = (
    b'{"error":"interaction_required","error_description":"Multi-factor authentication required"}'
)
INVALID_GRANT = b'{"error":"invalid_grant","error_description":"Invalid username or password"}'
FLOW = f"{EXECUTOR}{DEFAULT}/"
WITH_DEVICE = [person for person in ACCOUNTS if person.totp_key or person.static_tokens]


def code(daemon: InMemoryDaemon, steps: int = 0) -> str:
    """Bob's code, ``steps`` of half a minute from now."""
    bob = find("bob")
    assert bob is not None and bob.totp_key is not None
    return totp(bob.totp_key, daemon.clock.seconds() + 30 * steps)


def wrong(daemon: InMemoryDaemon) -> str:
    """A code that is none of Bob's now."""
    right = {code(daemon, steps) for steps in (-1, 0, 1)}
    return next(text for text in ("000000", "111111", "222222", "333333") if text not in right)


class SecondFactorTestCase(SynchronousTestCase):
    """A daemon with one of the ways."""

    mfa = "interaction_required"
    more: ClassVar[dict[str, str]] = {}

    def setUp(self) -> None:
        self.daemon = InMemoryDaemon(self, ROPG_MFA=self.mfa, **self.more)

    def sent(self, name: str) -> int:
        """In how many requests a field of this name has been sent to the flow."""
        mark = f'"{name}"'.encode()
        return sum(mark in received.body for received in self.daemon.authentik.requests)

    def assert_refused(self, reply: Reply, body: bytes, message: object = None) -> None:
        """Assert that the answer is a 400 of this body."""
        self.assertEqual((reply.status, reply.body), (400, body), message)


class InteractionRequiredTests(SecondFactorTestCase):
    """``interaction_required``: a person is needed."""

    def test_the_right_password_is_told_from_a_wrong_one(self) -> None:
        """The answers are the same to the byte for everybody, each time."""
        for person in WITH_DEVICE:
            for _ in range(2):
                self.assert_refused(self.daemon.password(person.username), MFA_REQUIRED)
            self.assert_refused(self.daemon.password(person.username, "wrong"), INVALID_GRANT)
        self.assertEqual(self.daemon.logged("reason")[:3], ["mfa", "mfa", "wrong_credentials"])

    def test_a_code_is_a_part_of_the_password(self) -> None:
        """Nothing is split off, so a right password with a right code behind it is wrong."""
        typed = f"{USUAL_PASSWORD};{code(self.daemon)}"
        self.assert_refused(self.daemon.password("bob", typed), INVALID_GRANT)
        self.assertEqual(self.sent("code"), 0)


class TokensTests(SecondFactorTestCase):
    """``tokens``: the right password is enough."""

    mfa = "tokens"
    more: ClassVar[dict[str, str]] = {"ROPG_CLAIMS": "typed", "ROPG_CHECK_ACCESS": "off"}

    def test_the_right_password_brings_tokens(self) -> None:
        """They are made of the typed name, and say that a password was all there was."""
        for name in ("bob", "BOB@example.com", "frank"):
            reply = self.daemon.password(name)
            self.assertEqual(reply.status, 200, name)
            found = self.daemon.verified(reply.json["id_token"])
            self.assertEqual(
                {k: found.get(k) for k in ("sub", "preferred_username", "email", "amr", "groups")},
                {
                    "sub": name,
                    "preferred_username": name,
                    "email": name if "@" in name else None,
                    "amr": ["pwd"],
                    "groups": [],
                },
            )
        self.assertEqual(set(self.daemon.logged("reason")), {"mfa"})

    def test_a_code_is_a_part_of_the_password(self) -> None:
        """Nothing is split off: the whole is what Authentik is asked about."""
        typed = f"{USUAL_PASSWORD};{code(self.daemon)}"
        self.assert_refused(self.daemon.password("bob", typed), INVALID_GRANT)
        self.assertEqual(self.daemon.logged("reason"), ["wrong_credentials"])
        self.assertEqual(self.sent("code"), 0)

    def test_everything_else_is_as_ever(self) -> None:
        """Wrong passwords, other stages for a person, and people without a second factor."""
        self.assert_refused(self.daemon.password("bob", "wrong"), INVALID_GRANT)
        self.assertEqual(self.daemon.password("alice").status, 200)
        daemon = InMemoryDaemon(self, ROPG_MFA=self.mfa, FLOW_SLUG="prompt-flow", **self.more)
        reply = daemon.password("alice")
        self.assertEqual((reply.status, reply.json["error"]), (400, "interaction_required"))


class CodeTests(SecondFactorTestCase):
    """``code``: a code may follow the password."""

    mfa = "code"

    def type(self, code: str, **more: str) -> Reply:
        """The answer to Bob's password with a code."""
        return self.daemon.password("bob", f"{USUAL_PASSWORD};{code}", **more)

    def test_password_and_code_bring_tokens(self) -> None:
        """They are Bob's, and say how he has proved to be it."""
        reply = self.type(code(self.daemon))
        self.assertEqual(reply.status, 200)
        for name in ("id_token", "access_token"):
            found = self.daemon.verified(reply.json[name])
            self.assertEqual(
                (found["preferred_username"], found["amr"]), ("bob", ["pwd", "otp"]), name
            )
        self.assertEqual(self.daemon.logged("reason"), ["verified_with_code"])
        self.assertEqual((self.sent("password"), self.sent("code")), (1, 1))
        self.assertEqual(self.daemon.sandbox.sessions.authenticated, [])

    def test_in_one_form_with_the_name(self) -> None:
        """A flow that asks for name and password at once takes a code as well."""
        daemon = InMemoryDaemon(self, ROPG_MFA="code", FLOW_SLUG="ropg-combined")
        reply = daemon.password("bob", f"{USUAL_PASSWORD};{code(daemon)}")
        self.assertEqual(daemon.verified(reply.json["id_token"])["amr"], ["pwd", "otp"])

    def test_authentiks_own_tokens(self) -> None:
        """They say in Authentik's words that there was a second factor."""
        clients = """
            [[clients]]
            id = "jamf-connect"
            mfa = "code"
            tokens = "authentik"
            redirect_uri = "https://127.0.0.1/jamfconnect"
            """
        daemon = InMemoryDaemon(self, clients)
        reply = daemon.password("bob", f"{USUAL_PASSWORD};{code(daemon)}")
        self.assertEqual(daemon.verified(reply.json["id_token"])["amr"], ["pwd", "mfa"])
        self.assertEqual(claims(reply.json["access_token"])["preferred_username"], "bob")

    def test_a_static_token_of_eight_characters(self) -> None:
        """It is a code as well, and works once."""
        frank = find("frank")
        assert frank is not None
        short = replace(frank, static_tokens=("frank001",))
        self.patch(self.daemon.sandbox.accounts, "find", {"frank": short}.get)
        typed = f"{USUAL_PASSWORD};frank001"
        reply = self.daemon.password("frank", typed)
        self.assertEqual(self.daemon.verified(reply.json["id_token"])["amr"], ["pwd", "otp"])
        self.assert_refused(self.daemon.password("frank", typed), INVALID_GRANT)

    def test_without_a_code(self) -> None:
        """The right password alone is told from a wrong one, as ever."""
        self.assert_refused(self.daemon.password("bob"), MFA_REQUIRED)
        self.assert_refused(self.daemon.password("bob", "wrong"), INVALID_GRANT)
        self.assertEqual(self.sent("code"), 0)

    def test_a_code_that_nobody_asks_for(self) -> None:
        """A user without a second factor may type one all the same; it is not sent, nor claimed."""
        reply = self.daemon.password("alice", f"{USUAL_PASSWORD};123456")
        self.assertEqual(self.daemon.verified(reply.json["id_token"])["amr"], ["pwd"])
        self.assertEqual((self.sent("code"), self.daemon.logged("reason")), (0, ["verified"]))

    def test_a_password_that_holds_the_mark(self) -> None:
        """Dave's does, with no code behind it."""
        dave = find("dave")
        assert dave is not None and ";" in dave.password
        self.assertEqual(self.daemon.password("dave", dave.password).status, 200)
        self.assertEqual(self.daemon.password("dave", f"{dave.password};123456").status, 200)

    def test_nothing_but_a_code(self) -> None:
        """There is no password before it: that is wrong, and no outage."""
        self.assert_refused(self.daemon.password("bob", f";{code(self.daemon)}"), INVALID_GRANT)

    def test_a_wrong_code_is_a_wrong_answer(self) -> None:
        """It looks like a wrong password, but the log knows better, and so do the guards."""
        bad = wrong(self.daemon)
        for _ in range(2):
            self.assert_refused(self.type(bad), INVALID_GRANT)
        self.assertEqual(self.daemon.logged("reason"), ["wrong_code"] * 2)
        self.assertEqual(self.sent("code"), 2)
        self.assertEqual(self.type(code(self.daemon)).status, 200)

    def test_a_code_works_once(self) -> None:
        """The next login needs the next code."""
        first = code(self.daemon)
        self.assertEqual(self.type(first).status, 200)
        self.assert_refused(self.type(first), INVALID_GRANT)
        self.daemon.clock.advance(30)
        self.assertEqual(self.type(code(self.daemon)).status, 200)

    def test_wrong_codes_are_counted(self) -> None:
        """Codes cannot be guessed one after the other: ten, and there is a pause."""
        bad = wrong(self.daemon)
        for _ in range(10):
            self.assert_refused(self.type(bad), INVALID_GRANT)
        reply = self.type(code(self.daemon))
        self.assertEqual((reply.status, reply.json["error"]), (429, "slow_down"))
        self.assertEqual(self.sent("code"), 10)
        self.assertEqual(self.daemon.logged("reason")[-1], "throttled")

    def test_a_wrong_password_is_wrong_with_any_code(self) -> None:
        """It is refused before the code, and remembered: no new code makes it right."""
        for number in range(3):
            typed = f"wrong;{number:06}"
            self.assert_refused(self.daemon.password("bob", typed), INVALID_GRANT)
        self.assertEqual((self.sent("password"), self.sent("code")), (1, 0))
        self.assertEqual(
            self.daemon.logged("reason"), ["wrong_credentials", "stale_password", "stale_password"]
        )

    def test_no_fault_makes_a_code_be_sent_again(self) -> None:
        """A fault after the code spends it: the answer is *later*, never *wrong*."""

        def at_the_code(fault: int | bytes) -> Any:
            def answer(request: Request) -> Any:
                received = self.daemon.authentik.requests[-1]
                return fault if b'"code"' in received.body else None

            return answer

        access = "/api/v3/core/applications/jamf-connect/check_access/"
        for fault in (500, 502, b"not JSON"):
            for path, answer in ((FLOW, at_the_code(fault)), (access, fault)):
                self.setUp()
                self.daemon.authentik.overrides[path] = answer
                reply = self.type(code(self.daemon))
                self.assertEqual(reply.status, 503, (path, fault))
                self.assertEqual(self.sent("code"), 1, (path, fault))

    def test_no_code_is_logged(self) -> None:
        """Neither right nor wrong ones, nor the password before them."""
        texts = [code(self.daemon), wrong(self.daemon), USUAL_PASSWORD]
        for text in texts[:2]:
            self.type(text)
        self.assertEqual([text for text in texts if text in repr(self.daemon.events)], [])


class SplitTests(SynchronousTestCase):
    """Splitting of what was typed into password and code."""

    @parametrize(
        {
            "six digits": ("secret;123456", ("secret", "123456")),
            "eight letters and digits": ("secret;abcd1234", ("secret", "abcd1234")),
            "eight capitals": ("secret;ABCDEFGH", ("secret", "ABCDEFGH")),
            "eight digits": ("secret;12345678", ("secret", "12345678")),
            "two semicolons": ("a;b;123456", ("a;b", "123456")),
            "a semicolon before the last": ("secret;;123456", ("secret;", "123456")),
            "a password of digits": ("123456;654321", ("123456", "654321")),
            "a password of a space": (" ;123456", (" ", "123456")),
            "no semicolon": ("secret", ("secret", None)),
            "only digits": ("123456", ("123456", None)),
            "nothing after the semicolon": ("secret;", ("secret;", None)),
            "only a semicolon": (";", (";", None)),
            "five digits": ("secret;12345", ("secret;12345", None)),
            "seven digits": ("secret;1234567", ("secret;1234567", None)),
            "nine digits": ("secret;123456789", ("secret;123456789", None)),
            "six letters": ("secret;abcdef", ("secret;abcdef", None)),
            "a letter among six": ("secret;12345a", ("secret;12345a", None)),
            "a sign among eight": ("secret;abcd123!", ("secret;abcd123!", None)),
            "another script among eight": ("secret;abcdéfgh", ("secret;abcdéfgh", None)),
            "a space inside": ("secret;123 456", ("secret;123 456", None)),
            "a space before": ("secret; 123456", ("secret; 123456", None)),
            "a space after": ("secret;123456 ", ("secret;123456 ", None)),
            "a line end": ("secret;123456\n", ("secret;123456\n", None)),
            "foreign digits": ("secret;١٢٣٤٥٦", ("secret;١٢٣٤٥٦", None)),
            "a comma": ("secret,123456", ("secret,123456", None)),
        }
    )
    def test_split(self, typed: str, expected: tuple[str, str | None]) -> None:
        """Six digits, or eight letters and digits, behind the last ``;`` are a code."""
        self.assertEqual(split_code(typed), expected)
