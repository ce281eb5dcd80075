"""The whole document: what a blueprint is, the entries, and what remains to be done by hand."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Final

from ropg_twisted.provisioning.blueprint.application import CLIENT_SECRET, application_entries
from ropg_twisted.provisioning.blueprint.flow import flow_entries
from ropg_twisted.provisioning.blueprint.model import Blueprint, SecretSource
from ropg_twisted.provisioning.blueprint.outpost import OUTPOST_TOKEN, outpost_entries, sets_token
from ropg_twisted.provisioning.blueprint.syntax import quoted
from ropg_twisted.remedies import DOCUMENTATION

BROWSER_FLOW: Final = "default-authentication-flow"
"""Slug of the flow with which browsers log in, as Authentik makes it."""

_HEAD: Final = """\
# An Authentik blueprint for ropg-twisted, made by: ropg blueprint
#
# A blueprint is a list of objects, its entries. When Authentik applies it, it makes the objects
# that are missing, and sets the attributes that are listed here. It leaves other attributes alone,
# and deletes nothing but what is marked `absent`. Applied again, it changes nothing.
#
#   model        the kind of object
#   identifiers  how the object is found
#   attrs        what is set
#   conditions   the entry is skipped unless all of them are true
#   !Find        refers to another object: [model, [attribute, value]]
#
# How to apply it, and what remains to be done by hand, is at the end.
"""

_PLAINTEXT: Final = """\
#
# THIS FILE CONTAINS SECRETS. Delete it when it has been applied.
"""

_COPY: Final = "  Applications, Outposts, View Deployment Info, AUTHENTIK_TOKEN"


def render(blueprint: Blueprint) -> str:
    """Return the blueprint as YAML. The same choices give the same bytes."""
    secrets = blueprint.secrets is SecretSource.PLAINTEXT and (
        blueprint.confidential or (blueprint.outpost and sets_token(blueprint))
    )
    entries = (
        *flow_entries(blueprint),
        *application_entries(blueprint),
        *outpost_entries(blueprint),
    )
    return (
        f"{_HEAD}{_PLAINTEXT if secrets else ''}"
        f"version: 1\nmetadata:\n  name: {quoted(blueprint.slug)}\nentries:\n"
        + "\n".join(entries)
        + f"\n{_by_hand(blueprint)}"
    )


def _by_hand(blueprint: Blueprint) -> str:
    """Return the steps at the end, as comments."""
    numbers = count(1)
    lines = ["By hand, in the admin interface of Authentik:"]
    for first, *more in _steps(blueprint):
        lines += ["", f"{next(numbers)}. {first}", *(f"   {line}" for line in more)]
    lines += ["", f"More, and how to remove it all: {DOCUMENTATION}authentik.md#the-blueprint"]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)


def _steps(blueprint: Blueprint) -> Iterator[list[str]]:
    yield from _secrets(blueprint)
    yield _apply(blueprint)
    yield _members(blueprint)
    yield _signing_key(blueprint)
    yield _brand(blueprint)
    yield _settings(blueprint)


def _secrets(blueprint: Blueprint) -> Iterator[list[str]]:
    """Yield the step that gives Authentik its secrets before the blueprint is applied."""
    names = [CLIENT_SECRET] * blueprint.confidential + [OUTPOST_TOKEN] * blueprint.outpost
    if not names or blueprint.secrets is SecretSource.PLAINTEXT:
        return
    if blueprint.secrets is SecretSource.ENV:
        first = (
            "Set the secrets in the environment of Authentik's server and worker, and restart both:"
        )
        lines = [f"  {name}=..." for name in names]
    else:
        first = (
            "Have the secrets ready for the context of the blueprint instance, in the next step:"
        )
        lines = [f"  {name.lower()}: ..." for name in names]
    lines.append("The daemon has the same: see the last step. For a new one: openssl rand -hex 32")
    if blueprint.outpost:
        lines += [
            "Without that of the outpost Authentik makes a token itself, to be copied:",
            _COPY,
        ]
    yield [first, *lines]


def _apply(blueprint: Blueprint) -> list[str]:
    """Return the step that applies the blueprint."""
    instance = (
        "Customization, Blueprints, Create. Name: as above in `metadata`. Internal: this file."
    )
    if blueprint.secrets is SecretSource.CONTEXT:
        return [
            f"Apply it: {instance}",
            "Additional Settings, Context: the secrets. Create. Authentik applies it at once, and",
            "then again and again. The import of a file does not do: it has no context.",
        ]
    lines = [
        "Apply it: Flows and Stages, Flows, Import. File upload: this file. Import. See in the log",
        "that is shown then that it was successful. If not, it has changed nothing.",
        "To have it applied again and again, which undoes changes by hand to what is listed here:",
        instance,
        "Or mount it into the worker, below /blueprints, with a name that ends in .yaml.",
    ]
    if blueprint.outpost and not sets_token(blueprint):
        lines += ["Then copy the token of the outpost, which Authentik has made:", _COPY]
    return lines


def _members(blueprint: Blueprint) -> list[str]:
    if blueprint.groups:
        return [
            "Add members: Directory, Groups, the group, Users, Add existing user, for each of:",
            *(f"  {quoted(group)}" for group in blueprint.groups),
            "Nobody else is let in. A group of an earlier blueprint stays bound to the application",
            "until you unbind it: Applications, the application, Policy / Group / User Bindings.",
        ]
    return [
        "Decide who is let in: as it is, everybody with a right password. To change that, make the",
        "blueprint with --group, or bind groups to the application: Applications, the application,",
        "Policy / Group / User Bindings.",
    ]


def _signing_key(blueprint: Blueprint) -> list[str]:
    return [
        "See that the provider has a signing key: Applications, Providers,",
        f"  {quoted(blueprint.client_id)}",
        "The blueprint takes `authentik Self-signed Certificate`, else Authentik's own for JWTs.",
        "If both are missing, Authentik sets none, and does not say so.",
    ]


def _brand(blueprint: Blueprint) -> list[str]:
    lines = [
        "See that browsers have a flow of their own: System, Brands, the brand, Default flows,",
        "Authentication flow. A brand without one takes the first by slug.",
    ]
    if blueprint.slug < BROWSER_FLOW:
        lines[-1] = "Authentication flow. A brand without one takes the first by slug: this one."
    return lines


def _settings(blueprint: Blueprint) -> list[str]:
    """Return the step that sets up the daemon, with the lines of its settings file."""
    lines = [
        f"flow_slug = {quoted(blueprint.slug)}",
        f"client_id = {quoted(blueprint.client_id)}",
        f"app_slug = {quoted(blueprint.application)}",
    ]
    if blueprint.outpost:
        lines.append('outpost_token = "..."')
    if blueprint.confidential:
        lines.append('client_secret = "..."')
    return [
        "The settings file of the daemon has these lines, or the same in its environment:",
        *(f"  {line}" for line in lines),
        "Then try a right and a wrong password: ropg try NAME",
    ]
