"""The headers that tell Authentik the address of a client, and readiness probes."""

from __future__ import annotations

from collections.abc import Coroutine
from ipaddress import ip_address
from typing import Any, Final, TypeVar

from OpenSSL.SSL import Error as TLSError
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.logger import LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseNeverReceived
from twisted.web.resource import Resource
from twisted.web.server import Request

from ropg_twisted.authentik.client import AuthentikClient
from ropg_twisted.authentik.client_ip import ClientIPHeaders
from ropg_twisted.interfaces import LoginAttempt, Readiness
from ropg_twisted.networks import LOOPBACK
from ropg_twisted.sandbox.accounts import USUAL_PASSWORD
from ropg_twisted.sandbox.http import wire
from ropg_twisted.sandbox.http.app import Sandbox
from ropg_twisted.sandbox.http.outposts import OUTPOST_TOKEN, OUTPOSTS, SERVICE_TOKEN
from ropg_twisted.settings.model import Client
from ropg_twisted.verdict import Reason, Verdict
from tests.composition import OnRequest, build_daemon, make_settings
from tests.fakes import CapturedLog
from tests.memory import UnreliableAgent

T = TypeVar("T")

CLIENT: Final = "203.0.113.7"
FORWARDED: Final = {"x-forwarded-for": CLIENT}
VOUCHED: Final = {
    "x-forwarded-for": CLIENT,
    "x-authentik-remote-ip": CLIENT,
    "x-authentik-outpost-token": OUTPOST_TOKEN,
}


class HeaderRecorder(Resource):
    """The sandbox, and the headers of requests that tell the client's address.

    ``failing``: the status of a proxy's page that everybody gets instead.
    """

    isLeaf = True

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__()
        self.headers: list[dict[str, str]] = []
        self.failing: int | None = None
        self._sandbox = sandbox

    def render(self, request: Request) -> Any:
        """Note the headers, and answer."""
        said = {
            name.decode().lower(): values[0].decode()
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        names = ("x-forwarded-for", "x-authentik-remote-ip", "x-authentik-outpost-token")
        self.headers.append({name: said[name] for name in names if name in said})
        if self.failing is not None:
            request.setResponseCode(self.failing)
            return b"<p>Maintenance</p>"
        return self._sandbox.resource.render(request)


def result_of(work: Coroutine[Deferred[Any], Any, T]) -> T:
    """The result of a coroutine that has nothing to wait for."""
    results: list[T] = []
    Deferred.fromCoroutine(work).addCallback(results.append)
    [result] = results
    return result


class AddressTestCase(SynchronousTestCase):
    """A sandbox in memory, and our client before it."""

    def begin(self, token: str | None = None) -> None:
        """Start with this outpost token."""
        clock = Clock()
        self.sandbox = Sandbox(clock)
        self.recorder = HeaderRecorder(self.sandbox)
        self.agent = agent = UnreliableAgent(self.recorder)
        settings = make_settings(Client("nothing"), flow_slug="inbuilt-only", outpost_token=token)

        def make_client(
            client_ip: ClientIPHeaders, clock: IReactorTime, on_request: OnRequest
        ) -> AuthentikClient:
            self.client_ip = client_ip
            return AuthentikClient(agent, agent, client_ip, clock, on_request)

        daemon = build_daemon(settings, clock, make_client, guards=False)
        self.verifier = daemon.unguarded
        self.readiness = daemon.readiness

    def log_in(self, address: str | None = CLIENT) -> Verdict:
        """The verdict on a right password from this address."""
        self.recorder.headers.clear()
        client = None if address is None else ip_address(address)
        login = LoginAttempt("alice", USUAL_PASSWORD, client)
        return result_of(self.verifier.verify(login)).outcome.verdict

    def probe(self) -> Readiness:
        """The result of the readiness probe."""
        return result_of(self.readiness.probe())


class HeaderTests(AddressTestCase):
    """The headers of one check."""

    def test_a_token_that_authentik_does_not_know_hides_no_address(self) -> None:
        """A proxy that Authentik trusts is believed without the token."""
        self.begin("unknown-token")
        self.assertEqual(self.log_in(), Verdict.VERIFIED)
        self.assertEqual(self.sandbox.events[-1].address, CLIENT)

    def test_every_request_of_a_check_says_whose_it_is(self) -> None:
        """From the first GET to the removal of the session, and in the words of the setting."""
        for token, address, said, seen in (
            (None, CLIENT, FORWARDED, CLIENT),
            (None, "2001:db8::7", {"x-forwarded-for": "2001:db8::7"}, "2001:db8::7"),
            (None, None, {}, "127.0.0.1"),
            (OUTPOST_TOKEN, CLIENT, VOUCHED, CLIENT),
            (OUTPOST_TOKEN, None, {}, "127.0.0.1"),
        ):
            self.begin(token)
            self.assertEqual(self.log_in(address), Verdict.VERIFIED, (token, address))
            self.assertEqual(self.recorder.headers, [said] * 8, (token, address))
            [event] = self.sandbox.events
            self.assertEqual((event.kind, event.address), ("login", seen))

    def test_the_token_does_not_show(self) -> None:
        """It is in no representation."""
        self.assertNotIn("canary", repr(ClientIPHeaders("canary")))


class OutpostTokenTests(AddressTestCase):
    """An outpost token that Authentik does not take."""

    def warnings(self, listens: CapturedLog) -> int:
        """The number of log lines about the token."""
        events = [e for e in listens.events if "ROPG_OUTPOST_TOKEN" in str(e.get("log_format"))]
        self.assertNotIn(SERVICE_TOKEN, repr(events))
        return len([e for e in events if e["log_level"] >= LogLevel.warn])

    def test_it_is_found_told_once_and_taken_up_again(self) -> None:
        """A look finds it, checks go on without it, and a later look finds that it works."""
        listens = CapturedLog(self)
        self.begin(SERVICE_TOKEN)
        self.assertEqual(self.log_in(), Verdict.UNVERIFIABLE)
        for _ in range(3):
            self.assertEqual(self.probe(), Readiness(warning=Reason.OUTPOST_TOKEN_REFUSED))
        self.assertEqual(self.warnings(listens), 1)
        self.assertEqual(self.log_in(), Verdict.VERIFIED)
        self.assertEqual(self.recorder.headers, [FORWARDED] * 8)

        self.patch(wire, "SERVICE_TOKEN", "another")
        self.patch(wire, "OUTPOSTS", {SERVICE_TOKEN: OUTPOSTS[OUTPOST_TOKEN]})
        self.assertEqual(self.probe(), Readiness())
        self.assertEqual(self.log_in(), Verdict.VERIFIED)
        vouched = {**VOUCHED, "x-authentik-outpost-token": SERVICE_TOKEN}
        self.assertEqual(self.recorder.headers, [vouched] * 8)

        self.patch(wire, "SERVICE_TOKEN", SERVICE_TOKEN)
        self.assertEqual(self.probe(), Readiness(warning=Reason.OUTPOST_TOKEN_REFUSED))
        self.assertEqual(self.warnings(listens), 2)

    def test_a_look_that_fails_says_nothing_of_the_token(self) -> None:
        """A token is neither dropped nor taken up again by a look that finds no Authentik."""
        for status in (200, 502):
            for token, refused in ((OUTPOST_TOKEN, False), (SERVICE_TOKEN, True)):
                self.begin(token)
                self.probe()
                self.assertEqual(self.client_ip.refused, refused)
                self.recorder.failing = status
                self.probe()
                self.assertEqual(self.client_ip.refused, refused, (status, token))
                for fault in (TLSError(), ConnectionRefusedError()):
                    self.agent.failure = ResponseNeverReceived([Failure(fault)])
                    self.probe()
                    self.assertEqual(self.client_ip.refused, refused, (fault, token))


class LookTests(AddressTestCase):
    """Sessions that probes leave behind."""

    def test_looks_leave_one_session(self) -> None:
        """However often somebody looks, and with whatever token."""
        for token in (None, OUTPOST_TOKEN, SERVICE_TOKEN):
            self.begin(token)
            for _ in range(20):
                self.assertIsNone(self.probe().reason)
            self.assertEqual(len(self.sandbox.sessions.anonymous), 1, token)
            self.assertEqual(self.sandbox.sessions.authenticated, [])

    def test_looks_are_our_own(self) -> None:
        """With a token, a look is said to come from this host; without one, from nobody."""
        self.begin(OUTPOST_TOKEN)
        self.probe()
        address = dict.fromkeys(("x-forwarded-for", "x-authentik-remote-ip"), str(LOOPBACK))
        own = {**VOUCHED, **address}
        self.assertEqual([said for said in self.recorder.headers if said], [own])
