"""The entries of the outpost, whose token shows Authentik that a request comes from the daemon."""

from __future__ import annotations

from typing import Final

from ropg_twisted.provisioning.blueprint.flow import FLOW
from ropg_twisted.provisioning.blueprint.model import Blueprint, SecretSource
from ropg_twisted.provisioning.blueprint.syntax import find, quoted, secret

OUTPOST: Final = "authentik_outposts.outpost"
PROXY_PROVIDER: Final = "authentik_providers_proxy.proxyprovider"
TOKEN: Final = "authentik_core.token"

OUTPOST_TOKEN: Final = "ROPG_OUTPOST_TOKEN"
"""The variable of the token in the environment of Authentik."""


def outpost_entries(blueprint: Blueprint) -> list[str]:
    """Return the entries in their order: an entry refers to those before it.

    A token that shall be in the blueprint, but is not known, is left as Authentik makes it.
    """
    if not blueprint.outpost:
        return []
    entries = [_provider(blueprint), _outpost(blueprint)]
    if sets_token(blueprint):
        entries.append(_token(blueprint))
    return entries


def sets_token(blueprint: Blueprint) -> bool:
    """Return whether the blueprint sets the token, if Authentik is given it."""
    return blueprint.secrets is not SecretSource.PLAINTEXT or blueprint.outpost_token is not None


def _provider_name(blueprint: Blueprint) -> str:
    return f"{blueprint.slug}-outpost"


def _provider(blueprint: Blueprint) -> str:
    return f"""\
  # An outpost must have a provider of its own type. This one does nothing else: no application uses
  # it, and nobody ever calls its address.
  - model: {PROXY_PROVIDER}
    identifiers:
      name: {quoted(_provider_name(blueprint))}
    attrs:
      authorization_flow: {find(FLOW, "slug", blueprint.slug)}
      invalidation_flow: {find(FLOW, "slug", "default-provider-invalidation-flow")}
      mode: forward_single
      external_host: https://ropg.invalid
"""


def _outpost(blueprint: Blueprint) -> str:
    return f"""\
  # The outpost. It is never deployed: the daemon uses its token only. Its type is `proxy`, because
  # the token of an LDAP outpost can list all users and groups.
  - model: {OUTPOST}
    identifiers:
      name: {quoted(blueprint.slug)}
    attrs:
      type: proxy
      service_connection: null
      config: {{}}
      providers:
        - {find(PROXY_PROVIDER, "name", _provider_name(blueprint))}
"""


def _token(blueprint: Blueprint) -> str:
    outpost = find(OUTPOST, "name", blueprint.slug)
    identifier = f'!Format ["ak-outpost-%s-api", {outpost}]'
    key = secret(blueprint.secrets, OUTPOST_TOKEN, blueprint.outpost_token)
    condition = ""
    if blueprint.secrets is not SecretSource.PLAINTEXT:
        condition = f"    conditions:\n      - {key}\n"
    return f"""\
  # The token of the outpost, which Authentik has just made: this sets its key, so that it need not
  # be copied by hand. It must not expire: otherwise it is dead after half an hour.
  - model: {TOKEN}
{condition}    identifiers:
      identifier: {identifier}
    attrs:
      intent: api
      user: !AtIndex [!FindObject [{TOKEN}, [identifier, {identifier}]], user]
      expiring: false
      key: {key}
"""
