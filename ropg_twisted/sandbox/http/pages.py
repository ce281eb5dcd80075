"""The sandbox's own pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from enum import Enum
from html import escape

from ropg_twisted.sandbox.accounts import Account, Accounts
from ropg_twisted.sandbox.flow.devices import totp
from ropg_twisted.sandbox.flow.flows import (
    Binding,
    DeniedAction,
    Flow,
    InvalidResponseAction,
    Requirement,
)
from ropg_twisted.sandbox.flow.ldap_backend import LDAPBackend
from ropg_twisted.sandbox.flow.signals import Authentication
from ropg_twisted.sandbox.http import directory_page
from ropg_twisted.sandbox.http.html import code, page, table
from ropg_twisted.sandbox.oauth2.applications import Application

_LOGIN_FORM = (
    '<form method="post">'
    '<p><label>User name or e-mail<br><input name="uid_field" autofocus></label></p>'
    '<p><label>Password<br><input name="password" type="password"></label></p>'
    '<p><label>Code, if you have a second factor<br><input name="code"></label></p>'
    '<p><button>Log in</button> as one of <a href="/">these people</a></p></form>'
)

_VERSION = '<script>window.authentik = {versionFamily: "2026.5"};</script>'
"""The version of Authentik, as its login page tells it to its scripts."""


def front(
    accounts: Accounts,
    ldap: LDAPBackend,
    authentications: Sequence[Authentication],
    applications: Iterable[Application],
    flows: Iterable[Flow],
    traced: Iterable[tuple[str, str]],
    now: float,
) -> bytes:
    """Return the front page: users with their passwords, directories, applications and flows.

    ``authentications``: the record of all judgements. ``traced``: the last requests that belong to
    a trace, with their ``traceparent``. ``now``: the sandbox's time in seconds, for
    the TOTP codes that are right at the moment.
    """
    people = table(
        ("User name", "E-mail", "Password", "Second factor", "Remark"),
        (_account(account, now) for account in accounts),
    )
    clients = table(
        ("Application", "Client id", "Client secret", "Redirect URIs", "Scopes", "Signed with"),
        (_application(application) for application in applications),
    )
    stages = table(("Flow", "Stages"), (_flow(flow) for flow in flows))
    traces = table(
        ("Request", "traceparent"),
        ((code(request), code(traceparent)) for request, traceparent in traced),
    )
    parts = {
        "People": people,
        "Directories": directory_page.section(accounts, ldap, authentications),
        "Applications": clients,
        "Flows": stages,
        "Traced requests": traces,
    }
    return page("Sandbox", "".join(f"<h2>{head}</h2>{part}" for head, part in parts.items()))


def login(flow: Flow, error_text: str) -> bytes:
    """Return the login page of a flow, with the error of the last attempt."""
    said = f'<p role="alert"><strong>{escape(error_text)}</strong></p>' if error_text else ""
    return page(f"Sandbox: log in with {flow.slug}", said + _LOGIN_FORM + _VERSION)


def refusal(reason: str) -> bytes:
    """Return the page for an invalid authorization request."""
    return page("Sandbox: no authorization", f"<p>{escape(reason)}</p>")


def error(status: int) -> bytes:
    """Return an error page: 404 or 500."""
    words = {404: "Not Found", 500: "Internal Server Error"}[status]
    return page(f"Sandbox: {words}", f"<p>{status} {words}</p>")


def _account(account: Account, now: float) -> tuple[str, ...]:
    """Return a row of the table of users, as HTML."""
    password = code(account.password)
    if account.app_password is not None:
        password += f"<br>app password {code(account.app_password)}"
    factor = ", ".join(code(token) for token in account.static_tokens)
    if account.totp_key is not None:
        factor = f"TOTP, now {code(totp(account.totp_key, now))}"
    remarks = ["" if account.active else "disabled", "password expired" if account.expired else ""]
    if account.directory is not None:
        remarks.append(f"password in the directory {account.directory}")
    remarks += [f"may not use {slug}" for slug in account.refused]
    remark = ", ".join(filter(None, remarks))
    return (code(account.username), escape(account.email), password, factor, escape(remark))


def _application(application: Application) -> tuple[str, ...]:
    """Return a row of the table of applications, as HTML, with a link to the discovery document."""
    document = f"/application/o/{application.slug}/.well-known/openid-configuration"
    return (
        f'<a href="{document}">{escape(application.name)}</a>',
        code(application.client_id),
        "none (public)" if application.public else code(application.secret),
        "<br>".join(code(uri) for uri in application.redirect_uris),
        escape(" ".join(application.scopes)),
        application.algorithm,
    )


def _flow(flow: Flow) -> tuple[str, ...]:
    """Return a row of the table of flows, as HTML: the requirement and the stages."""
    conditions = []
    if flow.policy is not None:
        conditions.append(f"policy: {flow.policy}")
    if flow.requires is not Requirement.NONE:
        conditions.append(f"requires {_words(flow.requires)}")
    if conditions and flow.denied_action is not DeniedAction.MESSAGE_CONTINUE:
        conditions.append(f"denied action {_words(flow.denied_action)}")
    stages = [_binding(binding) for binding in flow.bindings]
    return (code(flow.slug), "<br>".join(map(escape, conditions + stages)))


def _binding(binding: Binding) -> str:
    """Return a stage with the settings of it and its binding that are not the default."""
    values = {field.name: getattr(binding.stage, field.name) for field in fields(binding.stage)}
    usual = {field.name: field.default for field in fields(binding.stage)}
    unusual = [f"{name}={value}" for name, value in values.items() if value != usual[name]]
    text = f"{type(binding.stage).__name__}({', '.join(unusual)})"
    if binding.policy is not None:
        text += f", policy: {binding.policy}"
    if binding.evaluate_on_plan:
        text += ", evaluated on plan"
    if not binding.re_evaluate_policies:
        text += ", not evaluated again"
    if binding.invalid_response_action is not InvalidResponseAction.RETRY:
        text += f", invalid response: {_words(binding.invalid_response_action)}"
    return text


def _words(member: Enum) -> str:
    return member.name.lower().replace("_", " ")
