"""The forms that switch directories, their users and their sources.

Each field may also be sent alone, by ``curl`` for example: the others stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum
from html import escape
from typing import ClassVar, TypeVar

from klein import Klein
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource
from werkzeug.exceptions import HTTPException, NotFound

from ropg_twisted.sandbox.accounts import Accounts
from ropg_twisted.sandbox.directory import DirectoryState, EntryState
from ropg_twisted.sandbox.flow.ldap_backend import LDAPBackend
from ropg_twisted.sandbox.http import pages
from ropg_twisted.sandbox.http.directory_page import LARGEST_NUMBER
from ropg_twisted.sandbox.http.html import page
from ropg_twisted.sandbox.http.wire import read_form, send_html, send_see_other

T = TypeVar("T")
E = TypeVar("E", bound=Enum)
N = TypeVar("N", int, float)


class FieldError(Exception):
    """A field of a form has a value that it cannot have. Its text names the field."""


class DirectoryForms:
    """Everything below ``/sandbox/``."""

    app: ClassVar[Klein] = Klein()

    def __init__(self, accounts: Accounts, ldap: LDAPBackend) -> None:
        self._accounts = accounts
        self._ldap = ldap

    @property
    def resource(self) -> IResource:
        """Resource that is served at ``/sandbox/``."""
        resource: IResource = self.app.resource()
        return resource

    @app.route("/directories/<slug>/", methods=["POST"])
    def change_directory(self, request: IRequest, slug: str) -> bytes:
        """Change a directory: all fields that are sent, or none if one is not understood."""
        directory, form = _found(self._ldap.directories, slug), read_form(request)
        state = _state(form, DirectoryState, directory.state)
        slow_seconds = _number(form, "slow_seconds", float, directory.slow_seconds)
        hung_seconds = _number(form, "hung_seconds", float, directory.hung_seconds)
        threshold = _number(form, "lockout_threshold", int, directory.lockout_threshold)
        directory.state, directory.lockout_threshold = state, threshold
        directory.slow_seconds, directory.hung_seconds = slow_seconds, hung_seconds
        return send_see_other(request, f"/#directory-{slug}")

    @app.route("/directories/<slug>/users/<username>/", methods=["POST"])
    def change_user(self, request: IRequest, slug: str, username: str) -> bytes:
        """Change the state of a user in the directory, and whether Authentik has disabled them."""
        entry = _found(_found(self._ldap.directories, slug).entries, username)
        form = read_form(request)
        state = _state(form, EntryState, entry.state)
        active = _switch(form, "active")
        entry.set_state(state)
        if active is not None:
            self._accounts.set_active(username, active)
        return send_see_other(request, f"/#directory-{slug}")

    @app.route("/sources/<slug>/", methods=["POST"])
    def change_source(self, request: IRequest, slug: str) -> bytes:
        """Enable or disable a source."""
        source = _found(self._ldap.sources, slug)
        enabled = _switch(read_form(request), "enabled")
        if enabled is not None:
            source.enabled = enabled
        return send_see_other(request, "/#sources")

    @app.handle_errors(FieldError)
    def explain(self, request: IRequest, failure: Failure) -> bytes:
        """Answer a form with a field that is not understood."""
        text = f"<p>{escape(failure.getErrorMessage())}</p>"
        return send_html(request, 400, page("Sandbox: nothing was changed", text))

    @app.handle_errors(HTTPException)
    def refuse(self, request: IRequest, failure: Failure) -> bytes:
        """Answer that there is no such form."""
        return send_html(request, 404, pages.error(404))


def _found(known: Mapping[str, T], name: str) -> T:
    """Return what has this name. Raises ``NotFound``."""
    if name not in known:
        raise NotFound
    return known[name]


def _state(form: Mapping[str, str], kind: type[E], unset: E) -> E:
    """Return the field ``state``, or ``unset`` where it was not sent."""
    return _choice(form, "state", {state.value: state for state in kind}, unset)


def _switch(form: Mapping[str, str], name: str) -> bool | None:
    """Return a field that is ``on`` or ``off``, or None where it was not sent."""
    return _choice(form, name, {"on": True, "off": False}, None)


def _choice(form: Mapping[str, str], name: str, choices: Mapping[str, T], unset: T) -> T:
    if name not in form:
        return unset
    if form[name] not in choices:
        raise FieldError(f"{name} is one of: {', '.join(choices)}")
    return choices[form[name]]


def _number(form: Mapping[str, str], name: str, kind: Callable[[str], N], unset: N) -> N:
    if name not in form:
        return unset
    with suppress(ValueError):
        number = kind(form[name])
        if 0 <= number <= LARGEST_NUMBER:
            return number
    raise FieldError(f"{name} is a number from 0 to {LARGEST_NUMBER}")
