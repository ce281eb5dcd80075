"""The Flow Executor without HTTP: it walks a session through the bindings of a flow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from ropg_twisted.sandbox import challenges
from ropg_twisted.sandbox.challenges import Errors
from ropg_twisted.sandbox.devices import Devices
from ropg_twisted.sandbox.flows import (
    Binding,
    Captcha,
    Consent,
    Deny,
    Flow,
    Identification,
    Login,
    Logout,
    NotConfigured,
    Password,
    Policy,
    Prompt,
    Requirement,
    SecondFactor,
    TotpSetup,
)
from ropg_twisted.sandbox.people import Person, find
from ropg_twisted.sandbox.sessions import Clock, Plan, Sessions
from ropg_twisted.sandbox.visits import Event, Reply, Visit

Answer: TypeAlias = Mapping[str, Any]
BAD_REPUTATION = -5
"""The reputation at which the policy of that name passes."""


class Executor:
    """Flows in progress, and what they leave behind: rows, events and reputation."""

    def __init__(self, clock: Clock) -> None:
        self.sessions = Sessions(clock)
        self.devices = Devices(clock)
        self.events: list[Event] = []
        self.reputation: Counter[tuple[str, str]] = Counter()

    def get(self, visit: Visit, flow: Flow) -> Reply:
        """Show where the session stands in the flow; a new one begins it."""
        return self._enter(visit, flow) or self._show(visit)

    def post(self, visit: Visit, flow: Flow, data: Answer) -> Reply:
        """Take an answer to whatever the session stands at: the data's component is not read."""
        return self._enter(visit, flow) or self._take(visit, data)

    def fail(self, visit: Visit, flow: Flow) -> Reply:
        """Answer a request whose content type or body cannot be understood."""
        return self._enter(visit, flow) or Reply(challenges.flow_error())

    def _enter(self, visit: Visit, flow: Flow) -> Reply | None:
        """Begin the flow, unless the session is in it already. A session is in one at most."""
        session = visit.session
        if session.plan is not None and session.plan.flow == flow:
            return None
        session.plan = None
        refusal = self._refusal(visit, flow)
        if refusal and session.person is None and not flow.denial_continues:
            denied = challenges.access_denied(flow, "", refusal, visit.language)
            return Reply(denied, early=True)
        if refusal or not flow.bindings:
            return Reply(challenges.redirect("/"), early=True)
        session.plan = Plan.begin(flow)
        return None

    def _refusal(self, visit: Visit, flow: Flow) -> str | None:
        """The message that keeps this visitor out of the flow, or None."""
        if flow.requires is Requirement.OUTPOST and not visit.outpost:
            return challenges.NOT_APPLICABLE
        if flow.requires is Requirement.UNAUTHENTICATED and visit.session.person is not None:
            return challenges.NOT_APPLICABLE
        return flow.denied

    def _next(self, plan: Plan) -> Binding | None:
        """The binding to stand at: those whose policy does not pass go, without a redirect."""
        while plan.remaining and not self._passes(plan.remaining[0].policy, plan):
            plan.remaining.pop(0)
        return plan.remaining[0] if plan.remaining else None

    def _passes(self, policy: Policy, plan: Plan) -> bool:
        expired = plan.person is not None and plan.person.expired
        match policy:
            case Policy.PASSWORD_FRESH:
                return not expired
            case Policy.PASSWORD_EXPIRED:
                return expired
            case Policy.BAD_REPUTATION:
                scores = (n for (name, _), n in self.reputation.items() if name == plan.name)
                return sum(scores) <= BAD_REPUTATION
            case Policy.ALWAYS:
                return True

    def _show(self, visit: Visit) -> Reply:
        """Answer a GET: pass the stages that need nobody, or show the challenge."""
        plan = visit.plan
        binding = self._next(plan)
        if binding is None:
            return replace(self._done(visit), early=True)
        match binding.stage:
            case Login(asks=False):
                return self._log_in(visit, known_device=True)
            case Logout():
                self.sessions.end(visit.session)
                return self._advance(visit)
            case Deny(message):
                return self._deny(visit, message)
            case SecondFactor(not_configured) if self.devices.kind(plan.person) is None:
                return self._without_device(visit, not_configured)
            case stage:
                return Reply(challenges.show(stage, plan, self.devices, visit.language))

    def _take(self, visit: Visit, data: Answer) -> Reply:
        """Answer a POST."""
        plan = visit.plan
        binding = self._next(plan)
        match binding and binding.stage:
            case Identification() as stage:
                return self._identify(visit, plan, stage, data)
            case Password() as stage:
                return self._check_password(visit, plan, stage, data)
            case SecondFactor() if plan.person and self.devices.kind(plan.person):
                return self._check_code(visit, plan.person, data)
            case TotpSetup():
                if not self.devices.fits(plan.key, _text(data, "code")):
                    return self._invalid(visit, {"code": ("Code does not match", "invalid")})
                return self._advance(visit)
            case Login(asks=True):
                if not isinstance(data.get("remember_me"), bool):
                    return self._invalid(visit, {"remember_me": challenges.REQUIRED})
                return self._log_in(visit, known_device=False)
            case Captcha():
                return self._invalid(visit, {"token": challenges.REQUIRED})
            case Consent() if data.get("token") == plan.consent:
                return self._advance(visit)
            case Prompt(fields):
                empty = [field.key for field in fields if not _text(data, field.key)]
                errors = dict.fromkeys(empty, challenges.REQUIRED)
                return self._invalid(visit, errors) if errors else self._advance(visit)
            case _:
                return self._show(visit)

    def _identify(self, visit: Visit, plan: Plan, stage: Identification, data: Answer) -> Reply:
        """Look the name up. Names and passwords in this form lose the blanks round them."""
        if visit.session.person is not None:
            return Reply(challenges.flow_error(), disowned=True)
        name = _text(data, "uid_field").strip()
        if not name:
            return self._invalid(visit, {"non_field_errors": (challenges.NO_NAME, "invalid")})
        person = plan.person = find(name)
        plan.name = name if person is None else person.username
        refused = {"non_field_errors": (challenges.NOT_AUTHENTICATED, "invalid")}
        if person is None:
            self.reputation[name, visit.address] -= 1
            if stage.combined or not stage.pretend_user_exists:
                return self._invalid(visit, refused)
        elif stage.captcha:
            return self._invalid(visit, refused)
        elif stage.combined and not plan.accepts(
            _text(data, "password").strip(), app_passwords=True
        ):
            self._login_failed(visit, plan.name)
            return self._invalid(visit, refused)
        return self._advance(visit)

    def _check_password(self, visit: Visit, plan: Plan, stage: Password, data: Answer) -> Reply:
        """Compare the password as it came, and count the wrong ones of the whole session."""
        errors: Errors = {"password": challenges.REQUIRED}
        if password := _text(data, "password"):
            if plan.accepts(password, app_passwords=stage.app_passwords):
                return self._advance(visit)
            self._login_failed(visit, plan.name)
            errors = {"password": (challenges.INVALID_PASSWORD, "invalid")}
        if plan.remaining[0].restarts:
            return self._invalid(visit, errors)
        visit.session.wrong_passwords += 1
        if visit.session.wrong_passwords >= stage.attempts:
            visit.session.wrong_passwords = 0
            return self._deny(visit, challenges.INVALID_PASSWORD)
        return self._invalid(visit, errors)

    def _check_code(self, visit: Visit, person: Person, data: Answer) -> Reply:
        code = _text(data, "code")
        if not code:
            return self._invalid(visit, {"non_field_errors": (challenges.NO_CODE, "invalid")})
        if not self.devices.accepts(person, code):
            self._login_failed(visit, person.username)
            return self._invalid(visit, {"code": (challenges.INVALID_CODE, "invalid")})
        visit.plan.methods.append("mfa")
        return self._advance(visit)

    def _without_device(self, visit: Visit, not_configured: NotConfigured) -> Reply:
        if not_configured is NotConfigured.DENY:
            return self._deny(visit, challenges.NO_DEVICE)
        if not_configured is NotConfigured.CONFIGURE:
            visit.plan.remaining.insert(1, Binding(TotpSetup()))
        return self._advance(visit)

    def _log_in(self, visit: Visit, *, known_device: bool) -> Reply:
        person = visit.plan.person
        if person is None:
            return self._deny(visit, challenges.NOT_APPLICABLE)
        self.sessions.log_in(visit.session, person, visit.plan.methods)
        self.events.append(Event("login", person.username, visit.address))
        self.reputation[person.username, visit.address] += 1
        return replace(self._advance(visit), logged_in=person, known_device=known_device)

    def _login_failed(self, visit: Visit, name: str) -> None:
        self.events.append(Event("login_failed", name, visit.address))
        self.reputation[name, visit.address] -= 1

    def _advance(self, visit: Visit) -> Reply:
        """Leave the stage. The last one ends the flow at once, any other by a redirect."""
        plan = visit.plan
        plan.remaining.pop(0)
        return visit.again() if plan.remaining else self._done(visit)

    def _done(self, visit: Visit) -> Reply:
        visit.session.plan = None
        return Reply(challenges.redirect("/"))

    def _invalid(self, visit: Visit, errors: Errors) -> Reply:
        """Refuse an answer: the same challenge with errors, or a restart of the flow."""
        plan = visit.plan
        binding = plan.remaining[0]
        if binding.restarts:
            visit.session.plan = Plan.begin(plan.flow)
            return visit.again()
        return Reply(challenges.show(binding.stage, plan, self.devices, visit.language, errors))

    def _deny(self, visit: Visit, message: str) -> Reply:
        """Refuse the person and forget the plan: the next request begins the flow anew."""
        plan = visit.plan
        visit.session.plan = None
        return Reply(challenges.access_denied(plan.flow, plan.name, message, visit.language))


def _text(data: Answer, key: str) -> str:
    """The value of a text field, empty for anything else."""
    value = data.get(key)
    return value if isinstance(value, str) else ""
