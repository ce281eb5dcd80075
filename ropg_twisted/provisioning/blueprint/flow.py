"""The entries of the flow: its stages, the flow itself, and the bindings between them."""

from __future__ import annotations

from typing import Final

from ropg_twisted.provisioning.blueprint.model import Backend, Blueprint
from ropg_twisted.provisioning.blueprint.syntax import find, quoted

FLOW: Final = "authentik_flows.flow"
IDENTIFICATION: Final = "authentik_stages_identification.identificationstage"
PASSWORD: Final = "authentik_stages_password.passwordstage"
MFA: Final = "authentik_stages_authenticator_validate.authenticatorvalidatestage"
LOGIN: Final = "authentik_stages_user_login.userloginstage"

BACKENDS: Final = {
    Backend.INBUILT: "authentik.core.auth.InbuiltBackend",
    Backend.LDAP: "authentik.sources.ldap.auth.LDAPBackend",
    Backend.KERBEROS: "authentik.sources.kerberos.auth.KerberosBackend",
}
"""The name of each backend in Authentik."""

TOKEN_SESSION: Final = "hours=1"
"""Lifetime of Authentik's access tokens, and of the sessions with which they end."""


def flow_entries(blueprint: Blueprint) -> list[str]:
    """Return the entries in their order: an entry refers to those before it."""
    stages = [(IDENTIFICATION, "identification", 10), (PASSWORD, "password", 20)]
    if blueprint.second_factor:
        stages.append((MFA, "mfa", 30))
    stages.append((LOGIN, "login", 100))
    return [
        _identification(blueprint),
        _password(blueprint),
        _mfa(blueprint) if blueprint.second_factor else _no_mfa(blueprint),
        _login(blueprint),
        _flow(blueprint),
        *(_binding(blueprint, model, name, order) for model, name, order in stages),
    ]


def _identification(blueprint: Blueprint) -> str:
    return f"""\
  # Asks for the user name. The password is asked for by a stage of its own: a form that asks for
  # both removes spaces around the password. A name that nobody has goes on to the password stage,
  # so that it is refused like a wrong password.
  - model: {IDENTIFICATION}
    identifiers:
      name: {quoted(f"{blueprint.slug}-identification")}
    attrs:
      user_fields: [username, email]
      pretend_user_exists: true
      case_insensitive_matching: true
      password_stage: null
      captcha_stage: null
      webauthn_stage: null
      sources: []
"""


def _password(blueprint: Blueprint) -> str:
    backends = "".join(f"        - {BACKENDS[backend]}\n" for backend in blueprint.backends)
    return f"""\
  # Checks the password. authentik.core.auth.TokenBackend is left out: an app password, made for
  # some script, would unlock a Mac.
  - model: {PASSWORD}
    identifiers:
      name: {quoted(f"{blueprint.slug}-password")}
    attrs:
      backends:
{backends}"""


def _mfa(blueprint: Blueprint) -> str:
    return f"""\
  # Asks users who have a second factor for it, at every login, and skips the others. The daemon
  # stops there: the password is right, and the client is told that more is needed.
  - model: {MFA}
    identifiers:
      name: {quoted(f"{blueprint.slug}-mfa")}
    attrs:
      not_configured_action: skip
      last_auth_threshold: seconds=0
      device_classes: [static, totp, webauthn, duo, sms, email]
"""


def _no_mfa(blueprint: Blueprint) -> str:
    name = f"{blueprint.slug}-mfa"
    return f"""\
  # No second factor: deletes the stage, and its binding, if an earlier blueprint has made it.
  - model: {MFA}
    state: absent
    conditions:
      - {find(MFA, "name", name)}
    identifiers:
      name: {quoted(name)}
"""


def _login(blueprint: Blueprint) -> str:
    if blueprint.upstream_tokens:
        duration = TOKEN_SESSION
        why = "Authentik's access tokens end with the session, so it lasts as long as they do"
    else:
        duration = "minutes=2"
        why = "The session is removed after each check. One that is left is soon over"
    return f"""\
  # Logs the user in: the session tells the daemon that the login is complete, who the user is, and
  # whether the user may use the application. Without this stage nobody is let in.
  # {why}.
  # It must not end the user's other sessions, and it is used from the address of the daemon.
  - model: {LOGIN}
    identifiers:
      name: {quoted(f"{blueprint.slug}-login")}
    attrs:
      session_duration: {duration}
      remember_me_offset: seconds=0
      terminate_other_sessions: false
      network_binding: no_binding
      geoip_binding: no_binding
"""


def _flow(blueprint: Blueprint) -> str:
    if blueprint.outpost:
        who = "Only who has the token of an outpost may start it."
        authentication = "require_outpost"
    else:
        who = "Everybody who reaches Authentik may start it, and try passwords there."
        authentication = "none"
    return f"""\
  # The flow, for the daemon only. {who}
  - model: {FLOW}
    identifiers:
      slug: {quoted(blueprint.slug)}
    attrs:
      name: {quoted(f"{blueprint.slug}: password check")}
      title: Password check
      designation: authentication
      authentication: {authentication}
      denied_action: message
      policy_engine_mode: any
"""


def _binding(blueprint: Blueprint, model: str, name: str, order: int) -> str:
    why = ""
    if model == IDENTIFICATION:
        why = """\
  # The bindings put the stages into the flow. The invalid response action must be `retry`: with
  # any other a wrong password is answered like a right one. `order` is not an identifier: if it
  # were, another order would bind the stage a second time.
"""
    return f"""\
{why}  - model: authentik_flows.flowstagebinding
    identifiers:
      target: {find(FLOW, "slug", blueprint.slug)}
      stage: {find(model, "name", f"{blueprint.slug}-{name}")}
    attrs:
      order: {order}
      invalid_response_action: retry
      evaluate_on_plan: false
      re_evaluate_policies: true
"""
