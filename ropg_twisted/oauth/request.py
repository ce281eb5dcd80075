"""A token request, parsed once and strictly (RFC 6749 sections 3.2 and 4.3.2). No I/O."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, unquote_plus

from ropg_twisted.errors import InvalidRequest

MAX_FIELDS: Final = 32
"""Parameters of one request; clients send fewer than ten."""

MAX_USERNAME: Final = 254
"""Characters; the longest that Authentik stores is an e-mail address."""

Form: TypeAlias = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """How a client names itself, by the form or by HTTP Basic (RFC 6749 section 2.3.1)."""

    id: str
    secret: str | None = field(repr=False)
    basic: bool


@dataclass(frozen=True, slots=True)
class PasswordGrant:
    """A password grant. ``scope``: its words; empty if the client asked for none."""

    username: str
    password: str = field(repr=False)
    scope: tuple[str, ...]
    nonce: str | None


def parse_form(content_type: str | None, query: bytes, body: bytes) -> Form:
    """The parameters of a form, each present once; those without a value count as left out.

    Raises :exc:`InvalidRequest` for another content type, for parameters in the URL, where logs
    would keep them, and for a body that is not exactly a form in UTF-8.
    """
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        raise InvalidRequest("The content type must be application/x-www-form-urlencoded")
    if query:
        raise InvalidRequest("Parameters belong in the body, not in the URL")
    try:
        pairs = parse_qsl(
            _with_plus_signs(body.decode("utf-8")),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise InvalidRequest("The body is not a form in UTF-8") from None
    form = dict(pairs)
    if len(form) < len(pairs):
        raise InvalidRequest("A parameter is repeated")
    return {name: value for name, value in form.items() if value}


def _with_plus_signs(text: str) -> str:
    """The form with the plus signs of its password escaped, if its sender writes blanks as ``%20``.

    XCreds 5.4 escapes everything in a form but ``+``. A client that writes the blanks of another
    value as ``%20`` means a plus sign where it writes one.
    """
    fields = text.split("&")
    others = [field for field in fields if not field.startswith("password=")]
    if not any("%20" in field for field in others) or any("+" in field for field in others):
        return text
    return "&".join(field if field in others else field.replace("+", "%2B") for field in fields)


_UNDECODED: Final = re.compile(
    r"grant_type=(?P<grant_type>password)&scope=(?P<scope>.*?)&username=(?P<username>.*?)"
    r"&password=(?P<password>.*)&client_id=(?P<client_id>[^&]*)"
    r"(?:&client_secret=(?P<client_secret>.*))?",
    re.DOTALL,
)


def parse_undecoded_form(body: bytes) -> Form | None:
    """The parameters of a form that was sent without escapes, as XCreds 5.3 does, or ``None``.

    Its parameters come in a fixed order, and each goes on to where the next begins: whatever is
    between ``&password=`` and the last ``&client_id=`` is the password.
    """
    try:
        match = _UNDECODED.fullmatch(body.decode("utf-8"))
    except UnicodeDecodeError:
        return None
    if match is None:
        return None
    return {name: value for name, value in match.groupdict().items() if value}


def parse_grant_type(form: Form) -> str:
    """The grant that is asked for. Raises :exc:`InvalidRequest` if none is named."""
    return _required(form, "grant_type")


def parse_client(form: Form, authorization: str | None) -> ClientCredentials:
    """The client's own credentials.

    Raises :exc:`InvalidRequest` if there are none, or more than one kind.
    """
    client_id, secret = form.get("client_id"), form.get("client_secret")
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        if client_id is None:
            raise InvalidRequest("The parameter client_id is missing")
        return ClientCredentials(client_id, secret, basic=False)
    try:
        pair = base64.b64decode(token.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise InvalidRequest("The Authorization header is malformed") from None
    basic_id, _, basic_secret = (unquote_plus(part) for part in pair.partition(":"))
    if secret is not None or client_id not in (None, basic_id):
        raise InvalidRequest("The client authenticates in more than one way")
    return ClientCredentials(basic_id, basic_secret or None, basic=True)


def parse_password_grant(form: Form) -> PasswordGrant:
    """The password grant in a form.

    Raises :exc:`InvalidRequest` if something is missing or malformed.
    """
    username = _required(form, "username")
    if len(username) > MAX_USERNAME or not username.isprintable():
        raise InvalidRequest("The parameter username is malformed")
    return PasswordGrant(
        username=username,
        password=_required(form, "password"),
        scope=tuple(form.get("scope", "").split()),
        nonce=form.get("nonce"),
    )


def _required(form: Form, name: str) -> str:
    if name not in form:
        raise InvalidRequest(f"The parameter {name} is missing")
    return form[name]
