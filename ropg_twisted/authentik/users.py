"""The user that a session of Authentik belongs to."""

from __future__ import annotations

from ropg_twisted.authentik.challenges import UID, read_json
from ropg_twisted.authentik.client import FlowSession
from ropg_twisted.interfaces import RequestKind, User
from ropg_twisted.verdict import Reason, UpstreamError


async def fetch_user(authentik_url: str, session: FlowSession) -> User:
    """Fetch the user who is logged in with ``session`` from ``core/users/me/``.

    Raises :exc:`UpstreamError` (``upstream_identity``) if Authentik does not say, or names another
    user than the session cookie does: claims are never guessed.
    """
    try:
        url = f"{authentik_url}/api/v3/core/users/me/"
        body = read_json(await session.get(url, RequestKind.USER))
        user = _read_user(body["user"])
    except (UpstreamError, LookupError, TypeError, ValueError):
        raise UpstreamError(Reason.UPSTREAM_IDENTITY) from None
    logged_in = session.cookie.sub
    if logged_in is not None and UID.fullmatch(user.sub) and user.sub != logged_in:
        raise UpstreamError(Reason.UPSTREAM_IDENTITY)
    return user


def _read_user(fields: object) -> User:
    if not isinstance(fields, dict):
        raise TypeError
    sub, username = fields["uid"], fields["username"]
    name, email, groups = fields.get("name"), fields.get("email"), fields.get("groups")
    if not (isinstance(sub, str) and sub and isinstance(username, str) and username):
        raise ValueError
    if not isinstance(groups, list):
        raise ValueError
    return User(
        sub=sub,
        username=username,
        name=name if isinstance(name, str) else "",
        email=email if isinstance(email, str) else "",
        groups=tuple(group["name"] for group in groups if isinstance(group["name"], str)),
    )
