"""The stages: the outcome of each at a GET, and at a response to its challenge.

A stage decides nothing about the flow. It returns its outcome, on which the executor acts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from ropg_twisted.sandbox.accounts import Account, Accounts
from ropg_twisted.sandbox.flow import challenges
from ropg_twisted.sandbox.flow.challenges import Errors
from ropg_twisted.sandbox.flow.context import PendingUser
from ropg_twisted.sandbox.flow.devices import Devices
from ropg_twisted.sandbox.flow.flows import (
    Binding,
    Captcha,
    Consent,
    Deny,
    Dummy,
    Identification,
    Login,
    Logout,
    NotConfigured,
    Password,
    Prompt,
    SecondFactor,
    TotpSetup,
    UserWrite,
)
from ropg_twisted.sandbox.flow.ldap_backend import LDAPBackend
from ropg_twisted.sandbox.flow.requests import FlowRequest
from ropg_twisted.sandbox.flow.sessions import Sessions
from ropg_twisted.sandbox.flow.signals import Signals

ResponseData: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Challenged:
    """The stage waits for a response."""


@dataclass(frozen=True, slots=True)
class StageOk:
    """The stage is passed. ``logged_in`` and ``known_device``: as in ``Reply``."""

    logged_in: Account | None = None
    known_device: bool = False


@dataclass(frozen=True, slots=True)
class StageInvalid:
    """The user is denied, for an unknown reason if ``message`` is empty."""

    message: str = ""


@dataclass(frozen=True, slots=True)
class ChallengeInvalid:
    """The response is refused."""

    errors: Errors


@dataclass(frozen=True, slots=True)
class StageError:
    """The stage has raised an exception that nothing inside it catches."""


Outcome = Challenged | StageOk | StageInvalid | ChallengeInvalid | StageError

_REFUSED = ChallengeInvalid({"non_field_errors": (challenges.NOT_AUTHENTICATED, "invalid")})


class Stages:
    """Runs the stages of all flows."""

    def __init__(
        self,
        accounts: Accounts,
        ldap: LDAPBackend,
        sessions: Sessions,
        devices: Devices,
        signals: Signals,
    ) -> None:
        self._accounts = accounts
        self._ldap = ldap
        self._sessions = sessions
        self._devices = devices
        self._signals = signals

    def get(self, request: FlowRequest, binding: Binding) -> Outcome:
        """Run a stage at a GET. One that needs no response is passed."""
        match binding.stage:
            case Identification() as stage if self._skips(request, binding, stage):
                return StageOk()
            case SecondFactor() as stage:
                return self._look_for_device(request, stage)
            case Login(asks=False) as stage:
                return self._log_in(request, stage, known_device=True)
            case Logout():
                self._sessions.end(request.session)
                return StageOk()
            case Deny(message):
                return StageInvalid(message)
            case UserWrite() if request.plan.context.has_prompt_data:
                return StageOk()
            case UserWrite():
                return StageInvalid(challenges.NO_PENDING_DATA)
        return Challenged()

    async def post(self, request: FlowRequest, binding: Binding, data: ResponseData) -> Outcome:
        """Run a stage with a response, whose component is not read."""
        match binding.stage:
            case Identification() as stage:
                return await self._identify(request, stage, data)
            case Password() as stage:
                return await self._check_password(request, stage, data)
            case SecondFactor() as stage:
                return self._check_code(request, stage, data)
            case TotpSetup():
                if not self._devices.fits(request.plan.key, _text(data, "code")):
                    return ChallengeInvalid({"code": ("Code does not match", "invalid")})
                return StageOk()
            case Login(asks=True) as stage:
                if not isinstance(data.get("remember_me"), bool):
                    return ChallengeInvalid({"remember_me": challenges.REQUIRED})
                return self._log_in(request, stage, known_device=False)
            case Captcha():
                return ChallengeInvalid({"token": challenges.REQUIRED})
            case Consent():
                if not _text(data, "token"):
                    return ChallengeInvalid({"token": challenges.REQUIRED})
                return StageOk() if data["token"] == request.plan.consent else Challenged()
            case Prompt(fields):
                empty = [field.key for field in fields if not _text(data, field.key)]
                if empty:
                    return ChallengeInvalid(dict.fromkeys(empty, challenges.REQUIRED))
                request.plan.context.has_prompt_data = True
                return StageOk()
            case Dummy():
                return StageOk()
        return self.get(request, binding)

    def _skips(self, request: FlowRequest, binding: Binding, stage: Identification) -> bool:
        """Return whether the known name is enough. Its user is looked up again."""
        name = request.plan.context.pending_user_identifier
        if name is None or stage.combined or stage.captcha or binding.policy is not None:
            return False
        request.plan.context.pending_user = self._user(name)
        return True

    async def _identify(
        self, request: FlowRequest, stage: Identification, data: ResponseData
    ) -> Outcome:
        """Look the name up. Names and passwords in this form lose the spaces around them."""
        context = request.plan.context
        name = _text(data, "uid_field").strip()
        if not name:
            return ChallengeInvalid({"non_field_errors": (challenges.NO_NAME, "invalid")})
        user = self._user(name)
        if user.account is None:
            self._signals.identification_failed(name, request.address)
            # Even a name that is refused stays in the context, for a restart and for policies.
            context.pending_user = user
            if not stage.show_matched_user:
                context.pending_user_identifier = name
            return StageOk() if stage.pretend_user_exists and not stage.combined else _REFUSED
        if stage.captcha:
            return _REFUSED
        if stage.combined:
            password = _text(data, "password").strip()
            if not await self._authenticate(request, user, password, Password()):
                return _REFUSED
            user = replace(user, has_backend=True)
        context.pending_user = user
        if not stage.show_matched_user:
            context.pending_user_identifier = name
        return StageOk()

    async def _check_password(
        self, request: FlowRequest, stage: Password, data: ResponseData
    ) -> Outcome:
        """Check the password without changing it."""
        context = request.plan.context
        password = _text(data, "password")
        if not password:
            return ChallengeInvalid({"password": challenges.REQUIRED})
        user = context.pending_user
        if user is None:
            return StageInvalid()
        if not await self._authenticate(request, user, password, stage):
            return ChallengeInvalid({"password": (challenges.INVALID_PASSWORD, "invalid")})
        context.pending_user = replace(user, has_backend=True)
        return StageOk()

    async def _authenticate(
        self, request: FlowRequest, user: PendingUser, password: str, stage: Password
    ) -> bool:
        """Return whether a backend of the stage accepts the password.

        A password that Authentik itself keeps is a method of ``amr``, one of a directory is not. No
        other stage compares passwords. Each check is signalled.
        """
        account, accepted, mistaken = user.account, False, False
        if account is not None:
            context = request.plan.context
            own = stage.inbuilt and account.accepts(password)
            if own:
                context.methods.append("pwd")
            accepted = own or (stage.app_passwords and account.accepts_app_password(password))
            if not accepted and account.directory is not None:
                accepted = stage.ldap and await self._ldap.authenticate(account, password)
                mistaken = accepted != self._ldap.should_accept(account, password)
        self._signals.authenticated(
            user.username, request.address, accepted=accepted, mistaken=mistaken
        )
        return accepted

    def _look_for_device(self, request: FlowRequest, stage: SecondFactor) -> Outcome:
        user = request.pending_user
        if self._devices.kind(user, stage.device_classes) is not None:
            return Challenged()
        if user is None or stage.not_configured is NotConfigured.SKIP:
            return StageOk()
        if stage.not_configured is NotConfigured.DENY:
            return StageInvalid(challenges.NO_DEVICE)
        if stage.configuration_stage is None:
            return StageInvalid()
        request.plan.bindings.insert(1, Binding(stage.configuration_stage))
        return StageOk()

    def _check_code(self, request: FlowRequest, stage: SecondFactor, data: ResponseData) -> Outcome:
        code, user = _text(data, "code"), request.pending_user
        if not code:
            return ChallengeInvalid({"non_field_errors": (challenges.NO_CODE, "invalid")})
        allowed = self._devices.kind(user, stage.device_classes) is not None
        if not allowed or user is None or user.account is None:
            return ChallengeInvalid({"code": (challenges.WRONG_DEVICE_CLASS, "invalid")})
        if not self._devices.accepts(user.account, code):
            self._signals.login_failed(user.username, request.address)
            return ChallengeInvalid({"code": (challenges.INVALID_CODE, "invalid")})
        request.plan.context.methods.append("mfa")
        return StageOk()

    def _log_in(self, request: FlowRequest, stage: Login, *, known_device: bool) -> Outcome:
        user = request.plan.context.pending_user
        if user is None:
            return StageInvalid(challenges.NO_PENDING_USER)
        if user.account is None:
            return StageError()
        if not user.account.active:
            # Authentik goes on, but nobody is logged in with the session.
            return StageOk()
        methods = request.plan.context.methods
        self._sessions.log_in(request.session, user.account, methods, stage.duration)
        self._signals.logged_in(user.username, request.address)
        return StageOk(user.account, known_device)

    def _user(self, name: str) -> PendingUser:
        """Return the user of a typed name, existing or pretended."""
        account = self._accounts.find(name)
        return PendingUser(name if account is None else account.username, account)


def _text(data: ResponseData, key: str) -> str:
    """Return the value of a text field; empty for anything else."""
    value = data.get(key)
    return value if isinstance(value, str) else ""
