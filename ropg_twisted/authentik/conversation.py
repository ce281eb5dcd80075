"""Rules of a login: a challenge comes in, the next response or the verdict goes out. No I/O.

=============================  ======================  ==========================================
challenge                      when                    response, or verdict
=============================  ======================  ==========================================
``ak-stage-identification``    first                   the name, and the password if there is a
                                                       field for it
 ... with errors               in reply to the name,   rejected
                               or name and password
``ak-stage-password``          after the name          the password
 ... with errors               in reply to the         rejected; unverifiable after more than
                               password                ``slow_refusal`` seconds
``ak-stage-access-denied``     before the name         unverifiable
                               after the name          denied
                               in reply to the         rejected
                               password
                               after the password      denied
``ak-stage-user-login``        after the password      ``remember_me: false``
``...authenticator-validate``  after the password      the code, if the user sent one and the
                                                       stage accepts such codes
 ... with errors               in reply to the code    rejected (wrong code)
``ak-stage-authenticator-*``   after the password      interaction required
any other known stage          after the password      interaction required
``xak-flow-redirect``          after the password      verified if the session is authenticated, or
                                                       if the flow has no login stage; otherwise
                                                       denied (to Authentik's root) or interaction
                                                       required (to any other place)
anything else                  at any time             unverifiable
=============================  ======================  ==========================================

*After the password* means that it was accepted: Authentik responded to its POST with a 302, or with
another component that is not a refusal. Components, fields and codes decide. Texts do not: they
depend on Accept-Language.

Every outcome after the password depends on that 302. A flow that restarts on a refusal sends it as
well. So the evidence of how the flow refuses a password decides which outcomes are trusted:

==============================  ==================================================================
evidence                        trusted outcomes
==============================  ==================================================================
in place                        all
unknown                         refusals, denials before the password, and an end with an
                                authenticated session; others: unverifiable (``flow_unproven``)
restarts                        none: unverifiable (``flow_restarts``)
==============================  ==================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from math import inf
from typing import Final, TypeAlias
from urllib.parse import urljoin

from ropg_twisted.authentik.challenges import Challenge, Redirect, SessionCookie
from ropg_twisted.authentik.components import (
    ACCESS_DENIED,
    AUTHENTICATOR,
    CODE,
    CREDENTIALS,
    FLOW_ERROR,
    FLOW_SHELL,
    IDENTIFICATION,
    PASSWORD,
    REDIRECT,
    USER_LOGIN,
    VALIDATE,
    accepts_code,
    are_refusals,
    is_known_component,
    is_stage_after_password,
    reason_not_to_start,
)
from ropg_twisted.authentik.evidence import Evidence
from ropg_twisted.interfaces import LoginAttempt
from ropg_twisted.types import JSONObject
from ropg_twisted.verdict import Outcome, Reason, Verdict

MAX_STEPS: Final = 30
"""Maximum number of responses in one login. The default flow has six."""


@dataclass(frozen=True, slots=True)
class ChallengeResponse:
    """The response to a challenge: a JSON object to POST."""

    body: JSONObject = field(repr=False)


@dataclass(frozen=True, slots=True)
class FollowRedirect:
    """Follow a redirect: GET the next challenge."""


Step: TypeAlias = ChallengeResponse | FollowRedirect | Outcome


class Progress(IntEnum):
    """The progress of a login."""

    OPENED = 0
    """Nothing has been sent."""
    IDENTIFIED = 1
    """The name has been sent, the password has not."""
    SENT = 2
    """The password has been sent; it is not known whether Authentik accepts it."""
    ACCEPTED = 3
    """Authentik responded to the password as to an accepted one."""
    PASSED = 4
    """A response to a stage after the password has been sent."""


_REJECTED = Outcome(Verdict.REJECTED, Reason.WRONG_CREDENTIALS)
_DENIED = Outcome(Verdict.DENIED, Reason.POLICY)
_WRONG_CODE = Outcome(Verdict.REJECTED, Reason.WRONG_CODE)


def _unverifiable(reason: Reason) -> Outcome:
    return Outcome(Verdict.UNVERIFIABLE, reason)


def _interaction(reason: Reason) -> Outcome:
    return Outcome(Verdict.INTERACTION_REQUIRED, reason)


class Conversation:
    """The decisions of one login: the response to each challenge, and the verdict.

    Args:
        login: the user name and password.
        root: the URL of Authentik's start page.
        evidence: how the flow was seen to refuse a password.
        login_stage: whether the flow has a user-login stage. Without one, the end of the flow after
            the password verifies it, even if the session is not authenticated.
        slow_refusal: seconds after which a refusal is not believed. A directory that hangs becomes
            a refusal when Authentik gives it up; one that works refuses within a second.

    Attributes:
        progress: how far the login has come.
        refused_in_place: whether Authentik refused the password in place; ``None`` before it has
            responded to the password, and if its response does not concern the password.
        restarted: the flow asked for the user name or the password again.
        stages: the components received, in order. An unknown one is ``unknown``.
    """

    def __init__(
        self,
        login: LoginAttempt,
        *,
        root: str,
        evidence: Evidence,
        login_stage: bool = True,
        slow_refusal: float = inf,
    ) -> None:
        self.progress = Progress.OPENED
        self.refused_in_place: bool | None = None
        self.restarted = False
        self.stages: list[str] = []
        self._login = login
        self._evidence = evidence
        self._login_stage = login_stage
        self._slow_refusal = slow_refusal
        self._root = root
        self._last_component: str | None = None
        self._code_sent = False
        self._cookie = SessionCookie()
        self._steps = 0

    @property
    def name_sent(self) -> bool:
        """True if the user name has been sent."""
        return self.progress >= Progress.IDENTIFIED

    @property
    def password_sent(self) -> bool:
        """True if the password has been sent."""
        return self.progress >= Progress.SENT

    def receive(
        self, received: Redirect | Challenge, cookie: SessionCookie, seconds: float = 0.0
    ) -> Step:
        """Return the next step. An :class:`Outcome` ends the login.

        Args:
            received: Authentik's next response.
            cookie: the session cookie after that response.
            seconds: the duration of the request.
        """
        if isinstance(received, Challenge):
            is_known = is_known_component(received.component)
            self.stages.append(received.component if is_known else "unknown")
        self._steps += 1
        if self._steps > MAX_STEPS:
            return _unverifiable(Reason.FLOW_LOOP)
        if self.progress is Progress.SENT:
            self.refused_in_place = self._is_refusal_in_place(received, cookie)
            if self._evidence is Evidence.RESTARTS:
                return _unverifiable(Reason.FLOW_RESTARTS)
        step = self._next_step(received, cookie)
        if step is _REJECTED and seconds > self._slow_refusal:
            return _unverifiable(Reason.REFUSAL_TOO_SLOW)
        return self._trusted(step, cookie) if isinstance(step, Outcome) else step

    def _is_refusal_in_place(
        self, received: Redirect | Challenge, cookie: SessionCookie
    ) -> bool | None:
        """Return whether Authentik refused the password in place; ``None`` if it is unknown."""
        if isinstance(received, Redirect):
            return False
        errors = received.fields.get("response_errors")
        if errors:
            is_reply = received.component == self._last_component
            return True if is_reply and are_refusals(errors, CREDENTIALS) else None
        if received.component == IDENTIFICATION and not self._is_same(cookie):
            return None
        return received.component == ACCESS_DENIED

    def _trusted(self, outcome: Outcome, cookie: SessionCookie) -> Outcome:
        """Return the outcome if the evidence supports it, otherwise ``unverifiable``."""
        if outcome.verdict is Verdict.UNVERIFIABLE or self._evidence is Evidence.IN_PLACE:
            return outcome
        if self._evidence is Evidence.RESTARTS:
            return _unverifiable(Reason.FLOW_RESTARTS)
        logged_in = outcome.verdict is Verdict.VERIFIED and cookie.authenticated
        if self.progress >= Progress.ACCEPTED and not logged_in:
            return _unverifiable(Reason.FLOW_UNPROVEN)
        return outcome

    def _next_step(self, received: Redirect | Challenge, cookie: SessionCookie) -> Step:
        if isinstance(received, Redirect):
            self._last_component = None
            if self.progress is Progress.SENT:
                self.progress = Progress.ACCEPTED
            return FollowRedirect()
        if self.progress is Progress.OPENED:
            return self._start(received, cookie)
        if received.fields.get("response_errors"):
            return self._refused(received)
        if received.component == IDENTIFICATION:
            return self._identification_again(cookie)
        if received.component == PASSWORD:
            return self._password(cookie)
        if received.component == ACCESS_DENIED:
            return _REJECTED if self.progress is Progress.SENT else _DENIED
        if received.component == REDIRECT or is_stage_after_password(received.component):
            return self._after_password(received, cookie)
        if received.component in (FLOW_ERROR, FLOW_SHELL):
            return _unverifiable(Reason.FLOW_ERROR)
        return _unverifiable(Reason.FLOW_UNKNOWN_STAGE)

    def _start(self, first: Challenge, cookie: SessionCookie) -> Step:
        """Return the step for the first challenge, which must be the identification stage."""
        reason = reason_not_to_start(first)
        if reason is not None:
            return _unverifiable(reason)
        name = {"uid_field": self._login.username}
        if first.fields.get("password_fields") is True:
            return self._send_password(IDENTIFICATION, name, cookie)
        self.progress = Progress.IDENTIFIED
        return self._respond(IDENTIFICATION, name)

    def _refused(self, challenge: Challenge) -> Outcome:
        """Return the outcome for errors. Only those about credentials or a code are refusals."""
        errors = challenge.fields["response_errors"]
        component = challenge.component
        if component == self._last_component:
            if component in (IDENTIFICATION, PASSWORD) and are_refusals(errors, CREDENTIALS):
                return _REJECTED
            if component == VALIDATE and are_refusals(errors, CODE):
                return _WRONG_CODE
        elif component == IDENTIFICATION and self.password_sent:
            return _unverifiable(Reason.SESSION_LOST)
        return _unverifiable(Reason.FLOW_ERROR)

    def _identification_again(self, cookie: SessionCookie) -> Outcome:
        self.restarted = self.password_sent
        if self.restarted and self._is_same(cookie):
            return _unverifiable(Reason.FLOW_RESTARTS)
        return _unverifiable(Reason.SESSION_LOST)

    def _password(self, cookie: SessionCookie) -> Step:
        if self.progress is Progress.IDENTIFIED:
            return self._send_password(PASSWORD, {}, cookie)
        self.restarted = self.password_sent
        return _unverifiable(Reason.FLOW_NOT_HEADLESS)

    def _after_password(self, challenge: Challenge, cookie: SessionCookie) -> Step:
        """Return the step for a challenge that may come only after an accepted password."""
        ends = challenge.component == REDIRECT
        if not self.password_sent:
            return _unverifiable(Reason.FLOW_ENDED_EARLY if ends else Reason.FLOW_NOT_HEADLESS)
        if self.progress is Progress.SENT:
            self.progress = Progress.ACCEPTED
        if ends:
            return self._end(challenge, cookie)
        if challenge.component == USER_LOGIN:
            if self._last_component == USER_LOGIN:
                return _unverifiable(Reason.FLOW_ERROR)
            self.progress = Progress.PASSED
            return self._respond(USER_LOGIN, {"remember_me": False})
        if self._login.code is not None and not self._code_sent and accepts_code(challenge):
            self.progress = Progress.PASSED
            self._code_sent = True
            return self._respond(VALIDATE, {"code": self._login.code})
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
        """Return whether the session is still the one in which the password was sent."""
        return cookie.sid is not None and cookie.sid == self._cookie.sid

    def _send_password(
        self, component: str, fields: Mapping[str, object], cookie: SessionCookie
    ) -> ChallengeResponse:
        self.progress = Progress.SENT
        self._cookie = cookie
        return self._respond(component, {**fields, "password": self._login.password})

    def _respond(self, component: str, fields: Mapping[str, object]) -> ChallengeResponse:
        self._last_component = component
        return ChallengeResponse({"component": component, **fields})
