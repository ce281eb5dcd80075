"""HTML of the sandbox's own pages. Each says that it is a sandbox."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

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


def page(title: str, body: str) -> bytes:
    """Return a page whose body is HTML already."""
    head = f'<meta charset="UTF-8"><title>{title}</title><style>{_STYLE}</style>'
    text = f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body><h1>{title}</h1>'
    return f"{text}{_WARNING}{body}</body></html>\n".encode()


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table of cells that are HTML already."""
    top = "".join(f'<th scope="col">{head}</th>' for head in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def code(text: str) -> str:
    """Return a text in the type of code."""
    return f"<code>{escape(text)}</code>"
