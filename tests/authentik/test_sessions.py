"""Sessions that checks leave at Authentik, and how they are removed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import requests
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ropg_twisted.authentik.challenges import Response, SessionCookie
from ropg_twisted.authentik.client import FlowSession
from ropg_twisted.authentik.executor import FlowExecutor
from ropg_twisted.authentik.sessions import LOG_SECONDS, QUEUE_FACTOR, USUAL_WORKERS, SessionRemover
from ropg_twisted.interfaces import RequestKind
from ropg_twisted.verdict import Reason, UpstreamError
from tests.composition import AUTHENTIK
from tests.daemon import PATIENCE, DaemonProcess
from tests.fakes import CapturedLog
from tests.memory import InMemoryDaemon
from tests.parametrize import parametrize
from tests.ports import free_port

FLOW: Final = FlowExecutor(AUTHENTIK, "default-invalidation-flow")
MAX_CHECKS: Final = 20
MAX_QUEUE: Final = QUEUE_FACTOR * MAX_CHECKS
DEADLINE: Final = 15
GONE: Final = Response(200, "application/json", None, b'{"component": "xak-flow-redirect"}')


class AuthenticatedFlowSession(FlowSession):
    """A browser with a complete session, whose next request is answered by the test.

    ``at_once``: it is removed without a wait. ``max_age``: of its cookie.
    """

    def __init__(self, *, at_once: bool = False, max_age: int | None = None) -> None:
        self.asked = False
        self.answer: Deferred[Response] = Deferred()
        self._at_once = at_once
        self._max_age = max_age
        self._authenticated = True

    @property
    def cookie(self) -> SessionCookie:
        """See :class:`FlowSession`."""
        return SessionCookie("sid", self._authenticated, max_age=self._max_age)

    async def get(self, url: str, kind: RequestKind, authorization: str | None = None) -> Response:
        """See :class:`FlowSession`."""
        self.asked = True
        if not self._at_once:
            await self.answer
        self._authenticated = False
        return GONE


class SessionRemoverTests(SynchronousTestCase):
    """Removals beside the checks, and a flood of them."""

    def setUp(self) -> None:
        """An Authentik that removes sessions when the test says so."""
        self.clock = Clock()
        self.sessions = SessionRemover(FLOW, DEADLINE, self.clock, MAX_CHECKS)
        self.events = CapturedLog(self).events
        self.browsers: list[AuthenticatedFlowSession] = []

    def remove(self, number: int) -> list[AuthenticatedFlowSession]:
        """Hand over sessions to be removed."""
        browsers = [AuthenticatedFlowSession() for _ in range(number)]
        self.browsers += browsers
        for browser in browsers:
            self.sessions.remove(browser)
        return browsers

    def under_way(self) -> list[AuthenticatedFlowSession]:
        """The sessions whose removals have begun and not ended."""
        return [one for one in self.browsers if one.asked and not one.answer.called]

    def answer(self) -> None:
        """Let Authentik answer all that it is asked, until nothing is left."""
        while walks := self.under_way():
            for one in walks:
                one.answer.callback(GONE)

    def counts(self) -> tuple[int, int]:
        """The number of sessions removed, and of those left."""
        return self.sessions.removed, self.sessions.failed

    def said(self) -> list[tuple[int, str]]:
        """The log lines about sessions that were left, and why."""
        return [(event["count"], event["reason"]) for event in self.events]

    def test_each_is_removed_and_counted(self) -> None:
        """A session that Authentik keeps, or does not answer for, is left."""
        gone, silent, broken = self.remove(3)
        gone.answer.callback(GONE)
        broken.answer.errback(UpstreamError(Reason.UPSTREAM_CONNECTION))
        self.assertEqual(self.counts(), (1, 1))
        self.clock.advance(DEADLINE)
        self.assertEqual(self.counts(), (1, 2))
        self.assertEqual(self.said(), [(1, "upstream_connection")])
        self.assertTrue(silent.answer.called)

    def test_few_at_a_time_at_rest_and_more_under_load(self) -> None:
        """As many go at a time as wait, up to the number of checks; in order."""
        self.remove(USUAL_WORKERS)
        self.assertEqual(len(self.under_way()), USUAL_WORKERS)
        self.remove(USUAL_WORKERS)
        self.assertEqual(len(self.under_way()), USUAL_WORKERS)
        for _ in range(10):
            self.remove(1)
            waiting = len(self.browsers) - len(self.under_way())
            self.assertLessEqual(abs(len(self.under_way()) - waiting), 1)
        self.remove(3 * MAX_CHECKS)
        self.assertEqual(self.under_way(), self.browsers[:MAX_CHECKS])
        self.answer()
        self.assertEqual(self.counts(), (len(self.browsers), 0))
        self.remove(2 * USUAL_WORKERS)
        self.assertEqual(len(self.under_way()), USUAL_WORKERS)

    def test_a_queue_that_is_full_takes_no_more(self) -> None:
        """The newest are left, counted, and told in one line now and then."""
        self.remove(MAX_CHECKS + MAX_QUEUE)
        self.assertEqual((self.counts(), self.said()), ((0, 0), []))
        self.remove(1000)
        self.assertEqual((self.counts(), self.said()), ((0, 1000), [(1, "overloaded")]))
        self.clock.advance(LOG_SECONDS / 8)
        self.remove(1)
        self.assertEqual(len(self.said()), 1)
        self.answer()
        self.assertEqual(self.counts(), (MAX_CHECKS + MAX_QUEUE, 1001))
        self.clock.advance(LOG_SECONDS)
        [broken] = self.remove(1)
        broken.answer.errback(UpstreamError(Reason.UPSTREAM_STATUS))
        self.assertEqual(self.said()[1:], [(1001, "upstream_status")])

    def test_removals_that_end_at_once(self) -> None:
        """A long queue of them is no deep recursion."""
        self.remove(USUAL_WORKERS)
        for _ in range(MAX_QUEUE - 1):
            self.sessions.remove(AuthenticatedFlowSession(at_once=True))
        self.answer()
        self.assertEqual(self.counts(), (USUAL_WORKERS + MAX_QUEUE - 1, 0))

    def test_a_stop_waits_for_those_under_way_and_those_that_wait(self) -> None:
        """But not for sessions that nobody has to remove."""
        self.remove(4 * USUAL_WORKERS)
        end = Deferred.fromCoroutine(self.sessions.finished())
        self.assertNoResult(end)
        self.clock.advance(DEADLINE - 1)
        self.answer()
        self.successResultOf(end)
        self.assertEqual((self.counts(), self.said()), ((4 * USUAL_WORKERS, 0), []))
        idle = SessionRemover(FLOW, DEADLINE, self.clock, MAX_CHECKS)
        self.successResultOf(Deferred.fromCoroutine(idle.finished()))

    def test_a_stop_is_over_in_time(self) -> None:
        """However many wait for an Authentik that hangs: they are left, and counted."""
        self.remove(MAX_CHECKS + MAX_QUEUE)
        self.clock.advance(DEADLINE / 2)
        end = Deferred.fromCoroutine(self.sessions.finished())
        self.clock.advance(DEADLINE / 2)
        self.assertNoResult(end)
        self.clock.advance(DEADLINE / 2)
        self.successResultOf(end)
        self.assertEqual(self.counts(), (0, MAX_CHECKS + MAX_QUEUE))
        self.assertEqual(sum(one.asked for one in self.browsers), 2 * MAX_CHECKS)
        self.assertEqual(sum(count for count, _ in self.said()), MAX_CHECKS + MAX_QUEUE)
        self.assertEqual((len(self.said()), self.clock.getDelayedCalls()), (2, []))

    def test_a_session_that_is_not_complete_is_no_concern(self) -> None:
        """It is neither removed nor counted; nor is any, without a flow for it."""
        anonymous = AuthenticatedFlowSession()
        anonymous._authenticated = False
        self.sessions.remove(anonymous)
        without = SessionRemover(None, DEADLINE, self.clock, MAX_CHECKS)
        without.remove(AuthenticatedFlowSession())
        self.assertEqual((self.counts(), without.removed, without.failed), ((0, 0), 0, 0))
        self.assertFalse(anonymous.asked)


class ShortSessionTests(SynchronousTestCase):
    """Sessions that end by themselves."""

    def test_the_end_decides(self) -> None:
        """A session that ends in time is left to; others are removed."""
        sessions = SessionRemover(FLOW, DEADLINE, Clock(), MAX_CHECKS, shortest=300)
        for max_age in (300, 1, 301, None):
            session = AuthenticatedFlowSession(at_once=True, max_age=max_age)
            sessions.remove(session)
            self.assertEqual(session.asked, max_age in (301, None), max_age)
        counts = (sessions.removed, sessions.failed, sessions.left_to_expire)
        self.assertEqual(counts, (2, 0, 2))

    @parametrize(
        {
            "short and auto": ("short-session", "auto", 1),
            "short and always": ("short-session", "always", 0),
            "short and never": ("short-session", "never", 1),
            "long and auto": ("inbuilt-only", "auto", 0),
            "long and never": ("inbuilt-only", "never", 1),
        }
    )
    def test_setting(self, flow: str, removal: str, left: int) -> None:
        """It says which sessions are left, by the duration of the flow's login stage."""
        daemon = InMemoryDaemon(self, FLOW_SLUG=flow, ROPG_SESSION_REMOVAL=removal)
        self.assertEqual(daemon.password("alice").status, 200)
        self.assertEqual(len(daemon.sandbox.sessions.authenticated), left)
        daemon.clock.advance(121)
        if flow == "short-session":
            self.assertEqual(daemon.sandbox.sessions.authenticated, [])


class MetricsTests(SynchronousTestCase):
    """The counts, as an operator reads them."""

    def figures(self, port: int) -> dict[str, float]:
        """The metrics of sessions."""
        text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE).text
        lines = [line.split() for line in text.splitlines() if line.startswith("ropg_sessions")]
        return {name: float(value) for name, value in lines if name.endswith("_total")}

    def test_sessions_that_are_gone_and_that_are_left(self) -> None:
        """Each name tells its own count."""
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        for login, flow, gone, left, expiring in (
            ("inbuilt-only", "default-invalidation-flow", 1, 0, 0),
            ("inbuilt-only", "no-such-flow", 0, 1, 0),
            ("short-session", "default-invalidation-flow", 0, 0, 1),
        ):
            port = free_port()
            with DaemonProcess(
                folder,
                ROPG_ADMIN_LISTEN=f"tcp:{port}:interface=127.0.0.1",
                FLOW_SLUG=login,
                ROPG_INVALIDATION_FLOW=flow,
            ) as daemon:
                form = {"grant_type": "password", "client_id": "jamf-connect", "username": "alice"}
                form["password"] = "correct horse battery staple"
                answer = requests.post(f"{daemon.url}/oauth/token", data=form, timeout=PATIENCE)
                self.assertEqual(answer.status_code, 200)
                end = time.monotonic() + PATIENCE
                while not sum((found := self.figures(port)).values()):
                    self.assertLess(time.monotonic(), end, found)
                expected = {
                    "ropg_sessions_removed_total": gone,
                    "ropg_sessions_left_total": left,
                    "ropg_sessions_left_to_expire_total": expiring,
                }
                self.assertEqual(found, expected)
