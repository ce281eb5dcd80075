"""Checks of the login flow and of the outpost token."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from ropg_twisted.authentik.canary import PREFIX, Canary
from ropg_twisted.authentik.challenges import Redirect, read_executor_response, read_json
from ropg_twisted.authentik.components import reason_not_to_start
from ropg_twisted.authentik.evidence import Evidence, FlowEvidence
from ropg_twisted.diagnostics.findings import Finding, State
from ropg_twisted.diagnostics.installation import Installation
from ropg_twisted.diagnostics.texts import failure, from_reason, ok, warning
from ropg_twisted.interfaces import IPasswordVerifier, RequestKind
from ropg_twisted.types import JSONObject
from ropg_twisted.verdict import Reason, UpstreamError

OUTPOST_PREFIX: Final = "ak-outpost-"
"""Prefix of the user names of outposts."""

_ADDRESSES: Final = "authentik.md#client-addresses"
_FLOW: Final = "authentik.md#the-flow"


async def check_outpost_token(installation: Installation) -> AsyncIterator[Finding]:
    """Yield whether Authentik takes the outpost token, and what else the token may do."""
    token = installation.settings.outpost_token
    if token is None:
        text = (
            "ROPG_OUTPOST_TOKEN is not set: unless Authentik trusts this machine as a proxy, all "
            "logins come from one address for it, and failed ones lower the reputation of all."
        )
        yield warning("outpost-token", text, _ADDRESSES)
        return
    try:
        status, user = await _me(installation, token)
    except UpstreamError as error:
        yield from_reason("outpost-token", error.reason)
        return
    if status != 200:
        text = (
            "Authentik does not know ROPG_OUTPOST_TOKEN, or it has expired: copy the token again "
            "(Applications, Outposts, View Deployment Info), and see that it does not expire."
        )
        yield failure("outpost-token", text, _ADDRESSES)
    elif not user.startswith(OUTPOST_PREFIX):
        text = (
            f"ROPG_OUTPOST_TOKEN is a token of {user or 'nobody'}, not of an outpost: Authentik "
            "ignores it, or fails on every request."
        )
        yield failure("outpost-token", text, _ADDRESSES)
    else:
        yield ok("outpost-token", "Authentik takes the token.")
        async for finding in _rights(installation, token):
            yield finding


async def _me(installation: Installation, token: str) -> tuple[int, str]:
    """Return the status of ``users/me/`` with the token, and the user name in it."""
    url = f"{installation.settings.authentik_url}/api/v3/core/users/me/"
    session = installation.session()
    response = await installation.ask(session.get(url, RequestKind.PROBE, f"Bearer {token}"))
    if response.status in (401, 403):
        return response.status, ""
    user = read_json(response).get("user")
    name = user.get("username") if isinstance(user, dict) else None
    return 200, name if isinstance(name, str) else ""


async def _rights(installation: Installation, token: str) -> AsyncIterator[Finding]:
    """Yield a warning if the token can read users, which a proxy outpost's cannot."""
    kinds = set()
    for outpost in _results(await _list(installation, "outposts/instances/", token)):
        kinds.add(outpost.get("type"))
    users = _count(await _list(installation, "core/users/?page_size=1", token))
    if "ldap" in kinds or users:
        seen = f"{users:,} users" if users else "all users"
        text = (
            f"The token can read {seen} through Authentik's API: use the token of an outpost of "
            "type proxy, made for this purpose only."
        )
        yield warning("outpost-rights", text, _ADDRESSES)
    else:
        yield ok("outpost-rights", "The token cannot read users.")


async def _list(installation: Installation, path: str, token: str) -> JSONObject:
    """Return a list of the API, empty if it cannot be read."""
    url = f"{installation.settings.authentik_url}/api/v3/{path}"
    session = installation.session()
    try:
        response = installation.ask(session.get(url, RequestKind.PROBE, f"Bearer {token}"))
        return read_json(await response)
    except UpstreamError:
        return {}


def _results(answer: JSONObject) -> list[JSONObject]:
    results = answer.get("results")
    return [each for each in results if isinstance(each, dict)] if isinstance(results, list) else []


def _count(answer: JSONObject) -> int:
    pagination = answer.get("pagination")
    count = pagination.get("count") if isinstance(pagination, dict) else None
    return count if isinstance(count, int) else 0


async def check_flow(installation: Installation) -> AsyncIterator[Finding]:
    """Yield whether a login can start, and what its first stage means for passwords."""
    flow, session = installation.flow, installation.login_session()
    try:
        response = await installation.ask(session.get(flow.url, RequestKind.PROBE))
        first = read_executor_response(response, flow.url)
    except UpstreamError as error:
        yield from_reason("flow", error.reason)
        return
    if isinstance(first, Redirect):
        yield ok("flow", f"{flow.slug} starts.")
        return
    reason = reason_not_to_start(first)
    if reason is not None:
        lead = f"{flow.slug} begins with {first.component}."
        yield from_reason("flow", reason, lead=lead if first.component.isprintable() else "")
        return
    fields = first.fields.get("user_fields")
    asks = (
        ", ".join(each for each in fields if isinstance(each, str))
        if isinstance(fields, list)
        else ""
    )
    yield ok("flow", f"{flow.slug} asks for the user name ({asks or 'no field is named'}).")
    if first.fields.get("password_fields") is True:
        text = (
            "The flow asks for name and password in one form, which removes spaces around a "
            "password: a right password with a space after it is accepted. Use a password stage "
            "of its own."
        )
        yield warning("flow-form", text, _FLOW)
    async for finding in _brand(installation):
        yield finding


async def _brand(installation: Installation) -> AsyncIterator[Finding]:
    """Yield a warning if people log in to Authentik with the same flow."""
    url = f"{installation.settings.authentik_url}/api/v3/core/brands/current/"
    session = installation.session()
    try:
        brand = read_json(await installation.ask(session.get(url, RequestKind.PROBE)))
    except UpstreamError:
        return
    if brand.get("flow_authentication") == installation.flow.slug:
        text = (
            f"{installation.flow.slug} is also the login page of Authentik: a captcha or passkey "
            "added there stops all password checks. Use a flow of its own, in FLOW_SLUG."
        )
        yield warning("flow-shared", text, _FLOW)


async def check_refusal(
    installation: Installation, verifier: IPasswordVerifier, evidence: FlowEvidence
) -> AsyncIterator[Finding]:
    """Yield how the flow refuses a wrong password.

    ``verifier``: that of the daemon, which gathers ``evidence`` with a canary.
    """
    canary = Canary(verifier, evidence)
    try:
        reason = await installation.ask(canary.prove())
    except UpstreamError as error:
        reason = error.reason
    trace = (
        f"This was a failed login of {PREFIX} and random letters: Authentik's event log has it, "
        "and it counts for the reputation of this address."
    )
    if reason is not None:
        yield from_reason("flow-refusal", reason)
    elif evidence.current is Evidence.IN_PLACE:
        yield ok("flow-refusal", f"The flow refuses a wrong password in place. {trace}")
    else:
        yield from_reason("flow-refusal", Reason.FLOW_UNPROVEN, State.WARNING)
