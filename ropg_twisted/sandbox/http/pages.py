"""The sandbox's own HTML pages. Each says that it is a sandbox."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from enum import Enum
from html import escape

from ropg_twisted.sandbox.accounts import ACCOUNTS, Account
from ropg_twisted.sandbox.flow.devices import totp
from ropg_twisted.sandbox.flow.flows import (
    Binding,
    DeniedAction,
    Flow,
    InvalidResponseAction,
    Requirement,
)
from ropg_twisted.sandbox.oauth2.applications import APPLICATIONS, Application

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em}"
    ".warning{background:#b00020;color:#fff;padding:.6em 1em}"
    "table{border-collapse:collapse;width:100%}td,th{border:1px solid #ccc;padding:.3em .6em;"
    "text-align:left;vertical-align:top}code{white-space:pre-wrap;background:#eee}"
)
_WARNING = (
    '<p class="warning"><strong>This is a sandbox, not Authentik.</strong> Its passwords are '
    "public. Never type a real one here.</p>"
)
_LOGIN_FORM = (
    '<form method="post">'
    '<p><label>User name or e-mail<br><input name="uid_field" autofocus></label></p>'
    '<p><label>Password<br><input name="password" type="password"></label></p>'
    '<p><label>Code, if you have a second factor<br><input name="code"></label></p>'
    '<p><button>Log in</button> as one of <a href="/">these people</a></p></form>'
)


def front(flows: Iterable[Flow], now: float) -> bytes:
    """Return the front page: all users with their passwords, all applications and these flows.

    ``now``: the sandbox's time in seconds, for the TOTP codes that are right at the moment.
    """
    accounts = _table(
        ("User name", "E-mail", "Password", "Second factor", "Remark"),
        (_account(account, now) for account in ACCOUNTS),
    )
    applications = _table(
        ("Application", "Client id", "Client secret", "Redirect URIs", "Scopes", "Signed with"),
        (_application(application) for application in APPLICATIONS.values()),
    )
    stages = _table(("Flow", "Stages"), (_flow(flow) for flow in flows))
    parts = {"People": accounts, "Applications": applications, "Flows": stages}
    return _page("Sandbox", "".join(f"<h2>{head}</h2>{part}" for head, part in parts.items()))


def login(flow: Flow, error_text: str) -> bytes:
    """Return the login page of a flow, with the error of the last attempt."""
    said = f'<p role="alert"><strong>{escape(error_text)}</strong></p>' if error_text else ""
    return _page(f"Sandbox: log in with {flow.slug}", said + _LOGIN_FORM)


def refusal(reason: str) -> bytes:
    """Return the page for an invalid authorization request."""
    return _page("Sandbox: no authorization", f"<p>{escape(reason)}</p>")


def error(status: int) -> bytes:
    """Return an error page: 404 or 500."""
    words = {404: "Not Found", 500: "Internal Server Error"}[status]
    return _page(f"Sandbox: {words}", f"<p>{status} {words}</p>")


def _page(title: str, body: str) -> bytes:
    head = f'<meta charset="UTF-8"><title>{title}</title><style>{_STYLE}</style>'
    text = f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body><h1>{title}</h1>'
    return f"{text}{_WARNING}{body}</body></html>\n".encode()


def _account(account: Account, now: float) -> tuple[str, ...]:
    """Return a row of the table of users, as HTML."""
    password = _code(account.password)
    if account.app_password is not None:
        password += f"<br>app password {_code(account.app_password)}"
    factor = ", ".join(_code(token) for token in account.static_tokens)
    if account.totp_key is not None:
        factor = f"TOTP, now {_code(totp(account.totp_key, now))}"
    remarks = ["" if account.active else "disabled", "password expired" if account.expired else ""]
    remarks += [f"may not use {slug}" for slug in account.refused]
    remark = ", ".join(filter(None, remarks))
    return (_code(account.username), escape(account.email), password, factor, escape(remark))


def _application(application: Application) -> tuple[str, ...]:
    """Return a row of the table of applications, as HTML, with a link to the discovery document."""
    document = f"/application/o/{application.slug}/.well-known/openid-configuration"
    return (
        f'<a href="{document}">{escape(application.name)}</a>',
        _code(application.client_id),
        "none (public)" if application.public else _code(application.secret),
        "<br>".join(_code(uri) for uri in application.redirect_uris),
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
    return (_code(flow.slug), "<br>".join(map(escape, conditions + stages)))


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


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table. Its cells are HTML."""
    top = "".join(f"<th>{head}</th>" for head in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"
