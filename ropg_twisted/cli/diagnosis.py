"""What an answer of the token endpoint, or its lack, means to the person who asked. No I/O."""

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


class Exit(IntEnum):
    """The exit status of ``ropg try``."""

    RIGHT = 0
    WRONG = 1
    REFUSED = 2
    UNKNOWN = 3
    BAD_REQUEST = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """What the daemon said. ``payload`` is empty where it was no JSON object."""

    status: int
    payload: Mapping[str, Any] = field(repr=False)
    request_id: str | None = None
    retry_after: str | None = None
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of it, in words that hold neither password nor token."""

    exit: Exit
    text: str


NOT_OURS: Final = (
    "HTTP {status} without an answer that this daemon gives: something else is at that URL, or in "
    "front of the daemon."
)
_LOOK: Final = "Look in the daemon's log for request {id}."


def explain(answer: Answer) -> Finding:
    """The finding for an answer."""
    match answer.status, answer.payload.get("error"):
        case 200, None:
            return _right(answer)
        case 400, "invalid_grant":
            text = (
                "Wrong: Authentik refuses this user name with this password. It does not tell "
                "unknown and disabled people from a wrong password."
            )
            return Finding(Exit.WRONG, text)
        case 400, "interaction_required":
            return Finding(Exit.REFUSED, _interaction(answer.payload.get("error_description")))
        case 400, "access_denied":
            text = "Refused by a policy of Authentik; the password may be right."
            return Finding(Exit.REFUSED, _logged(text, answer))
        case 403, "access_denied":
            text = "The daemon takes no questions from the network of this machine."
            return Finding(Exit.BAD_REQUEST, text)
        case 401, "invalid_client":
            text = "The daemon does not know this client, or the client's secret is wrong."
            return Finding(Exit.BAD_REQUEST, text)
        case 400 | 413, str(code):
            text = f"The request was refused as {code}: {answer.payload.get('error_description')}."
            return Finding(Exit.BAD_REQUEST, text)
        case 429, "slow_down":
            text = "Too many attempts: the password was not looked at."
        case 503, "temporarily_unavailable":
            text = "Authentik cannot be asked now: nothing is known about the password."
        case 301 | 302 | 303 | 307 | 308, _:
            text = f"The URL redirects to {answer.location}; give the URL that the daemon is at."
            return Finding(Exit.UNKNOWN, text)
        case _:
            return Finding(Exit.UNKNOWN, NOT_OURS.format(status=answer.status))
    if answer.retry_after is not None:
        text += f" Try again in {answer.retry_after} seconds."
    return Finding(Exit.UNKNOWN, _logged(text, answer))


def explain_error(error: Exception, url: str) -> Finding:
    """The finding for an exception of the HTTP client: no answer came from ``url``."""
    return Finding(Exit.UNKNOWN, f"{_trouble(error, url)} Nothing is known about the password.")


def _right(answer: Answer) -> Finding:
    try:
        lifetime = int(answer.payload["expires_in"])
        id_token = answer.payload.get("id_token")
        # It comes straight from who signs it (OpenID Connect Core section 3.1.3.7, point 6).
        claims = id_token and jwt.decode(id_token, options={"verify_signature": False})
    except (KeyError, TypeError, ValueError, PyJWTError):
        return Finding(Exit.UNKNOWN, NOT_OURS.format(status=answer.status))
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
        lines.append("  no id token, as the scope has no openid in it")
    lines.append(f"  {'valid for:':11}{lifetime} seconds")
    return Finding(Exit.RIGHT, "\n".join(lines))


def _interaction(description: object) -> str:
    if description == MFARequiredError.description:
        return "The password is right, but a second factor is asked for."
    return "The password is right, but Authentik wants something that only a person can do."


def _logged(text: str, answer: Answer) -> str:
    return text if answer.request_id is None else f"{text} {_LOOK.format(id=answer.request_id)}"


def _trouble(error: Exception, url: str) -> str:
    causes = [error, *(reason.value for reason in getattr(error, "reasons", ()))]
    for cause in causes:
        match cause:
            case TimeoutError() | CancelledError():
                return f"The wait for an answer of {url} was given up."
            case ConnectionRefusedError():
                return f"No daemon is at {url}: connection refused."
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
    return (
        f"The connection to {url} ended without an answer: it does not speak HTTP, or the daemon "
        "tells of an outage in that way (ROPG_OUTAGE=abort)."
    )
