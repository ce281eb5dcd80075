"""The sandbox's own HTML pages. Each says that it is a sandbox."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from html import escape

from ropg_twisted.sandbox.devices import totp
from ropg_twisted.sandbox.flows import FLOWS, Binding, Flow, Policy, Requirement
from ropg_twisted.sandbox.people import PEOPLE, Person

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


def front(now: float) -> bytes:
    """Return the front page: all people with their passwords, and all flows.

    ``now``: the sandbox's time in seconds, for the TOTP codes that are right at the moment.
    """
    people = _table(
        ("User name", "E-mail", "Password", "Second factor", "Remark"),
        (_person(person, now) for person in PEOPLE),
    )
    flows = _table(("Flow", "Stages"), (_flow(flow) for flow in FLOWS.values()))
    return _page("Sandbox", f"<h2>People</h2>{people}<h2>Flows</h2>{flows}")


def no_web_login() -> bytes:
    """Return the page at the place where Authentik would log a browser in."""
    return _page("Sandbox: no web login", "<p>There is no login in a browser here.</p>")


def error(status: int) -> bytes:
    """Return an error page: 404 or 500."""
    words = {404: "Not Found", 500: "Internal Server Error"}[status]
    return _page(f"Sandbox: {words}", f"<p>{status} {words}</p>")


def _page(title: str, body: str) -> bytes:
    head = f'<meta charset="UTF-8"><title>{title}</title><style>{_STYLE}</style>'
    text = f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body><h1>{title}</h1>'
    return f"{text}{_WARNING}{body}</body></html>\n".encode()


def _person(person: Person, now: float) -> tuple[str, ...]:
    """One row of the people's table, as HTML."""
    password = _code(person.password)
    if person.app_password is not None:
        password += f"<br>app password {_code(person.app_password)}"
    factor = ", ".join(_code(token) for token in person.static_tokens)
    if person.totp_key is not None:
        factor = f"TOTP, now {_code(totp(person.totp_key, now))}"
    remarks = ["" if person.active else "disabled", "password expired" if person.expired else ""]
    remarks += [f"may not use {slug}" for slug in person.refused]
    remark = ", ".join(filter(None, remarks))
    return (_code(person.username), escape(person.email), password, factor, escape(remark))


def _flow(flow: Flow) -> tuple[str, ...]:
    """One row of the flows' table, as HTML: who may start it, and its stages."""
    stages = [_binding(binding) for binding in flow.bindings]
    if flow.requires is not Requirement.NONE:
        stages.insert(0, f"requires {flow.requires.name.lower()}")
    if flow.denied is not None:
        stages.insert(0, "lets nobody in")
    return (_code(flow.slug), "<br>".join(map(escape, stages)))


def _binding(binding: Binding) -> str:
    """One stage with what is unusual about it, and the conditions of its binding."""
    values = {field.name: getattr(binding.stage, field.name) for field in fields(binding.stage)}
    usual = {field.name: field.default for field in fields(binding.stage)}
    unusual = [f"{name}={value}" for name, value in values.items() if value != usual[name]]
    text = f"{type(binding.stage).__name__}({', '.join(unusual)})"
    if binding.policy is not Policy.ALWAYS:
        text += f", only with {binding.policy.name.lower().replace('_', ' ')}"
    return f"{text}, restarts" if binding.restarts else text


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of cells that are HTML already."""
    top = "".join(f"<th>{head}</th>" for head in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"
