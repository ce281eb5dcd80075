"""``python -m tests.soak``: the real daemon under load, with an Authentik that keeps failing.

The sandbox and a proxy that injects faults run in this process, the daemon in one of its own,
behind a listening socket that it inherits. Clients of all behaviours ask about all people; every
answer is right, says that there will be one later, or is WRONG. Faults come by a seeded schedule,
and a quarter of the time on, the daemon is restarted under load. At the end there is a rush: many
more checks than a healthy but slow Authentik can take. Then a fleet of Macs lives through an outage
of their directory. The exit status is 1 if anything is wrong, lost or left. It needs ``/proc``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

import jwt
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
)
from twisted.python.failure import Failure

from ropg_twisted.guard.concurrency import QUEUE_FACTOR
from ropg_twisted.guard.plausibility import MIN_ALLOWANCE
from ropg_twisted.guard.rejected_passwords import SHORT_LIFETIME
from ropg_twisted.sandbox.accounts import ACCOUNTS
from ropg_twisted.sandbox.directory import DirectoryState
from ropg_twisted.sandbox.flow.sessions import LIFETIME
from ropg_twisted.sandbox.http.app import Sandbox, sandbox_site
from ropg_twisted.telemetry.log import LineObserver, text_line
from ropg_twisted.verdict import Reason
from tests.daemon import PATIENCE, TWISTD
from tests.soak.clients import (
    APPLICATION,
    CLIENT_SECRET,
    CLIENTS,
    SECRET,
    SHAPES,
    Check,
    LoadGenerator,
    Tally,
    about,
    at_once,
)
from tests.soak.fleet import DIRECTORY, FLEET, Fleet, told_wrong
from tests.soak.proxy import Fault, Proxy

DEADLINE: Final = 3
"""Seconds for one check."""

BREAKER: Final = 5
"""Seconds for which the daemon leaves an Authentik alone that is down."""

FINE: Final = 5
FOUL: Final = 2
"""Seconds without and with faults, in turn."""

RUSH_CHECKS: Final = 4
"""Checks at a time in the rush."""

RUSH_DEADLINE: Final = 10
"""Seconds for one check in the rush, of which it may wait the half."""

RUSH_SLOWNESS: Final = 0.05
"""Seconds, at most, that Authentik takes for each answer in the rush."""

IDLE: Final = 45
"""Seconds after which no connection is kept for later any more."""

EXPECTED_ERRORS: Final = ("Authentik is down", "Authentik refuses passwords", "not ready")
"""Errors in its log that the faults cause."""

MOST_LAG: Final = 0.5
"""Seconds by which this process may be late before it takes the blame for late answers."""


class SpawnedDaemon(ProcessProtocol):
    """``twistd -n ropg``, which inherits ``listener`` as systemd would hand it over.

    ``log``: what it has logged, an object a line. ``noise``: lines that are none.
    """

    transport: Any

    def __init__(
        self,
        reactor: Any,
        folder: Path,
        listener: socket.socket,
        authentik: int,
        settings: Mapping[str, str],
    ) -> None:
        self.log: list[dict[str, Any]] = []
        self.noise: list[str] = []
        self.listening: Deferred[None] = Deferred()
        self.ended: Deferred[int] = Deferred()
        self._rest = b""
        self._listener = f"socket:[{os.fstat(listener.fileno()).st_ino}]"
        config = folder / "ropg.toml"
        config.write_text(CLIENTS)
        port = listener.getsockname()[1]
        environ = {k: v for k, v in os.environ.items() if not k.startswith("ROPG_")} | {
            "AUTHENTIK_URL": f"http://127.0.0.1:{authentik}",
            "PROXY_ISSUER": f"http://localhost:{port}",
            "ROPG_APP_SLUG": APPLICATION,
            "ROPG_CONFIG": str(config),
            "ROPG_DEADLINE": str(DEADLINE),
            "ROPG_LIMITS": "off",
            "ROPG_LISTEN": "systemd:domain=INET:name=front",
            "ROPG_LOG": "json",
            "ROPG_SIGNING_ALG": "ES256",
            "ROPG_STATE_DIR": str(folder / "state"),
            "LISTEN_FDS": "1",
            "LISTEN_FDNAMES": "front",
            **settings,
        }
        twistd = (str(TWISTD), "-n", "--pidfile=", "ropg")
        reactor.spawnProcess(
            self,
            "/bin/sh",
            ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *twistd],
            env=environ,
            path=str(folder),
            childFDs={0: "w", 1: "r", 2: "r", 3: listener.fileno()},
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        pid: int = self.transport.pid
        return pid

    @property
    def descriptors(self) -> Counter[str]:
        """Descriptors by their kind; the socket that it inherited is a ``listener``."""
        folder = f"/proc/{self.pid}/fd"
        kinds: Counter[str] = Counter()
        for name in os.listdir(folder):
            with suppress(FileNotFoundError):
                target = os.readlink(f"{folder}/{name}")
                kinds["listener" if target == self._listener else target.partition(":")[0]] += 1
        return kinds

    @property
    def memory(self) -> float:
        """Resident memory, in MiB."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def outReceived(self, data: bytes) -> None:
        """Read the log line by line."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                self.noise.append(line.decode(errors="replace"))
                continue
            self.log.append(event)
            if event["message"].startswith("listening at") and not self.listening.called:
                self.listening.callback(None)

    def errReceived(self, data: bytes) -> None:
        """Nothing is said but by the log."""
        self.noise.append(data.decode(errors="replace"))

    def processEnded(self, reason: Failure) -> None:
        """Tell who waits for it."""
        if not self.listening.called:
            self.listening.errback(AssertionError("\n".join(["it has ended", *self.noise])))
        status = getattr(reason.value, "exitCode", None)
        self.ended.callback(-1 if status is None else status)

    def signal(self, name: str) -> None:
        """Send a signal, if it still runs."""
        if not self.ended.called:
            self.transport.signalProcess(name)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the report. ``broken``: it says something that must not be."""

    label: str
    value: object
    broken: bool = False


class Soak:
    """A run. ``trouble``: where errors of this process itself are logged."""

    def __init__(self, reactor: Any, seconds: float, clients: int, chance: Random) -> None:
        self.trouble = StringIO()
        self._reactor = reactor
        self._seconds = seconds
        self._clients = clients
        self._chance = chance
        self._daemons: list[SpawnedDaemon] = []
        self._sandbox = Sandbox(reactor, accounts=FLEET)
        port = reactor.listenTCP(0, sandbox_site(self._sandbox), interface="127.0.0.1")
        self._proxy = Proxy(reactor, port.getHost().port, DEADLINE, chance)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._load = LoadGenerator(reactor, self._listener.getsockname()[1], chance)
        self._rounds: list[str] = []
        self._last_beat = reactor.seconds()

    async def run(self, folder: Path) -> list[Row]:
        """Everything, from the first start to the last line of the report."""
        LoopingCall(self._beat).start(0.1)
        LoopingCall(self._forget_visitors).start(5)
        try:
            return await self._run(folder)
        finally:
            for daemon in self._daemons:
                daemon.signal("KILL")

    async def _run(self, folder: Path) -> list[Row]:
        first = await self._start(folder)
        keys = await self._load.get(b"GET /.well-known/jwks.json HTTP/1.1\r\n\r\n")
        self._load.keys = jwt.PyJWKSet.from_dict(keys.json)
        before = first.descriptors
        before.pop("socket", None)  # It looks at Authentik as it starts.
        await self._ask_everybody("first")

        behaviours = self._load.BEHAVIOURS
        begun = self._reactor.seconds()
        clients = [
            Deferred.fromCoroutine(behaviours[number % len(behaviours)](self._load))
            for number in range(self._clients)
        ]
        weather = Deferred.fromCoroutine(self._weather())
        await self._sleep_until(begun + self._seconds / 4)
        first.signal("TERM")
        statuses = [await first.ended.addTimeout(PATIENCE, self._reactor)]
        daemon = await self._start(folder)
        restart = self._reactor.seconds() - begun - self._seconds / 4
        await self._sleep_until(begun + self._seconds / 3)
        memory = daemon.memory
        await self._sleep_until(begun + self._seconds)
        self._load.goes_on = False
        weather.cancel()
        with suppress(CancelledError):
            await weather
        self._proxy.end()
        await gatherResults(clients, consumeErrors=True)
        growth = daemon.memory - memory

        await self._recovery()
        await self._ask_everybody("last")
        await self._until(lambda: not daemon.descriptors - before, IDLE)
        leaked = daemon.descriptors - before
        daemon.signal("TERM")
        statuses.append(await daemon.ended.addTimeout(PATIENCE, self._reactor))
        rush = await self._rush(folder)
        self._daemons[-1].signal("TERM")
        statuses.append(await self._daemons[-1].ended.addTimeout(PATIENCE, self._reactor))
        outage = await self._directory_outage(folder)
        self._daemons[-1].signal("TERM")
        statuses.append(await self._daemons[-1].ended.addTimeout(PATIENCE, self._reactor))
        await self._proxy.stop()
        return [
            *self._answers(),
            *rush,
            *outage,
            Row("rounds of everybody", "; ".join(self._rounds) or "all right", bool(self._rounds)),
            Row("seconds that the restart took", f"{restart:.1f}"),
            Row("exit statuses", statuses, any(statuses)),
            Row("descriptors before the load", _counted(before)),
            Row("descriptors leaked", _counted(leaked), bool(leaked)),
            Row("memory at a third, MiB", f"{memory:.1f}"),
            Row("memory gained since, MiB", f"{growth:+.1f}"),
            *self._sessions(),
            *self._logs(),
        ]

    async def _start(self, folder: Path, **settings: str) -> SpawnedDaemon:
        daemon = SpawnedDaemon(self._reactor, folder, self._listener, self._proxy.port, settings)
        self._daemons.append(daemon)
        await daemon.listening.addTimeout(PATIENCE, self._reactor)
        return daemon

    async def _weather(self) -> None:
        """Every fault in turn, for few or all requests, with honest times between."""
        while True:
            for fault in self._chance.sample(list(Fault), len(Fault)):
                await self._load.sleep(FINE)
                await self._proxy.begin(fault, self._chance.choice((0.1, 0.3, 1)))
                await self._load.sleep(FOUL)
                self._proxy.end()

    async def _recovery(self) -> None:
        """With all faults off, the daemon is ready, and finds out that Authentik is.

        A probe that is still under way may have met the last fault.
        """
        ready = await self._load.get(b"GET /ready HTTP/1.1\r\n\r\n")
        if (ready.status, ready.json) != (200, {"status": "ready"}):
            self._rounds.append(f"not ready: {ready.body!r}")
        await self._load.sleep(DEADLINE + BREAKER + 1)

    async def _ask_everybody(self, name: str) -> None:
        """Everybody's right password and a wrong one: with no fault, every answer is right."""
        right = self._load.tally.right
        questions = [
            question
            for person in ACCOUNTS
            for question in (about(person), about(person, f"{SECRET} {name} round"))
        ]
        for number, question in enumerate(questions):
            check = Check(question, SHAPES[number % len(SHAPES)])
            (await self._load.ask(check, at_once)).close()
        missing = len(questions) - (self._load.tally.right - right)
        if missing:
            self._rounds.append(f"{missing} not right in the {name}")

    async def _rush(self, folder: Path) -> list[Row]:
        """Twice as many clients as there is room for, who ask again and again; then a burst."""
        settings = {"ROPG_MAX_CHECKS": str(RUSH_CHECKS), "ROPG_DEADLINE": str(RUSH_DEADLINE)}
        daemon = await self._start(folder, **settings)
        self._proxy.slowness = RUSH_SLOWNESS
        rush = self._new_load()
        number = 2 * (1 + QUEUE_FACTOR) * RUSH_CHECKS
        clients = [Deferred.fromCoroutine(rush.fresh()) for _ in range(number)]
        await rush.sleep(self._seconds / 4)
        rush.goes_on = False
        await gatherResults(clients, consumeErrors=True)
        burst = self._new_load()
        questions = [about(person) for person in ACCOUNTS[:RUSH_CHECKS]]
        checks = [burst.ask(Check(question, SHAPES[0]), at_once) for question in questions]
        for line in await gatherResults(map(Deferred.fromCoroutine, checks), consumeErrors=True):
            line.close()
        self._proxy.slowness = 0
        reasons = Counter(event["reason"] for event in daemon.log if "verdict" in event)
        opened = sum("breaker open" in event["message"] for event in daemon.log)
        tally, late = rush.tally, reasons[Reason.UPSTREAM_TIMEOUT]
        unanswered = len(tally.lost) + _missing(tally)
        return [
            Row("rush: checks sent", tally.sent),
            Row("rush: answered right", tally.right, tally.right == 0),
            Row("rush: answered later", len(tally.later), not tally.later),
            Row("rush: WRONG", _some(tally.wrong), bool(tally.wrong)),
            Row("rush: unanswered", unanswered, unanswered > 0),
            Row("rush: late at a healthy Authentik", late, late > 0),
            Row("rush: circuit breaker opened", opened, opened > 0),
            Row("rush: places free afterwards", burst.tally.right, burst.tally.right < RUSH_CHECKS),
        ]

    async def _directory_outage(self, folder: Path) -> list[Row]:
        """Each Mac of a fleet asks again and again, before, during and after an outage."""
        daemon = await self._start(folder, ROPG_DEADLINE=str(RUSH_DEADLINE))
        fleet = Fleet(self._reactor, f"http://127.0.0.1:{self._listener.getsockname()[1]}")
        directory = self._sandbox.directories[DIRECTORY]
        await fleet.run(lambda username, status, checks: status != 200)
        directory.state = DirectoryState.DOWN
        end = self._reactor.seconds() + self._seconds / 4
        during = await fleet.run(lambda username, status, checks: self._reactor.seconds() < end)
        directory.state = DirectoryState.UP
        back = self._reactor.seconds()
        after = await fleet.run(lambda username, status, checks: status != 200)
        recovery = self._reactor.seconds() - back
        await fleet.close()
        told = told_wrong(during) | told_wrong(after)
        ended = sum("plausible again" in event["message"] for event in daemon.log)
        return [
            Row("outage of a directory: checks", _checks(daemon)),
            Row("outage of a directory: falsely WRONG", len(told), len(told) > MIN_ALLOWANCE),
            Row(
                "outage of a directory: seconds until all are back",
                f"{recovery:.1f}",
                recovery > SHORT_LIFETIME + RUSH_DEADLINE,
            ),
            Row("outage of a directory: refusals believed again", ended, ended != 1),
        ]

    def _new_load(self) -> LoadGenerator:
        load = LoadGenerator(self._reactor, self._listener.getsockname()[1], self._chance)
        load.keys = self._load.keys
        return load

    async def _sleep_until(self, moment: float) -> None:
        await self._load.sleep(max(0, moment - self._reactor.seconds()))

    async def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        end = self._reactor.seconds() + seconds
        while not condition() and self._reactor.seconds() < end:
            await self._load.sleep(0.5)

    def _beat(self) -> None:
        """A moment in which this process was late is as good as a fault of Authentik."""
        now = self._reactor.seconds()
        if now - self._last_beat > MOST_LAG:
            self._proxy.foul.append((self._last_beat, now, None))
        self._last_beat = now

    def _forget_visitors(self) -> None:
        """Rows that nobody is logged in with would only make the sandbox slow."""
        for row in self._sandbox.sessions.anonymous:
            if row.expires - LIFETIME < self._reactor.seconds() - 10 * DEADLINE:
                self._sandbox.sessions.end(row)

    # The report.

    def _answers(self) -> list[Row]:
        tally = self._load.tally
        reasons = {
            event["request"]: event["reason"]
            for daemon in self._daemons
            for event in daemon.log
            if "reason" in event and "request" in event
        }
        later = Counter(reasons.get(request, "not logged") for _, _, request in tally.later)
        unexplained = [
            f"{reasons.get(request)} after {end - began:.1f} s"
            for began, end, request in tally.later
            if not self._is_explained(began, end, reasons.get(request))
        ]
        lags = sum(fault is None for _, _, fault in self._proxy.foul)
        return [
            Row("requests that met a fault", _counted(self._proxy.counts)),
            Row("moments in which this process was late", lags),
            Row("checks sent", tally.sent),
            Row("answered right", tally.right),
            Row("answered later", f"{len(tally.later)}: {_counted(later)}"),
            Row("later without a fault near", _some(unexplained), bool(unexplained)),
            Row("given up by their client", tally.hung_up),
            Row("asked again on a new connection", tally.asked_again),
            Row("WRONG", _some(tally.wrong), bool(tally.wrong)),
            Row("lost", _some(tally.lost), bool(tally.lost)),
            Row("not accounted for", _missing(tally), bool(_missing(tally))),
        ]

    def _is_explained(self, began: float, end: float, reason: str | None) -> bool:
        """Return whether there was a fault while a check went on, or shortly before.

        A check may join one that has begun earlier, and an open breaker outlasts what opened it.
        """
        tail = 2 * DEADLINE + BREAKER if reason == Reason.BREAKER_OPEN else DEADLINE
        return any(start <= end and began - tail <= stop for start, stop, _ in self._proxy.foul)

    def _sessions(self) -> list[Row]:
        """Sessions left by logins; a login was given up if its session was never used later."""
        rows = self._sandbox.sessions.authenticated
        left = [row for row in rows if not self._proxy.excuses(row)]
        given_up = sum(row.sid not in self._proxy.known for row in left)
        return [
            Row("sessions left because of a fault", len(rows) - len(left)),
            Row("sessions left by logins that were given up", given_up, given_up > 0),
            Row("sessions left without a reason", len(left) - given_up, len(left) > given_up),
        ]

    def _logs(self) -> list[Row]:
        events = [event for daemon in self._daemons for event in daemon.log]
        errors = [
            event["message"]
            for event in events
            if event["level"] in ("error", "critical")
            and not event["message"].startswith(EXPECTED_ERRORS)
        ]
        noise = [line for daemon in self._daemons for line in daemon.noise]
        text = "\n".join([*map(json.dumps, events), *noise])
        trouble = self.trouble.getvalue().splitlines()
        typed = {SECRET, CLIENT_SECRET, *(person.password for person in (*ACCOUNTS, *FLEET))}
        shown = sum(json.dumps(secret)[1:-1] in text or secret in text for secret in typed)
        return [
            Row("errors in its log", _some(errors), bool(errors)),
            Row("lines that are no log", _some(noise), bool(noise)),
            Row("secrets in its log", shown, shown > 0),
            Row("errors of this process", _some(trouble), bool(trouble)),
        ]


def _checks(daemon: SpawnedDaemon) -> str:
    """Return the number of checks of a daemon by their reasons."""
    return _counted(Counter(event["reason"] for event in daemon.log if "verdict" in event))


def _counted(counts: Counter[Any]) -> str:
    return ", ".join(f"{key} {count}" for key, count in counts.most_common()) or "none"


def _some(lines: list[str]) -> object:
    return "\n    ".join([str(len(lines)), *lines[:10]]) if lines else 0


def _missing(tally: Tally) -> int:
    known = tally.right + len(tally.later) + tally.hung_up + len(tally.wrong) + len(tally.lost)
    return tally.sent - known


async def main(reactor: Any, *arguments: str) -> None:
    """Run, print the report, and leave with the status 1 if anything is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of load")
    parser.add_argument("--clients", type=int, default=24, help="at a time")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    options = parser.parse_args(arguments)
    head = f"soak of {options.seconds:g} s with {options.clients} clients, seed {options.seed}"
    print(head, flush=True)
    soak = Soak(reactor, options.seconds, options.clients, Random(options.seed))
    lines = LineObserver(soak.trouble, text_line)
    errors = FilteringLogObserver(lines, [LogLevelFilterPredicate(LogLevel.error)])
    globalLogBeginner.beginLoggingTo([errors], redirectStandardIO=False)
    with TemporaryDirectory() as folder:
        rows = await soak.run(Path(folder))
    for row in rows:
        print(f"{row.label:<42} {row.value}{'   <-- BROKEN' if row.broken else ''}")
    raise SystemExit(any(row.broken for row in rows))
