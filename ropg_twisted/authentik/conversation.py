"""The decision: a challenge in, the next answer or the verdict out. No I/O.

=============================  ==================  ==============================================
what comes                     when                next answer, or verdict
=============================  ==================  ==============================================
``ak-stage-identification``    at first            the name, and the password if it is asked for
 ... with errors               to the name, or to  rejected
                               name and password
``ak-stage-password``          after the name      the password
 ... with errors               to the password     rejected
``ak-stage-access-denied``     before the name     unverifiable
                               after the name      denied
                               to the password     rejected
                               after the password  denied
``ak-stage-user-login``        after the password  ``remember_me: false``
``...authenticator-validate``  after the password  the code, if one came with the password and it
                                                   takes such codes
 ... with errors               to the code         rejected (a wrong code)
``ak-stage-authenticator-*``   after the password  interaction required
any other stage that is known  after the password  interaction required
``xak-flow-redirect``          after the password  verified if the session is authenticated, or if
                                                   the flow is known to have no login stage; else
                                                   denied (to Authentik's root) or interaction
                                                   required (to anywhere else)
anything else                  at any time         unverifiable
=============================  ==================  ==============================================

*After the password* means that it was accepted: its POST was answered by a 302, or by another
component that is no refusal. Components, fields and codes decide; texts follow Accept-Language and
never do.

All that comes after the password rests on that 302, which a flow that restarts on a refusal sends
as well. So the evidence of how the flow refuses decides which of these outcomes is believed:

==============================  ==================================================================
evidence                        believed
==============================  ==================================================================
refuses in place                everything
unknown                         refusals, denials before the password, and an end with an
                                authenticated session; else unverifiable (``flow_unproven``)
restarts                        nothing: unverifiable (``flow_restarts``)
==============================  ==================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final, TypeAlias
from urllib.parse import urljoin

from ropg_twisted.authentik.challenges import Challenge, JSONObject, Redirect, SessionCookie
from ropg_twisted.authentik.evidence import Evidence
from ropg_twisted.interfaces import LoginAttempt
from ropg_twisted.verdict import Outcome, Reason, Verdict

IDENTIFICATION: Final = "ak-stage-identification"
PASSWORD: Final = "ak-stage-password"
ACCESS_DENIED: Final = "ak-stage-access-denied"
USER_LOGIN: Final = "ak-stage-user-login"
FLOW_ERROR: Final = "ak-stage-flow-error"
FLOW_SHELL: Final = "xak-flow-shell"
REDIRECT: Final = "xak-flow-redirect"
AUTHENTICATOR: Final = "ak-stage-authenticator-"
VALIDATE: Final = "ak-stage-authenticator-validate"

DEVICES_WITH_CODES: Final = frozenset(("static", "totp"))
"""Classes of devices whose codes a person knows before they are asked for."""

STAGES_FOR_A_PERSON: Final = frozenset(
    f"ak-stage-{name}"
    for name in (
        "autosubmit",
        "captcha",
        "consent",
        "dummy",
        "email",
        "endpoint-agent",
        "prompt",
        "session-end",
    )
)
"""The other stages of Authentik 2026.8 that may follow a password."""

MAX_STEPS: Final = 30
"""How many answers of Authentik one login may take. The default flow takes six."""


@dataclass(frozen=True, slots=True)
class ChallengeResponse:
    """The JSON object to POST next."""

    body: JSONObject = field(repr=False)


@dataclass(frozen=True, slots=True)
class FollowRedirect:
    """Ask again with GET."""


Step: TypeAlias = ChallengeResponse | FollowRedirect | Outcome


class Progress(IntEnum):
    """How far a login has come."""

    OPENED = 0
    """Nothing has been sent."""
    IDENTIFIED = 1
    """The name has been sent, the password has not."""
    SENT = 2
    """The password has been sent; what Authentik makes of it is not known."""
    ACCEPTED = 3
    """The POST of the password was answered as only an accepted one is."""
    PASSED = 4
    """A stage behind the password has been answered."""


_REJECTED = Outcome(Verdict.REJECTED, Reason.WRONG_CREDENTIALS)
_DENIED = Outcome(Verdict.DENIED, Reason.POLICY)
_WRONG_CODE = Outcome(Verdict.REJECTED, Reason.WRONG_CODE)


def _unverifiable(reason: Reason) -> Outcome:
    return Outcome(Verdict.UNVERIFIABLE, reason)


def _interaction(reason: Reason) -> Outcome:
    return Outcome(Verdict.INTERACTION_REQUIRED, reason)


class Conversation:
    """One login, walked challenge by challenge.

    ``login``: what the person typed.
    ``root``: the URL of Authentik's own front page.
    ``evidence``: how the flow has been seen to refuse a password.
    ``login_stage``: whether the flow ends with a user-login stage; without one, an end of the flow
    behind an accepted password proves it, whatever the session says.

    ``progress``: how far it has come. ``refused_in_place``: whether the answer to the password was
    a refusal in place; ``None`` before there is one, and for one that is about something else.
    ``restarted``: the flow asked for name or password once more after the password.
    """

    def __init__(
        self, login: LoginAttempt, *, root: str, evidence: Evidence, login_stage: bool = True
    ) -> None:
        self.progress = Progress.OPENED
        self.refused_in_place: bool | None = None
        self.restarted = False
        self._login = login
        self._evidence = evidence
        self._login_stage = login_stage
        self._root = root
        self._answered: str | None = None
        self._code_sent = False
        self._cookie = SessionCookie()
        self._steps = 0

    @property
    def name_sent(self) -> bool:
        """Whether an answer that holds the user name has been handed out."""
        return self.progress >= Progress.IDENTIFIED

    @property
    def password_sent(self) -> bool:
        """Whether an answer that holds the password has been handed out."""
        return self.progress >= Progress.SENT

    def receive(self, heard: Redirect | Challenge, cookie: SessionCookie) -> Step:
        """What follows from the next answer of Authentik.

        ``cookie`` is what the session cookie says after that answer. An :class:`Outcome` ends the
        conversation.
        """
        self._steps += 1
        if self._steps > MAX_STEPS:
            return _unverifiable(Reason.FLOW_LOOP)
        if self.progress is Progress.SENT:
            self.refused_in_place = self._is_refusal_in_place(heard, cookie)
            if self._evidence is Evidence.RESTARTS:
                return _unverifiable(Reason.FLOW_RESTARTS)
        step = self._follow_up(heard, cookie)
        return self._believed(step, cookie) if isinstance(step, Outcome) else step

    def _is_refusal_in_place(
        self, heard: Redirect | Challenge, cookie: SessionCookie
    ) -> bool | None:
        """Whether this answer to the password is a refusal in place; ``None``: it says nothing."""
        if isinstance(heard, Redirect):
            return False
        errors = heard.fields.get("response_errors")
        if errors:
            typed = heard.component == self._answered and _refuse(errors, CREDENTIALS)
            return True if typed else None
        if heard.component == IDENTIFICATION and not self._is_same(cookie):
            return None
        return heard.component == ACCESS_DENIED

    def _believed(self, outcome: Outcome, cookie: SessionCookie) -> Outcome:
        """The outcome, as far as the evidence of how the flow refuses carries it."""
        if outcome.verdict is Verdict.UNVERIFIABLE or self._evidence is Evidence.IN_PLACE:
            return outcome
        if self._evidence is Evidence.RESTARTS:
            return _unverifiable(Reason.FLOW_RESTARTS)
        logged_in = outcome.verdict is Verdict.VERIFIED and cookie.authenticated
        if self.progress >= Progress.ACCEPTED and not logged_in:
            return _unverifiable(Reason.FLOW_UNPROVEN)
        return outcome

    def _follow_up(self, heard: Redirect | Challenge, cookie: SessionCookie) -> Step:
        if isinstance(heard, Redirect):
            self._answered = None
            if self.progress is Progress.SENT:
                self.progress = Progress.ACCEPTED
            return FollowRedirect()
        if heard.fields.get("response_errors"):
            return self._refused(heard)
        if heard.component == IDENTIFICATION:
            return self._identification(heard, cookie)
        if heard.component == PASSWORD:
            return self._password(cookie)
        if heard.component == ACCESS_DENIED:
            return self._access_denied()
        if heard.component == REDIRECT or _is_stage_behind_password(heard.component):
            return self._behind_password(heard, cookie)
        if heard.component in (FLOW_ERROR, FLOW_SHELL):
            return _unverifiable(Reason.FLOW_ERROR)
        return _unverifiable(Reason.FLOW_UNKNOWN_STAGE)

    def _refused(self, challenge: Challenge) -> Outcome:
        """Errors are a refusal only where they answer what was typed."""
        errors = challenge.fields["response_errors"]
        if challenge.component == self._answered:
            if challenge.component in (IDENTIFICATION, PASSWORD) and _refuse(errors, CREDENTIALS):
                return _REJECTED
            if challenge.component == VALIDATE and _refuse(errors, CODE):
                return _WRONG_CODE
        elif challenge.component == IDENTIFICATION and self.password_sent:
            return _unverifiable(Reason.SESSION_LOST)
        return _unverifiable(Reason.FLOW_ERROR)

    def _identification(self, challenge: Challenge, cookie: SessionCookie) -> Step:
        if self.progress is Progress.OPENED:
            if challenge.fields.get("captcha_stage"):
                return _unverifiable(Reason.FLOW_NOT_HEADLESS)
            name = {"uid_field": self._login.username}
            if challenge.fields.get("password_fields") is True:
                return self._send_password(IDENTIFICATION, name, cookie)
            self.progress = Progress.IDENTIFIED
            return self._answer(IDENTIFICATION, name)
        self.restarted = self.password_sent
        if self.restarted and self._is_same(cookie):
            return _unverifiable(Reason.FLOW_RESTARTS)
        return _unverifiable(Reason.SESSION_LOST)

    def _password(self, cookie: SessionCookie) -> Step:
        if self.progress is Progress.IDENTIFIED:
            return self._send_password(PASSWORD, {}, cookie)
        self.restarted = self.password_sent
        return _unverifiable(Reason.FLOW_NOT_HEADLESS)

    def _access_denied(self) -> Outcome:
        if self.progress is Progress.OPENED:
            return _unverifiable(Reason.FLOW_DENIED)
        return _REJECTED if self.progress is Progress.SENT else _DENIED

    def _behind_password(self, challenge: Challenge, cookie: SessionCookie) -> Step:
        """What may only come once the password has been accepted."""
        ends = challenge.component == REDIRECT
        if not self.password_sent:
            return _unverifiable(Reason.FLOW_ENDED_EARLY if ends else Reason.FLOW_NOT_HEADLESS)
        if self.progress is Progress.SENT:
            self.progress = Progress.ACCEPTED
        if ends:
            return self._end(challenge, cookie)
        if challenge.component == USER_LOGIN:
            if self._answered == USER_LOGIN:
                return _unverifiable(Reason.FLOW_ERROR)
            self.progress = Progress.PASSED
            return self._answer(USER_LOGIN, {"remember_me": False})
        if self._login.code is not None and not self._code_sent and _takes_code(challenge):
            self.progress = Progress.PASSED
            self._code_sent = True
            return self._answer(VALIDATE, {"code": self._login.code})
        if challenge.component.startswith(AUTHENTICATOR):
            return _interaction(Reason.MFA)
        return _interaction(Reason.INTERACTION)

    def _end(self, challenge: Challenge, cookie: SessionCookie) -> Outcome:
        to = challenge.fields.get("to")
        if not isinstance(to, str):
            return _unverifiable(Reason.FLOW_ERROR)
        if challenge.fields.get("final_redirect") is False:
            return _unverifiable(Reason.UPSTREAM_REDIRECT)
        try:
            target = urljoin(self._root, to)
        except ValueError:
            return _unverifiable(Reason.FLOW_ERROR)
        if "/api/v3/flows/executor/" in target:
            return _unverifiable(Reason.FLOW_LOOP)
        if cookie.authenticated or not self._login_stage:
            reason = Reason.VERIFIED_WITH_CODE if self._code_sent else Reason.VERIFIED
            return Outcome(Verdict.VERIFIED, reason)
        if cookie.sid is None:
            return _unverifiable(Reason.SESSION_LOST)
        if target.rstrip("/") == self._root.rstrip("/"):
            return _DENIED
        return _interaction(Reason.INTERACTION)

    def _is_same(self, cookie: SessionCookie) -> bool:
        """Whether Authentik still knows the session that the password was sent in."""
        return cookie.sid is not None and cookie.sid == self._cookie.sid

    def _send_password(
        self, component: str, fields: JSONObject, cookie: SessionCookie
    ) -> ChallengeResponse:
        self.progress = Progress.SENT
        self._cookie = cookie
        return self._answer(component, {**fields, "password": self._login.password})

    def _answer(self, component: str, fields: JSONObject) -> ChallengeResponse:
        self._answered = component
        return ChallengeResponse({"component": component, **fields})


def _is_stage_behind_password(component: str) -> bool:
    return (
        component == USER_LOGIN
        or component in STAGES_FOR_A_PERSON
        or component.startswith(AUTHENTICATOR)
    )


def _takes_code(challenge: Challenge) -> bool:
    devices = challenge.fields.get("device_challenges")
    return (
        challenge.component == VALIDATE
        and isinstance(devices, list)
        and any(
            isinstance(device, Mapping) and device.get("device_class") in DEVICES_WITH_CODES
            for device in devices
        )
    )


CREDENTIALS: Final = frozenset(("uid_field", "password", "non_field_errors"))
CODE: Final = frozenset(("code",))


def _refuse(errors: Any, typed: frozenset[str]) -> bool:
    """Whether ``response_errors`` says that what was ``typed`` into these fields is not right.

    Its shape is ``{field: [{"string": ..., "code": ...}]}``. An error of another field, or one that
    says that a field is missing, is about the form of the answer and not about what was typed.
    """
    if not isinstance(errors, Mapping):
        return False
    for name, reasons in errors.items():
        if name not in typed:
            return False
        if not isinstance(reasons, list) or not reasons:
            return False
        for reason in reasons:
            if not isinstance(reason, Mapping) or not isinstance(reason.get("code"), str):
                return False
            if reason["code"] == "required":
                return False
    return True
