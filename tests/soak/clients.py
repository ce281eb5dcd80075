"""The clients of a soak: what they ask, in which manner, and what their answers are worth."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar, Final, TypeAlias
from urllib.parse import quote, urlencode

import jwt
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from ropg_twisted.sandbox.accounts import ACCOUNTS, USUAL_PASSWORD, Account
from tests.client import Reply
from tests.daemon import PATIENCE

APPLICATION: Final = "jamf-connect"
"""The application whose policies count, whichever client asks."""

MOST_CHECKS: Final = 200_000
"""After which a run is over in any case."""

SECRET: Final = "soak-secret"
"""In every password that is wrong, and nowhere else."""


def refusal(error: str, description: str) -> bytes:
    """The exact bytes of an error answer."""
    fields = {"error": error, "error_description": description}
    return json.dumps(fields, separators=(",", ":")).encode()


INVALID_GRANT: Final = refusal("invalid_grant", "Invalid username or password")
ACCESS_DENIED: Final = refusal("access_denied", "Access denied")
SECOND_FACTOR: Final = refusal("interaction_required", "Multi-factor authentication required")
LATER: Final = {
    429: refusal("slow_down", "Too many attempts"),
    503: refusal("temporarily_unavailable", "The service is temporarily unavailable"),
}


@dataclass(frozen=True, slots=True)
class Question:
    """A name and a password, and what the sandbox's people say about them.

    ``person``: whose tokens must come, or else ``error``: the body of the refusal.
    """

    username: str
    password: str = field(repr=False)
    person: Account | None = None
    error: bytes = INVALID_GRANT


def about(person: Account, password: str | None = None) -> Question:
    """The question whether a password, by default the right one, is this person's."""
    if password is not None or not person.active:
        return Question(person.username, password or person.password)
    if person.totp_key is not None or person.static_tokens:
        return Question(person.username, person.password, error=SECOND_FACTOR)
    if APPLICATION in person.refused:
        return Question(person.username, person.password, error=ACCESS_DENIED)
    return Question(person.username, person.password, person)


def any_question(chance: Random) -> Question:
    """A right, wrong, stale, unknown or application's password, in one of the ways to write it."""
    person = chance.choice(ACCOUNTS)
    right = about(person)
    kind = chance.choices(("right", "spelling", "wrong", "stale", "unknown"), (6, 2, 2, 2, 1))[0]
    match kind:
        case "spelling":
            name = chance.choice((person.email, person.username.upper()))
            password = person.app_password or person.password
            return Question(name, password, right.person, right.error)
        case "wrong":
            return about(person, f"{SECRET}{chance.randrange(10**9)}")
        case "stale":
            return about(person, f"{SECRET} of last month")
        case "unknown":
            return Question(f"nobody{chance.randrange(40)}", USUAL_PASSWORD)
        case _:
            return right


@dataclass(frozen=True, slots=True)
class Shape:
    """The requests of one kind of client. ``write``: returns the form for a question."""

    client_id: str
    write: Callable[[Question], str]
    headers: str = ""
    discovers: bool = False


def _jamf(question: Question) -> str:
    fields = {
        "grant_type": "password",
        "username": question.username,
        "password": question.password,
        "scope": "openid profile email",
        "client_id": "jamf-connect",
        "redirect_uri": "https://127.0.0.1/jamfconnect",
    }
    return urlencode(fields)


def _xcreds(question: Question) -> str:
    """As XCreds 5.3 writes it: nothing is escaped."""
    return (
        "grant_type=password&scope=openid profile email offline_access"
        f"&username={question.username}&password={question.password}"
        f"&client_id=xcreds&client_secret={CLIENT_SECRET}"
    )


def _confidential(question: Question) -> str:
    fields = {"grant_type": "password", "scope": "openid email"}
    return urlencode(
        {**fields, "username": question.username, "password": question.password}, quote_via=quote
    )


CLIENT_SECRET: Final = "another-soak-secret"
CLIENTS: Final = f"""
[[clients]]
id = "jamf-connect"
[[clients]]
id = "xcreds"
secret = "{CLIENT_SECRET}"
body = "undecoded"
[[clients]]
id = "web"
secret = "{CLIENT_SECRET}"
"""
SHAPES: Final = (
    Shape("jamf-connect", _jamf),
    Shape("xcreds", _xcreds, discovers=True),
    Shape("web", _confidential, "Authorization: Basic d2ViOmFub3RoZXItc29hay1zZWNyZXQ=\r\n"),
)
DISCOVERY: Final = b"GET /.well-known/openid-configuration HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Check:
    """A question as one client asks it."""

    question: Question
    shape: Shape

    @property
    def request(self) -> bytes:
        """Its bytes on the wire."""
        body = self.shape.write(self.question).encode()
        head = (
            f"POST /oauth/token HTTP/1.1\r\nHost: localhost\r\n{self.shape.headers}"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
        )
        return head.encode() + b"\r\n" + body

    def fault_of(self, reply: Reply, keys: jwt.PyJWKSet) -> str | None:
        """The fault of a response, or None. A response that says *later* is never a fault."""
        if reply.body == LATER.get(reply.status):
            return None if "retry-after" in reply.headers else f"{reply.status} without Retry-After"
        person = self.question.person
        if reply.status != 200:
            expected = b"" if person is not None else self.question.error
            if (reply.status, reply.body) == (400, expected):
                return None
            return f"{reply.status} {reply.body[:200]!r}"
        if person is None:
            return "tokens"
        try:
            return None if self._are_tokens_of(person, reply, keys) else "wrong tokens"
        except (jwt.PyJWTError, LookupError, TypeError, ValueError) as error:
            return f"tokens that do not verify: {type(error).__name__}"

    def _are_tokens_of(self, person: Account, reply: Reply, keys: jwt.PyJWKSet) -> bool:
        tokens = reply.json
        names = {"token_type", "access_token", "id_token", "expires_in", "scope"}
        if tokens.keys() != names or tokens["token_type"] != "Bearer":
            return False
        for token in (tokens["id_token"], tokens["access_token"]):
            key = keys[jwt.get_unverified_header(token)["kid"]]
            claims = jwt.decode(token, key, audience=self.shape.client_id)
            if (claims["sub"], claims["email"]) != (person.uid, person.email):
                return False
        return True


class HungUpError(Exception):
    """The daemon has closed a connection on which an answer was due."""


class ClientConnection(Protocol):
    """A client's connection to the daemon. ``used``: it has brought an answer already."""

    transport: Any

    def __init__(self) -> None:
        self.used = False
        self.open = True
        self._data = b""
        self._waiting: deque[Deferred[Reply]] = deque()

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.transport.write(data)

    def answer(self) -> Deferred[Reply]:
        """The next answer. Fails with :exc:`HungUpError`."""
        waiter: Deferred[Reply] = Deferred()
        if self.open:
            self._waiting.append(waiter)
        else:
            waiter.errback(HungUpError())
        return waiter

    def dataReceived(self, data: bytes) -> None:
        """Hand out answers that are there whole."""
        self._data += data
        while self._waiting:
            head, end, rest = self._data.partition(b"\r\n\r\n")
            status, *lines = head.decode("latin-1").split("\r\n")
            pairs = (line.partition(": ") for line in lines)
            headers = {name.lower(): value for name, _, value in pairs}
            length = int(headers.get("content-length", 0))
            if not end or len(rest) < length:
                return
            self._data = rest[length:]
            self.used = True
            if headers.get("connection") == "close":
                self.open = False
            reply = Reply(int(status.split()[1]), headers, rest[:length])
            self._waiting.popleft().callback(reply)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell who waits."""
        self.open = False
        while self._waiting:
            self._waiting.popleft().errback(HungUpError())

    def close(self) -> None:
        """Hang up, in whatever is going on."""
        self._waiting.clear()
        self.transport.abortConnection()


@dataclass(slots=True)
class Tally:
    """The results of all checks. ``later``: when they were asked and answered, and their ids."""

    sent: int = 0
    right: int = 0
    hung_up: int = 0
    asked_again: int = 0
    later: list[tuple[float, float, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


class LoadGenerator:
    """Clients of the daemon at ``port``, and their results.

    ``keys``: what tokens are verified with; to be set before the first check.
    """

    keys: jwt.PyJWKSet

    def __init__(self, reactor: Any, port: int, chance: Random) -> None:
        self.tally = Tally()
        self.goes_on = True
        self.chance = chance
        self._reactor = reactor
        self._endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        self._factory = Factory.forProtocol(ClientConnection)
        self._factory.noisy = False

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await deferLater(self._reactor, seconds)

    async def connect(self) -> ClientConnection:
        """A new connection."""
        line = await self._endpoint.connect(self._factory)
        assert isinstance(line, ClientConnection)
        return line

    async def get(self, request: bytes) -> Reply:
        """The response to a request of one line."""
        line = await self.connect()
        try:
            line.send(request)
            return await line.answer().addTimeout(PATIENCE, self._reactor)
        finally:
            line.close()

    def next_check(self) -> Check:
        """A check as chance will have it."""
        return Check(any_question(self.chance), self.chance.choice(SHAPES))

    async def ask(
        self, check: Check, send: Send, line: ClientConnection | None = None
    ) -> ClientConnection:
        """Ask on a connection, or on a new one, and judge the answer.

        As every HTTP client does, ask again if a connection that was kept turns out to be closed.
        """
        line = line or await self.connect()
        if check.shape.discovers:
            line.send(DISCOVERY)
            with suppress(HungUpError):
                self._look_at_discovery(await line.answer().addTimeout(PATIENCE, self._reactor))
            if not line.open:
                line = await self.connect()
        began = self._reactor.seconds()
        self.tally.sent += 1
        try:
            await send(line, check.request)
            reply = await line.answer().addTimeout(PATIENCE, self._reactor)
        except HungUpError:
            if line.used:
                self.tally.sent -= 1
                self.tally.asked_again += 1
                return await self.ask(check, send)
            self.tally.lost.append(f"{check.question.username} by {check.shape.client_id}: closed")
        except TimeoutError:
            self.tally.lost.append(f"{check.question.username} by {check.shape.client_id}: silence")
            line.close()
        else:
            await self.judge(check, reply, began)
        return line

    async def judge(self, check: Check, reply: Reply, began: float) -> None:
        """Write down what an answer is worth; who is told to come later takes a break."""
        fault = check.fault_of(reply, self.keys)
        if fault is not None:
            self.tally.wrong.append(f"{check.question.username}: {fault}")
        elif reply.status in LATER:
            request = reply.headers["x-request-id"]
            self.tally.later.append((began, self._reactor.seconds(), request))
            await self.sleep(self.chance.uniform(0.2, 0.6))
        else:
            self.tally.right += 1

    def _look_at_discovery(self, reply: Reply) -> None:
        found = reply.status == 200 and "token_endpoint" in reply.json
        if not found and reply.body != LATER.get(reply.status):
            self.tally.wrong.append(f"discovery: {reply.status} {reply.body[:200]!r}")

    @property
    def is_over(self) -> bool:
        """Return whether it is time to stop."""
        return not self.goes_on or self.tally.sent >= MOST_CHECKS

    async def fresh(self) -> None:
        """A new connection for each check."""
        while not self.is_over:
            (await self.ask(self.next_check(), at_once)).close()

    async def keeping(self) -> None:
        """Keep a connection for as long as it lasts."""
        line = None
        while not self.is_over:
            line = await self.ask(self.next_check(), at_once, line)
            await self.sleep(self.chance.choice((0, 0, 0, 0.05, 1.5)))
            line = line if line.open else None
        if line is not None:
            line.close()

    async def trickling(self) -> None:
        """A request in many small pieces."""

        async def trickle(line: ClientConnection, data: bytes) -> None:
            first, _, rest = data.partition(b"\r\n")
            line.send(first + b"\r\n")
            for start in range(0, len(rest), 40):
                await self.sleep(self.chance.uniform(0, 0.1))
                line.send(rest[start : start + 40])

        while not self.is_over:
            (await self.ask(self.next_check(), trickle)).close()

    async def hasty(self) -> None:
        """Hangs up before there can be much of an answer."""
        while not self.is_over:
            check = self.next_check()
            line = await self.connect()
            self.tally.sent += 1
            began = self._reactor.seconds()
            line.send(check.request)
            answer = line.answer().addTimeout(self.chance.uniform(0.01, 0.4), self._reactor)
            try:
                await self.judge(check, await answer, began)
            except TimeoutError:
                self.tally.hung_up += 1
            except HungUpError:
                self.tally.lost.append(f"{check.question.username}: closed on a hasty client")
            line.close()
            await self.sleep(0.2)

    async def pipelining(self) -> None:
        """Three requests at once; those that are not answered before a close are asked again."""
        while not self.is_over:
            line = await self.connect()
            checks = [self.next_check() for _ in range(3)]
            began = self._reactor.seconds()
            line.send(b"".join(check.request for check in checks))
            answers = [line.answer().addTimeout(PATIENCE, self._reactor) for _ in checks]
            for check, answer in zip(checks, answers, strict=True):
                try:
                    reply = await answer
                except (HungUpError, TimeoutError):
                    if line.used:
                        self.tally.asked_again += 1
                        (await self.ask(check, at_once)).close()
                    else:
                        self.tally.lost.append(f"{check.question.username}: closed in a pipeline")
                else:
                    self.tally.sent += 1
                    await self.judge(check, reply, began)
            line.close()

    BEHAVIOURS: ClassVar = (fresh, keeping, trickling, hasty, pipelining)


Send: TypeAlias = Callable[[ClientConnection, bytes], Awaitable[None]]


async def at_once(line: ClientConnection, data: bytes) -> None:
    """Send a request as a whole."""
    line.send(data)
