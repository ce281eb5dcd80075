"""Explains a response of the token endpoint, or a failure to get one. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

import jwt
from jwt.exceptions import PyJWTError
from OpenSSL.SSL import Error as TLSError
from service_identity import VerificationError
from twisted.internet.defer import CancelledError, TimeoutError
from twisted.internet.error import ConnectError, ConnectionRefusedError, DNSLookupError

from ropg_twisted.errors import MFARequiredError
from ropg_twisted.remedies import REMEDIES, help_url
from ropg_twisted.verdict import Reason


class Exit(IntEnum):
    """The exit status of ``ropg try``."""

    RIGHT = 0
    WRONG = 1
    REFUSED = 2
    UNKNOWN = 3
    BAD_REQUEST = 4


@dataclass(frozen=True, slots=True)
class DaemonResponse:
    """A response of the token endpoint. ``payload``: empty if the body is not a JSON object."""

    status: int
    payload: Mapping[str, Any] = field(repr=False)  # _right() catches wrong types.
    request_id: str | None = None
    retry_after: str | None = None
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of ``ropg try``. ``text`` contains neither password nor token.

    ``reason``: the one that the response leads to, if it leads to one. ``outage``: the daemon may
    know a reason, see :func:`readiness_reason`.
    """

    exit: Exit
    text: str
    reason: Reason | None = None
    outage: bool = False


NOT_OURS: Final = (
    "HTTP {status}, but not a response of this daemon: something else is at that URL, or in front "
    "of the daemon."
)
_SEE_LOG: Final = "Look in the daemon's log for request {id}."


def diagnose(response: DaemonResponse) -> Diagnosis:
    """Return the diagnosis of a response."""
    match response.status, response.payload.get("error"):
        case 200, None:
            return _right(response)
        case 400, "invalid_grant":
            text = (
                "Wrong: Authentik rejected this user name with this password. It gives the same "
                "answer for a wrong password, an unknown user and a disabled user."
            )
            return Diagnosis(Exit.WRONG, text, Reason.WRONG_CREDENTIALS)
        case 400, "interaction_required":
            return _interaction(response.payload.get("error_description"))
        case 400, "access_denied":
            text = "Refused by a policy of Authentik; the password may be right."
            return Diagnosis(Exit.REFUSED, _logged(text, response), Reason.POLICY)
        case 403, "access_denied":
            text = "The daemon does not accept requests from the network of this machine."
            return Diagnosis(Exit.BAD_REQUEST, text)
        case 401, "invalid_client":
            text = "The daemon does not know this client, or the client's secret is wrong."
            return Diagnosis(Exit.BAD_REQUEST, text)
        case 400 | 413, str(code):
            text = (
                f"The request was refused as {code}: {response.payload.get('error_description')}."
            )
            return Diagnosis(Exit.BAD_REQUEST, text)
        case 429, "slow_down":
            text = "Too many attempts: the password was not checked."
            return Diagnosis(Exit.UNKNOWN, _later(text, response), Reason.THROTTLED)
        case 503, "temporarily_unavailable":
            text = "Authentik is not available: nothing is known about the password."
            return Diagnosis(Exit.UNKNOWN, _later(text, response), outage=True)
        case 301 | 302 | 303 | 307 | 308, _:
            text = f"The URL redirects to {response.location}; use the URL of the daemon itself."
            return Diagnosis(Exit.UNKNOWN, text)
        case _:
            return Diagnosis(Exit.UNKNOWN, NOT_OURS.format(status=response.status))


def readiness_reason(payload: Mapping[str, object]) -> Reason | None:
    """Return the reason, or the warning, in a response of ``/ready``, if it has a known one."""
    words = (payload.get("reason"), payload.get("warning"))
    return next((reason for reason in Reason if reason.value in words), None)


def advice(reason: Reason) -> str:
    """Return the lines that say what to do about a reason, and where to read more."""
    remedy = REMEDIES[reason].remedy
    return f"What to do: {remedy}\nMore: {help_url(reason)}"


def diagnose_error(error: Exception, url: str) -> Diagnosis:
    """Return the diagnosis of an exception of the HTTP client: no response came from ``url``."""
    known = _describe(error, url)
    text = known or (
        f"{url} closed the connection without a response: it does not speak HTTP, or the daemon "
        "reports an outage in this way (ROPG_OUTAGE=abort)."
    )
    text = f"{text} Nothing is known about the password."
    return Diagnosis(Exit.UNKNOWN, text, outage=known is None)


def _right(response: DaemonResponse) -> Diagnosis:
    try:
        lifetime = int(response.payload["expires_in"])
        id_token = response.payload.get("id_token")
        # It comes directly from its issuer (OpenID Connect Core section 3.1.3.7, point 6).
        claims = id_token and jwt.decode(id_token, options={"verify_signature": False})
    except (KeyError, TypeError, ValueError, PyJWTError):
        return Diagnosis(Exit.UNKNOWN, NOT_OURS.format(status=response.status))
    lines = ["Right: the password is accepted."]
    if claims:
        shown = {
            "user name": claims.get("preferred_username"),
            "name": claims.get("name"),
            "e-mail": claims.get("email"),
            "groups": ", ".join(claims.get("groups", ())),
            "subject": claims.get("sub"),
        }
        lines += [f"  {label + ':':11}{value}" for label, value in shown.items() if value]
    else:
        lines.append("  no id token, because the scope does not contain openid")
    lines.append(f"  {'valid for:':11}{lifetime} seconds")
    return Diagnosis(Exit.RIGHT, "\n".join(lines))


def _interaction(description: object) -> Diagnosis:
    if description == MFARequiredError.description:
        text = "The password is right, but a second factor is required."
        return Diagnosis(Exit.REFUSED, text, Reason.MFA)
    text = "The password is right, but Authentik requires user interaction."
    return Diagnosis(Exit.REFUSED, text, Reason.INTERACTION)


def _later(text: str, response: DaemonResponse) -> str:
    if response.retry_after is not None:
        text += f" Try again in {response.retry_after} seconds."
    return _logged(text, response)


def _logged(text: str, response: DaemonResponse) -> str:
    return (
        text if response.request_id is None else f"{text} {_SEE_LOG.format(id=response.request_id)}"
    )


def _describe(error: Exception, url: str) -> str | None:
    causes = [error, *(reason.value for reason in getattr(error, "reasons", ()))]
    for cause in causes:
        match cause:
            case TimeoutError() | CancelledError():
                return f"Timeout: no response from {url}."
            case ConnectionRefusedError():
                return f"No daemon listens at {url}: connection refused."
            case DNSLookupError():
                return f"The host of {url} has no address."
            case ConnectError():
                return f"{url} cannot be reached."
            case VerificationError():
                return f"The certificate of {url} is for another name."
            case TLSError():
                words = " ".join(part[-1] for part in cause.args[0] if part) if cause.args else ""
                if "certificate" in words:
                    return f"The certificate of {url} is not trusted here (--ca-file): {words}."
                return f"TLS with {url} failed: {words}."
    return None
