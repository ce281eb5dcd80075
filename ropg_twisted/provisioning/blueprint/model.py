"""The choices of a blueprint."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Backend(StrEnum):
    """The authentication backends of the password stage that check the user's own password.

    Authentik has a fourth, for app passwords: these are not the password of a Mac.
    """

    INBUILT = "inbuilt"
    LDAP = "ldap"
    KERBEROS = "kerberos"


class SecretSource(StrEnum):
    """The place from which Authentik takes the secrets when it applies the blueprint."""

    ENV = "env"
    """The environment of Authentik."""
    CONTEXT = "context"
    """The context of the blueprint instance."""
    PLAINTEXT = "plaintext"
    """The blueprint itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """The choices of a blueprint.

    ``slug``: of the flow, and the beginning of the names of its stages. ``application``: its slug.
    ``confidential``: the provider is of that client type. ``outpost``: only holders of an
    outpost's token may start the flow. ``upstream_tokens``: the sessions of the flow must outlive
    the access tokens of Authentik. ``groups``: whose members may use the application; with none
    everybody may. ``second_factor``: the flow asks users who have a device for a code.
    ``client_secret`` and ``outpost_token``: written into the blueprint if ``secrets`` says so.
    """

    slug: str
    client_id: str
    application: str
    redirect_uris: tuple[str, ...]
    groups: tuple[str, ...] = ()
    backends: tuple[Backend, ...] = tuple(Backend)
    second_factor: bool = True
    upstream_tokens: bool = False
    confidential: bool = False
    outpost: bool = True
    secrets: SecretSource = SecretSource.ENV
    client_secret: str | None = field(default=None, repr=False)
    outpost_token: str | None = field(default=None, repr=False)
