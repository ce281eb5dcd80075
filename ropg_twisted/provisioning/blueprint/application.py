"""The entries of the application: its OAuth2 provider, itself, and the groups that may use it."""

from __future__ import annotations

from typing import Final

from ropg_twisted.provisioning.blueprint.flow import FLOW, TOKEN_SESSION
from ropg_twisted.provisioning.blueprint.model import Blueprint
from ropg_twisted.provisioning.blueprint.syntax import find, quoted, secret

APPLICATION: Final = "authentik_core.application"
GROUP: Final = "authentik_core.group"
PROVIDER: Final = "authentik_providers_oauth2.oauth2provider"

CLIENT_SECRET: Final = "ROPG_CLIENT_SECRET"
"""The variable of the client's secret in the environment of Authentik."""

_KEY: Final = "authentik_crypto.certificatekeypair"
_OWN_KEY: Final = find(_KEY, "name", "authentik Self-signed Certificate")
_JWT_KEY: Final = find(_KEY, "managed", "goauthentik.io/crypto/jwt-managed")
_SCOPES: Final = ("openid", "email", "profile", "offline_access")


def application_entries(blueprint: Blueprint) -> list[str]:
    """Return the entries in their order: an entry refers to those before it."""
    return [
        _provider(blueprint),
        _application(blueprint),
        *(_group(group) for group in blueprint.groups),
        *(_binding(blueprint, group, order) for order, group in enumerate(blueprint.groups)),
    ]


def _provider(blueprint: Blueprint) -> str:
    uris = "".join(
        f"""\
        - matching_mode: strict
          url: {quoted(uri)}
          redirect_uri_type: authorization
"""
        for uri in blueprint.redirect_uris
    )
    mappings = "".join(f"        - {_scope_mapping(scope)}\n" for scope in _SCOPES)
    client = "      client_type: public\n"
    if blueprint.confidential:
        value = secret(blueprint.secrets, CLIENT_SECRET, blueprint.client_secret)
        client = f"      client_type: confidential\n      client_secret: {value}\n"
    validity = (
        f"      access_token_validity: {TOKEN_SESSION}\n" if blueprint.upstream_tokens else ""
    )
    implicit_consent = find(FLOW, "slug", "default-provider-authorization-implicit-consent")
    return f"""\
  # The provider answers logins in a browser, codes and refresh tokens.
  # - The flows, the key and the scope mappings are those that Authentik has made itself. A key that
  #   is not found is no error, and then no id token of Authentik can be verified: see the end.
  # - Authentik rejects every grant that `grant_types` does not list. Versions before 2026.5 do not
  #   know the attribute, and ignore it.
  # - Redirect URIs are compared character by character.
  - model: {PROVIDER}
    identifiers:
      client_id: {quoted(blueprint.client_id)}
    attrs:
      name: {quoted(blueprint.client_id)}
{client}      redirect_uris:
{uris}      authorization_flow: {implicit_consent}
      invalidation_flow: {find(FLOW, "slug", "default-provider-invalidation-flow")}
      signing_key: !If [{_OWN_KEY}, {_OWN_KEY}, {_JWT_KEY}]
      encryption_key: null
      sub_mode: hashed_user_id
      issuer_mode: per_provider
{validity}      grant_types: [authorization_code, refresh_token]
      property_mappings:
{mappings}"""


def _scope_mapping(scope: str) -> str:
    managed = f"goauthentik.io/providers/oauth2/scope-{scope}"
    return find("authentik_providers_oauth2.scopemapping", "managed", managed)


def _application(blueprint: Blueprint) -> str:
    return f"""\
  # The application. After each right password the daemon asks Authentik whether the user may use
  # it. Its launch URL hides it from the users' list of applications.
  - model: {APPLICATION}
    identifiers:
      slug: {quoted(blueprint.application)}
    attrs:
      name: {quoted(blueprint.application)}
      policy_engine_mode: any
      meta_launch_url: blank://blank
      provider: {find(PROVIDER, "client_id", blueprint.client_id)}
"""


def _group(name: str) -> str:
    return f"""\
  # A group whose members may use the application. It is made if it is missing, without members.
  - model: {GROUP}
    state: created
    identifiers:
      name: {quoted(name)}
"""


def _binding(blueprint: Blueprint, group: str, order: int) -> str:
    return f"""\
  - model: authentik_policies.policybinding
    identifiers:
      target: {find(APPLICATION, "slug", blueprint.application)}
      group: {find(GROUP, "name", group)}
    attrs:
      order: {order}
      enabled: true
      negate: false
      timeout: 30
      failure_result: false
"""
