"""The part of Authentik's API that an outpost's token may read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from klein import Klein
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource

from ropg_twisted.sandbox.accounts import Accounts
from ropg_twisted.sandbox.http.outposts import OUTPOSTS, Outpost
from ropg_twisted.sandbox.http.wire import READ, read_bearer, send_json

VERSION = "2026.5.0-rc1"
"""The version of Authentik that the sandbox imitates."""


class Administration:
    """Version, outposts and users, for outposts only."""

    app: ClassVar[Klein] = Klein()

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    @property
    def resource(self) -> IResource:
        """The resource at each folder of the API that belongs to it."""
        resource: IResource = self.app.resource()
        return resource

    @app.route("/version/", methods=["GET"])
    def version(self, request: IRequest) -> bytes:
        """Return the version of Authentik."""
        answer = {"version_current": VERSION, "build_hash": "", "outdated": False}
        return _for_outposts(request, lambda outpost: answer)

    @app.route("/instances/", methods=["GET"])
    def outposts(self, request: IRequest) -> bytes:
        """List the outpost of the token."""
        return _for_outposts(request, lambda outpost: _listing(1, [outpost.as_json()]))

    def users(self, request: IRequest) -> bytes:
        """List the users that the outpost can see: all for one of type ldap, else none."""

        def seen(outpost: Outpost) -> dict[str, object]:
            names = [each.username for each in self._accounts] if outpost.kind == "ldap" else []
            return _listing(len(names), [{"username": name} for name in names])

        return _for_outposts(request, seen)


def refuse_token(request: IRequest) -> bytes:
    """Answer a request without a token, or with an unknown one."""
    missing = "Authentication credentials were not provided."
    detail = missing if read_bearer(request) is None else "Token invalid/expired"
    return send_json(request, 403, {"detail": detail}, allow=READ)


def _for_outposts(request: IRequest, answer: Callable[[Outpost], dict[str, object]]) -> bytes:
    """Answer the outpost whose token came with the request, and refuse everybody else."""
    outpost = OUTPOSTS.get(read_bearer(request) or "")
    if outpost is None:
        return refuse_token(request)
    return send_json(request, 200, answer(outpost), allow=READ)


def _listing(count: int, results: Iterable[dict[str, object]]) -> dict[str, object]:
    return {"pagination": {"count": count}, "results": list(results)}
