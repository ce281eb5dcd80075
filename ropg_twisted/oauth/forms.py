"""Form-encoded request bodies, and the quirks of clients that encode them wrongly. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias
from urllib.parse import parse_qsl

from ropg_twisted.errors import InvalidRequestError
from ropg_twisted.settings.model import PASSWORD_GRANT

MAX_FIELDS: Final = 32
"""Maximum number of parameters in a request. Clients send fewer than ten."""

Form: TypeAlias = Mapping[str, str]


def check_form(content_type: str | None, query: bytes) -> None:
    """Check the content type of a form, and that its URL has no parameters.

    Parameters in a URL would end up in the logs of proxies.

    Raises :exc:`InvalidRequestError` if either is wrong.
    """
    content_type = content_type or ""
    media_type = content_type.partition(";")[0].strip().lower()
    if "," in content_type or media_type != "application/x-www-form-urlencoded":
        raise InvalidRequestError("The content type must be application/x-www-form-urlencoded")
    if query:
        raise InvalidRequestError("Parameters belong in the body, not in the URL")


def parse_form(body: bytes) -> Form:
    """Parse a form. A parameter without a value counts as omitted (RFC 6749 section 3.2).

    Raises :exc:`InvalidRequestError` if the body is not a form in UTF-8, or repeats a parameter.
    """
    try:
        pairs = parse_qsl(
            _escape_plus_signs(body.decode("utf-8")),
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


def _escape_plus_signs(text: str) -> str:
    """Escape the plus signs in the user name and password if the client does not.

    XCreds 5.4 escapes everything in a form but ``+``. A client that writes the spaces of another
    parameter as ``%20`` never writes a space as ``+``, so its plus signs are literal.
    """
    fields = text.split("&")
    typed = ("username=", "password=")
    others = [field for field in fields if not field.startswith(typed)]
    if not any("%20" in field for field in others) or any("+" in field for field in others):
        return text
    return "&".join(
        field.replace("+", "%2B") if field.startswith(typed) else field for field in fields
    )


_UNENCODED_PREFIX: Final = f"grant_type={PASSWORD_GRANT}&scope="


def parse_unencoded_form(body: bytes) -> Form | None:
    """Parse a form whose values are not escaped, as XCreds 5.3 sends it.

    Its parameters have a fixed order, and each value ends where the next parameter begins: the
    password is everything between ``&password=`` and the last ``&client_id=``. XCreds 5.4 sends
    the same parameters in the same order but escapes them, so a scope with ``%20`` is excluded.

    Returns ``None`` if the body does not have this form.
    """
    try:
        before, prefix, rest = body.decode("utf-8").partition(_UNENCODED_PREFIX)
    except UnicodeDecodeError:
        return None
    # Not a regular expression: a hostile body would make it backtrack through every split.
    scope, after_scope, rest = rest.partition("&username=")
    username, after_username, rest = rest.partition("&password=")
    password, after_password, rest = rest.rpartition("&client_id=")
    client_id, _, secret = rest.partition("&client_secret=")
    complete = prefix and after_scope and after_username and after_password
    if before or not complete or "&" in client_id or "%20" in scope:
        return None
    form = {
        "grant_type": PASSWORD_GRANT,
        "scope": scope,
        "username": username,
        "password": password,
        "client_id": client_id,
        "client_secret": secret,
    }
    return {name: value for name, value in form.items() if value}
