"""A token request, parsed once and strictly (RFC 6749 sections 3.2 and 4.3.2). No I/O."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from unicodedata import category
from urllib.parse import parse_qsl, unquote_plus

from ropg_twisted.errors import InvalidRequestError

MAX_FIELDS: Final = 32
"""Parameters of one request; clients send fewer than ten."""

CONTROL: Final = frozenset(("Cc", "Cs", "Zl", "Zp"))
"""Unicode categories of characters that no user name holds."""

MAX_USERNAME: Final = 254
"""Characters; the longest that Authentik stores is an e-mail address."""

Form: TypeAlias = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """How a client names itself, by the form or by HTTP Basic (RFC 6749 section 2.3.1)."""

    id: str
    secrets: tuple[str, ...] = field(repr=False)
    """The ways to read the secret; empty if there is none."""
    basic: bool = False


@dataclass(frozen=True, slots=True)
class PasswordGrant:
    """A password grant.

    ``username``: without spaces around it. ``scope``: its words; empty if the client asked for
    none.
    """

    username: str
    password: str = field(repr=False)
    scope: tuple[str, ...]
    nonce: str | None


def check_form(content_type: str | None, query: bytes) -> None:
    """Raise :exc:`InvalidRequestError` for what is no form, and for parameters in the URL.

    There, logs would keep them.
    """
    content_type = content_type or ""
    media_type = content_type.partition(";")[0].strip().lower()
    if "," in content_type or media_type != "application/x-www-form-urlencoded":
        raise InvalidRequestError("The content type must be application/x-www-form-urlencoded")
    if query:
        raise InvalidRequestError("Parameters belong in the body, not in the URL")


def parse_form(body: bytes) -> Form:
    """The parameters of a form, each present once; those without a value count as left out.

    Raises :exc:`InvalidRequestError` for a body that is not exactly a form in UTF-8.
    """
    try:
        pairs = parse_qsl(
            _with_plus_signs(body.decode("utf-8")),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise InvalidRequestError("The body is not a form in UTF-8") from None
    form = dict(pairs)
    if len(form) < len(pairs):
        raise InvalidRequestError("A parameter is repeated")
    return {name: value for name, value in form.items() if value}


def _with_plus_signs(text: str) -> str:
    """The form with its typed plus signs escaped, if its sender writes blanks as ``%20``.

    XCreds 5.4 escapes everything in a form but ``+``. A client that writes the blanks of another
    value as ``%20`` means a plus sign where it writes one.
    """
    fields = text.split("&")
    typed = ("username=", "password=")
    others = [field for field in fields if not field.startswith(typed)]
    if not any("%20" in field for field in others) or any("+" in field for field in others):
        return text
    return "&".join(
        field.replace("+", "%2B") if field.startswith(typed) else field for field in fields
    )


_UNENCODED: Final = "grant_type=password&scope="


def parse_unencoded_form(body: bytes) -> Form | None:
    """The parameters of a form that was sent without escapes, as XCreds 5.3 does, or ``None``.

    Its parameters come in a fixed order, and each goes on to where the next begins: whatever is
    between ``&password=`` and the last ``&client_id=`` is the password. A scope with ``%20`` is
    that of a client which escapes: XCreds 5.4 sends the same parameters in the same order.
    """
    try:
        start, marker, rest = body.decode("utf-8").partition(_UNENCODED)
    except UnicodeDecodeError:
        return None
    # No regular expression: on a hostile body it would try every way to split it.
    scope, after_scope, rest = rest.partition("&username=")
    username, after_username, rest = rest.partition("&password=")
    password, after_password, rest = rest.rpartition("&client_id=")
    client_id, _, secret = rest.partition("&client_secret=")
    whole = marker and after_scope and after_username and after_password
    if start or not whole or "&" in client_id or "%20" in scope:
        return None
    form = {
        "grant_type": "password",
        "scope": scope,
        "username": username,
        "password": password,
        "client_id": client_id,
        "client_secret": secret,
    }
    return {name: value for name, value in form.items() if value}


def parse_grant_type(form: Form) -> str:
    """The grant that is asked for. Raises :exc:`InvalidRequestError` if none is named."""
    return _required(form, "grant_type")


def parse_client(form: Form, authorization: str | None) -> ClientCredentials:
    """The client's own credentials.

    Raises :exc:`InvalidRequestError` if there are none, or more than one kind.
    """
    client_id, secret = form.get("client_id"), form.get("client_secret")
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        if client_id is None:
            raise InvalidRequestError("The parameter client_id is missing")
        return ClientCredentials(client_id, () if secret is None else (secret,))
    try:
        pair = base64.b64decode(token.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise InvalidRequestError("The Authorization header is malformed") from None
    basic_id, _, basic_secret = pair.partition(":")
    basic_id = unquote_plus(basic_id)
    if secret is not None or client_id not in (None, basic_id):
        raise InvalidRequestError("The client authenticates in more than one way")
    # The RFC wants the secret form-encoded; many clients send it as it is.
    secrets = (unquote_plus(basic_secret), basic_secret) if basic_secret else ()
    return ClientCredentials(basic_id, secrets, basic=True)


def parse_password_grant(form: Form) -> PasswordGrant:
    """The password grant in a form.

    Spaces around the user name are no part of it: Authentik leaves them out as well, with the same
    ``str.strip()``. Raises :exc:`InvalidRequestError` if something is missing or malformed.
    """
    username = _required(form, "username")
    if len(username) > MAX_USERNAME or any(category(c) in CONTROL for c in username):
        raise InvalidRequestError("The parameter username is malformed")
    username = username.strip()
    if not username:
        raise _missing("username")
    return PasswordGrant(
        username=username,
        password=_required(form, "password"),
        scope=tuple(form.get("scope", "").split()),
        nonce=form.get("nonce"),
    )


def split_code(typed: str) -> tuple[str, str | None]:
    """A password, and the code of a second factor typed behind it with a ``;`` between.

    Six digits, or eight letters and digits, are a code, as Authentik's own outposts take it; a
    password may hold any other ``;`` itself.
    """
    password, _, code = typed.rpartition(";")
    if not password or not re.fullmatch(r"[0-9]{6}|[0-9A-Za-z]{8}", code):
        return typed, None
    return password, code


def _required(form: Form, name: str) -> str:
    if name not in form:
        raise _missing(name)
    return form[name]


def _missing(name: str) -> InvalidRequestError:
    return InvalidRequestError(f"The parameter {name} is missing")
