"""A real password check for one user, step by step."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from ropg_twisted.authentik.sessions import SessionRemover
from ropg_twisted.diagnostics.findings import Finding, State
from ropg_twisted.diagnostics.installation import Installation
from ropg_twisted.diagnostics.texts import from_reason, ok, warning
from ropg_twisted.interfaces import (
    CheckResult,
    CheckTrace,
    CodeRequest,
    IPasswordVerifier,
    LoginAttempt,
    RequestKind,
)
from ropg_twisted.oauth.request import split_code
from ropg_twisted.oauth.scopes import DEFAULT_SCOPE, allowed_scope
from ropg_twisted.settings.model import Client, SecondFactor
from ropg_twisted.verdict import Reason, UpstreamError, Verdict

_STEPS: Final = {
    RequestKind.ACCESS: "whether the user may use the application",
    RequestKind.USER: "who the user is",
    RequestKind.TOKENS: "the tokens",
}


@dataclass(frozen=True, slots=True)
class UserPassword:
    """A user name with its password."""

    username: str
    password: str = field(repr=False)


async def check_user(
    installation: Installation,
    user: UserPassword,
    verifier: IPasswordVerifier,
    sessions: SessionRemover,
) -> AsyncIterator[Finding]:
    """Yield the course and the verdict of one check, and whether its session was removed."""
    client = installation.clients[0]
    login = _login(client, user, installation)
    try:
        check = await installation.ask(verifier.verify(login))
    except UpstreamError as error:
        yield from_reason("user", error.reason)
        return
    if check.trace is not None:
        yield ok("user-stages", _course(check.trace))
    yield _verdict(check, client)
    await sessions.finished()
    if sessions.failed:
        text = "Its session could not be removed, and stays in Authentik until it expires."
        yield warning("user-session", text, "authentik.md#sessions")
    elif sessions.removed:
        yield ok("user-session", "Its session was removed from Authentik.")
    elif sessions.left_to_expire:
        yield ok("user-session", "Its session stays in Authentik for a few minutes, and expires.")
    elif check.outcome.verdict is Verdict.VERIFIED:
        text = "Its session stays in Authentik until it expires, as the settings want it."
        yield ok("user-session", text)


def _login(client: Client, user: UserPassword, installation: Installation) -> LoginAttempt:
    """Return the login attempt that the daemon would make for a password grant of ``client``."""
    password, code = user.password, None
    if client.second_factor is SecondFactor.CODE:
        password, code = split_code(user.password)
    tokens = None
    if client.upstream_tokens and client.redirect_uri is not None:
        tokens = CodeRequest(
            client_id=client.id,
            client_secret=client.secret,
            redirect_uri=client.redirect_uri,
            scope=allowed_scope(DEFAULT_SCOPE, client),
        )
    address = installation.authentik.own_address()
    return LoginAttempt(user.username.strip(), password, address, code, tokens)


def _course(trace: CheckTrace) -> str:
    """Return the stages and the requests of a check, in words."""
    stages = ", ".join(trace.stages) or "none"
    kinds = Counter(request.kind for request in trace.requests)
    seconds = sum(request.seconds for request in trace.requests)
    requests = ", ".join(f"{count} {kind.value}" for kind, count in kinds.items())
    return (
        f"Stages: {stages}. {kinds.total()} requests to Authentik ({requests}) in "
        f"{seconds:.1f} seconds."
    )


def _verdict(check: CheckResult, client: Client) -> Finding:
    reason = check.outcome.reason
    match check.outcome.verdict:
        case Verdict.VERIFIED if check.user is not None:
            groups = ", ".join(check.user.groups) or "none"
            text = f"The password is right: {check.user.username}, groups {groups}."
            return ok("user", text)
        case Verdict.INTERACTION_REQUIRED:
            if reason is Reason.MFA and client.second_factor is SecondFactor.TOKENS:
                return ok("user", "The password is right, and enough, because of ROPG_MFA=tokens.")
            return from_reason("user", reason, State.WARNING, _stopped(check))
        case Verdict.REJECTED:
            lead = "Authentik wrote a failed login, which counts for the user's reputation."
            return from_reason("user", reason, lead=lead)
        case _:
            return from_reason("user", reason, lead=_stopped(check))


def _stopped(check: CheckResult) -> str:
    """Return where a check stopped, in words."""
    if check.trace is None:
        return ""
    kind = _refused_request(check.outcome.reason, check.trace)
    if kind is not None:
        return f"It stopped when Authentik was asked for {_STEPS[kind]}."
    return f"It stopped at {check.trace.stages[-1]}." if check.trace.stages else ""


def _refused_request(reason: Reason, trace: CheckTrace) -> RequestKind | None:
    """Return which request after the login led to the outcome, ``None`` if the flow did.

    Authentik is asked for access and user at the same time, so the last request need not be it.
    """
    asked = [request for request in trace.requests if request.kind in _STEPS]
    if reason is Reason.POLICY and asked:
        return RequestKind.ACCESS
    if reason is Reason.UPSTREAM_IDENTITY:
        return RequestKind.USER
    return next((each.kind for each in asked if each.status not in (200, 302)), None)
