"""Random flows for the sandbox, and what it made of the passwords that were given in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hypothesis import strategies as st

from ropg_twisted.sandbox.flow.flows import (
    Binding,
    Captcha,
    Consent,
    DeniedAction,
    Deny,
    Dummy,
    Flow,
    Identification,
    InvalidResponseAction,
    Login,
    NotConfigured,
    Password,
    Prompt,
    PromptField,
    Redirect,
    Requirement,
    SecondFactor,
    Stage,
    TotpSetup,
    UserWrite,
)
from ropg_twisted.sandbox.flow.policies import (
    HasNoBackend,
    IsMember,
    Not,
    PasswordExpired,
    Policy,
    ReputationPolicy,
    SetRedirect,
    UserIsPending,
)
from ropg_twisted.sandbox.flow.signals import Authentication, Event

SLUG = "random-flow"
"""The slug of every random flow."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The sandbox's own judgement of the credentials of one check.

    ``judged``: a backend was asked about a password, or nobody has the name. ``accepted``: a
    backend has accepted a password. ``refused``: one has refused it, or nobody has the name.
    """

    judged: bool
    accepted: bool
    refused: bool

    @classmethod
    def of(cls, authentications: Iterable[Authentication], events: Iterable[Event]) -> Judgement:
        """Return the judgement of these passwords and events."""
        verdicts = [authentication.accepted for authentication in authentications]
        verdicts += [False for event in events if event.kind == "identification_failed"]
        return cls(bool(verdicts), True in verdicts, False in verdicts)


SECOND_TIME: tuple[Policy, ...] = (
    ReputationPolicy(-1, check_ip=True),
    ReputationPolicy(-1, check_username=True),
    ReputationPolicy(-1, check_ip=True, check_username=True),
    UserIsPending(),
    IsMember("mac-users"),
)
"""Policies that do not pass when a flow begins, and may do so after a refusal."""

OTHERS: tuple[Policy, ...] = (
    HasNoBackend(),
    PasswordExpired(),
    SetRedirect("https://elsewhere.example.com/"),
    SetRedirect("/if/user/"),
)


def policies() -> st.SearchStrategy[Policy]:
    """Return a strategy of policies, half of them negated."""
    plain = st.sampled_from(SECOND_TIME + OTHERS)
    return plain | plain.map(Not)


def identifications() -> st.SearchStrategy[Identification]:
    """Return a strategy of identification stages; few want a captcha."""
    return st.builds(
        Identification,
        combined=st.booleans(),
        pretend_user_exists=st.booleans(),
        captcha=seldom(),
        show_matched_user=st.booleans(),
    )


def passwords() -> st.SearchStrategy[Password]:
    """Return a strategy of password stages."""
    return st.builds(Password, attempts=st.integers(0, 5), app_passwords=st.booleans())


def logins() -> st.SearchStrategy[Login]:
    """Return a strategy of login stages."""
    return st.builds(Login, asks=st.booleans())


def other_stages() -> st.SearchStrategy[Stage]:
    """Return a strategy of the stages that may stand anywhere."""
    return st.one_of(
        st.just(Captcha()),
        st.just(Consent()),
        st.just(Deny("denied")),
        st.just(Dummy()),
        st.just(Prompt((PromptField("favourite", "Favourite colour"),))),
        st.just(Redirect("https://example.invalid/elsewhere")),
        st.just(UserWrite()),
        st.builds(
            SecondFactor,
            not_configured=st.sampled_from(NotConfigured),
            device_classes=st.sampled_from((("static", "totp", "webauthn"), ("static", "totp"))),
            configuration_stage=st.none() | st.just(TotpSetup()),
        ),
    )


def seldom() -> st.SearchStrategy[bool]:
    """Return a strategy that is true once in eight times, and shrinks to false."""
    return st.integers(0, 7).map(lambda number: number == 7)


def bound(
    stages: st.SearchStrategy[Stage], policy: st.SearchStrategy[Policy | None]
) -> st.SearchStrategy[Binding]:
    """Return a strategy of such stages, bound with such a policy in every other way."""
    return st.builds(
        Binding,
        stages,
        policy=policy,
        invalid_response_action=st.sampled_from(InvalidResponseAction),
        evaluate_on_plan=st.booleans(),
        re_evaluate_policies=seldom().map(lambda never: not never),
    )


@st.composite
def bindings(draw: st.DrawFn) -> tuple[Binding, ...]:
    """Return a strategy of the bindings of a flow.

    Most have the stages of a login in their usual order, and others in between that are mostly
    passed over until the flow restarts. The rest is any list of stages.
    """
    any_policy: st.SearchStrategy[Policy | None] = st.none() | policies()
    first_time = st.sampled_from(SECOND_TIME).map(Not)
    if draw(seldom()):
        kinds = identifications() | passwords() | logins() | other_stages()
        return tuple(draw(st.lists(bound(kinds, any_policy), max_size=6)))
    hidden = st.lists(bound(other_stages(), st.sampled_from(SECOND_TIME)), max_size=2)
    others = st.lists(bound(other_stages(), any_policy), max_size=2)
    policy: st.SearchStrategy[Policy | None] = st.none() | st.none() | first_time
    names, secrets = bound(identifications(), policy), bound(passwords(), policy)
    drawn = [*draw(hidden), draw(names), *draw(hidden)]
    drawn += draw(others) if draw(seldom()) else [draw(secrets), *draw(others)]
    if draw(st.booleans()):
        drawn += [draw(bound(logins(), st.none())), *draw(others)]
    elif draw(seldom()):
        drawn += [draw(names), draw(secrets)]
    return tuple(drawn)


def flows() -> st.SearchStrategy[Flow]:
    """Return a strategy of flows; few have a policy of their own, or a requirement."""
    return st.builds(
        Flow,
        slug=st.just(SLUG),
        bindings=bindings(),
        requires=seldom().map(lambda one: Requirement.UNAUTHENTICATED if one else Requirement.NONE),
        policy=seldom().flatmap(
            lambda one: st.sampled_from(SECOND_TIME).map(Not) if one else st.none()
        ),
        denied_action=st.sampled_from(DeniedAction),
    )
