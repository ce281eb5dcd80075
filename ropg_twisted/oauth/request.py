"""The parts of a token request (RFC 6749 sections 2.3, 3.2 and 4.3.2), parsed strictly. No I/O."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Final
from unicodedata import category
from urllib.parse import unquote_plus

from ropg_twisted.context import RequestContext
from ropg_twisted.errors import InvalidRequestError
from ropg_twisted.oauth.forms import Form
from ropg_twisted.settings.model import Client

CONTROL: Final = frozenset(("Cc", "Cs", "Zl", "Zp"))
"""Unicode categories of characters that are not allowed in a user name."""

MAX_USERNAME: Final = 254
"""Maximum number of characters in a user name: an e-mail address, the longest that Authentik
stores."""


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """Client credentials from the form or from HTTP Basic (RFC 6749 section 2.3.1).

    ``secrets``: the possible readings of the secret; empty if there is none. ``basic``: they come
    from HTTP Basic.
    """

    id: str
    secrets: tuple[str, ...] = field(repr=False)
    basic: bool = False


@dataclass(frozen=True, slots=True)
class PasswordGrant:
    """The parameters of a password grant (RFC 6749 section 4.3.2).

    ``username``: without surrounding spaces. ``scope``: empty if the client requested none.
    """

    username: str
    password: str = field(repr=False)
    scope: tuple[str, ...]
    nonce: str | None


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A token request of a known client (RFC 6749 section 3.2)."""

    context: RequestContext
    client: Client
    grant_type: str
    credentials: ClientCredentials
    form: Form = field(repr=False)


def parse_grant_type(form: Form) -> str:
    """Return the grant type. Raises :exc:`InvalidRequestError` if it is missing."""
    return _required(form, "grant_type")


def parse_client(form: Form, authorization: str | None) -> ClientCredentials:
    """Return the client credentials of a request.

    ``authorization``: the value of the Authorization header, ``None`` if there is none. Without a
    colon it is the client id of a client without a secret, as the newest XCreds sends it, although
    RFC 7617 requires the colon.

    Raises :exc:`InvalidRequestError` if they are missing, malformed, or sent in two ways.
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
    # RFC 6749 section 2.3.1 wants the secret form-encoded, but many clients do not encode it.
    secrets = (unquote_plus(basic_secret), basic_secret) if basic_secret else ()
    return ClientCredentials(basic_id, secrets, basic=True)


def parse_token(form: Form) -> str:
    """Return the token of an introspection request (RFC 7662 section 2.1).

    ``token_type_hint`` is ignored, as that section allows.

    Raises :exc:`InvalidRequestError` if it is missing.
    """
    return _required(form, "token")


def parse_password_grant(form: Form) -> PasswordGrant:
    """Return the password grant in a form.

    Surrounding spaces are removed from the user name with ``str.strip()``, as Authentik does.

    Raises :exc:`InvalidRequestError` if a parameter is missing or malformed.
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
    """Split what the user typed into the password and the code of a second factor.

    The code follows the last ``;``, as in Authentik's own outposts: six digits, or eight letters
    and digits. Anything else after a ``;`` belongs to the password.

    Returns ``typed`` and ``None`` if there is no code.
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
