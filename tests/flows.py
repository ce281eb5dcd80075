"""Random flows for the sandbox, and what it made of the passwords that were given in them."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from ropg_twisted.sandbox.app import Sandbox
from ropg_twisted.sandbox.flows import (
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
from ropg_twisted.sandbox.policies import (
    HasNoBackend,
    IsMember,
    Not,
    PasswordExpired,
    Policy,
    ReputationPolicy,
    SetRedirect,
    UserIsPending,
)

SLUG = "random-flow"
"""The slug of every random flow."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a sandbox has made of the credentials of one check.

    ``judged``: a backend was asked about a password, or nobody has the name. ``accepted``: a
    backend has accepted a password. ``refused``: one has refused it, or nobody has the name.
    """

    judged: bool
    accepted: bool
    refused: bool

    @classmethod
    def of(cls, sandbox: Sandbox) -> Judgement:
        """Return the judgement of all that a sandbox was asked since it was made."""
        verdicts = [authentication.accepted for authentication in sandbox.authentications]
        verdicts += [False for event in sandbox.events if event.kind == "identification_failed"]
        return cls(bool(verdicts), True in verdicts, False in verdicts)


def policies() -> st.SearchStrategy[Policy]:
    """Return a strategy of policies, half of them negated."""
    plain: st.SearchStrategy[Policy] = st.one_of(
        st.builds(
            ReputationPolicy,
            threshold=st.integers(-2, 0),
            check_ip=st.booleans(),
            check_username=st.booleans(),
        ),
        st.just(UserIsPending()),
        st.just(HasNoBackend()),
        st.just(IsMember("mac-users")),
        st.just(PasswordExpired()),
        st.sampled_from((SetRedirect("https://elsewhere.example.com/"), SetRedirect("/if/user/"))),
    )
    return plain | plain.map(Not)


def identifications() -> st.SearchStrategy[Identification]:
    """Return a strategy of identification stages; few want a captcha."""
    return st.builds(
        Identification,
        combined=st.booleans(),
        pretend_user_exists=st.booleans(),
        captcha=st.sampled_from((False, False, False, True)),
        show_matched_user=st.booleans(),
    )


def passwords() -> st.SearchStrategy[Password]:
    """Return a strategy of password stages."""
    return st.builds(Password, attempts=st.integers(0, 5), app_passwords=st.booleans())


def second_factors() -> st.SearchStrategy[SecondFactor]:
    """Return a strategy of second-factor stages."""
    return st.builds(
        SecondFactor,
        not_configured=st.sampled_from(NotConfigured),
        device_classes=st.sampled_from((("static", "totp", "webauthn"), ("static", "totp"))),
        configuration_stage=st.none() | st.just(TotpSetup()),
    )


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
        second_factors(),
    )


def bound(stages: st.SearchStrategy[Stage]) -> st.SearchStrategy[Binding]:
    """Return a strategy of bindings of such a stage; half of them have no policy."""
    return st.builds(
        Binding,
        stages,
        policy=st.none() | policies(),
        invalid_response_action=st.sampled_from(InvalidResponseAction),
        evaluate_on_plan=st.booleans(),
        re_evaluate_policies=st.booleans(),
    )


@st.composite
def bindings(draw: st.DrawFn) -> tuple[Binding, ...]:
    """Return a strategy of the bindings of a flow.

    Most have the stages of a login in their usual order, with others before, between and behind
    them; the rest is any list of stages.
    """
    others = st.lists(bound(other_stages()), max_size=1)
    if draw(st.integers(0, 3)) == 0:
        kinds = identifications() | passwords() | logins() | other_stages()
        return tuple(draw(st.lists(bound(kinds), max_size=6)))
    drawn = [*draw(others), draw(bound(identifications())), *draw(others)]
    drawn += draw(st.lists(bound(passwords()), max_size=1)) or draw(others)
    drawn += [*draw(others), *draw(st.lists(bound(logins()), max_size=1)), *draw(others)]
    return tuple(drawn)


def flows() -> st.SearchStrategy[Flow]:
    """Return a strategy of flows; few have a policy of their own, or a requirement."""
    return st.builds(
        Flow,
        slug=st.just(SLUG),
        bindings=bindings(),
        requires=st.sampled_from(
            (Requirement.NONE, Requirement.NONE, Requirement.NONE, Requirement.UNAUTHENTICATED)
        ),
        policy=st.none() | st.none() | st.none() | policies(),
        denied_action=st.sampled_from(DeniedAction),
    )
