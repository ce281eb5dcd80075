"""``ropg blueprint``: writes an Authentik blueprint that fits the settings of the daemon."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from typing import ClassVar, Final, TypeVar

from twisted.python import usage

from ropg_twisted.options import CommandOptions
from ropg_twisted.provisioning.blueprint.document import BROWSER_FLOW, render
from ropg_twisted.provisioning.blueprint.model import Backend, Blueprint, SecretSource
from ropg_twisted.settings import values
from ropg_twisted.settings.errors import InvalidValueError, SettingError
from ropg_twisted.settings.model import Client, Settings
from ropg_twisted.settings.sources import read_settings
from ropg_twisted.types import IReactor

T = TypeVar("T")

DEFAULT_SLUG: Final = "ropg"

MAX_SLUG: Final = 50
"""Maximum length of the slug of a flow in Authentik."""

UNKNOWN: Final = {
    "AUTHENTIK_URL": "https://authentik.example.com",
    "PROXY_ISSUER": "https://ropg.example.com",
}
"""Settings that the daemon needs and a blueprint does not: it is made before there is a daemon."""


class BlueprintOptions(CommandOptions):
    """The options of ``ropg blueprint``."""

    synopsis = "[options]"
    longdesc = (
        "Prints an Authentik blueprint (YAML): a flow for the daemon only, an application with its "
        "provider, and an outpost with its token. What is not given comes from the settings of the "
        "daemon, as far as there are any. The end of the blueprint tells how to apply it and what "
        "remains to be done by hand. Exit status: 0 done, 64 invalid usage."
    )
    optParameters: ClassVar = [
        ["config", None, None, "The TOML file of settings. [default: $ROPG_CONFIG]"],
        ["slug", None, None, f"Slug of the flow. [default: $FLOW_SLUG, else {DEFAULT_SLUG}]"],
        ["client", None, None, "Id of one of the clients. [default: the first one]"],
        ["backend", None, ",".join(Backend), "Who checks passwords in Authentik."],
        ["second-factor", None, "skip", "skip: users with a device are asked; none: nobody is."],
        [
            "secrets",
            None,
            SecretSource.ENV.value,
            "env: Authentik reads the secrets from its environment; context: from the blueprint "
            "instance; plaintext: they are printed.",
        ],
    ]
    optFlags: ClassVar = [
        ["confidential", None, "The provider asks for the client's secret."],
        ["no-outpost", None, "Everybody may start the flow, without the token of an outpost."],
    ]
    compData = usage.Completions(
        optActions={
            "config": usage.CompleteFiles(),
            "backend": usage.CompleteMultiList(list(Backend)),
            "second-factor": usage.CompleteList(["skip", "none"]),
            "secrets": usage.CompleteList(list(SecretSource)),
        },
        multiUse=["group", "redirect-uri"],
    )

    def opt_group(self, name: str) -> None:
        """Group whose members may use the application; may be given more than once."""
        self.setdefault("group", []).append(name)

    def opt_redirect_uri(self, uri: str) -> None:
        """Redirect URI of the provider; may be given more than once."""
        self.setdefault("redirect-uri", []).append(uri)

    def postOptions(self) -> None:
        """Make the blueprint. Raises :exc:`UsageError` for an invalid option or setting."""
        try:
            settings = read_settings({"config": self["config"]}, os.environ, UNKNOWN)
        except SettingError as error:
            raise usage.UsageError(str(error)) from None
        client = self._client(settings)
        secrets = self._value("secrets", values.choice({each.value: each for each in SecretSource}))
        confidential = bool(self["confidential"]) or client.expected_secret_hash is not None
        if secrets is SecretSource.PLAINTEXT and confidential and client.secret is None:
            raise usage.UsageError(
                "--secrets plaintext needs the secret of the client in the settings: CLIENT_SECRET."
            )
        self["blueprint"] = Blueprint(
            slug=self._slug(settings),
            client_id=client.id,
            application=_application(settings, client),
            redirect_uris=self._values("redirect-uri", redirect_uri) or (_redirect_uri(client),),
            groups=self._values("group", group),
            backends=self._value("backend", backends),
            second_factor=self._value(
                "second-factor", values.choice({"skip": True, "none": False})
            ),
            upstream_tokens=any(each.upstream_tokens for each in settings.clients),
            confidential=confidential,
            outpost=not self["no-outpost"],
            secrets=secrets,
            client_secret=client.secret,
            outpost_token=settings.outpost_token,
        )

    async def run(self, reactor: IReactor) -> int:
        """Print the blueprint, and return the exit status."""
        # Authentik reads UTF-8 only, whatever the terminal has.
        sys.stdout.buffer.write(render(self["blueprint"]).encode())
        sys.stdout.flush()
        return 0

    def _client(self, settings: Settings) -> Client:
        if self["client"] is None:
            return settings.clients[0]
        known = {client.id: client for client in settings.clients}
        if self["client"] not in known:
            raise usage.UsageError(f"--client is not one of the settings: {', '.join(known)}.")
        return known[self["client"]]

    def _slug(self, settings: Settings) -> str:
        if self["slug"] is not None:
            return self._value("slug", flow_slug)
        return DEFAULT_SLUG if settings.flow_slug == BROWSER_FLOW else settings.flow_slug

    def _value(self, option: str, parse: Callable[[str], T]) -> T:
        try:
            return parse(self[option])
        except InvalidValueError as problem:
            raise usage.UsageError(f"--{option} {problem}.") from None

    def _values(self, option: str, parse: Callable[[str], str]) -> tuple[str, ...]:
        """Return the values of an option that may be given more than once, each once."""
        try:
            return tuple(dict.fromkeys(parse(text) for text in self.get(option, ())))
        except InvalidValueError as problem:
            raise usage.UsageError(f"--{option} {problem}.") from None


def flow_slug(value: str) -> str:
    """Return the slug of a flow that is not the flow of browsers."""
    if values.slug(value) == BROWSER_FLOW:
        raise InvalidValueError("is the flow of browsers, to which stages would be added")
    if len(value) > MAX_SLUG:
        raise InvalidValueError(f"is longer than {MAX_SLUG} characters")
    return value


def group(value: str) -> str:
    """Return the name of a group. Authentik removes spaces around it."""
    name = values.text(value).strip()
    if not name:
        raise InvalidValueError("is empty")
    return name


def redirect_uri(value: str) -> str:
    """Return an absolute URI without a fragment (RFC 6749 section 3.1.2), of any scheme."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s#]+", values.text(value)):
        raise InvalidValueError("is not an absolute URI without a fragment")
    return value


def backends(value: str) -> tuple[Backend, ...]:
    """Return backends that are separated by commas, in the order in which Authentik asks them."""
    backend = values.choice({each.value: each for each in Backend})
    chosen = {backend(word.strip()) for word in value.split(",")}
    return tuple(each for each in Backend if each in chosen)


def _application(settings: Settings, client: Client) -> str:
    """Return the slug of the application. Raises :exc:`UsageError` if the id is not a slug."""
    if settings.app_required:
        return settings.app_slug
    try:
        return values.slug(client.id)
    except InvalidValueError as problem:
        raise usage.UsageError(
            f"ROPG_APP_SLUG is missing, and the id of the client {problem}."
        ) from None


def _redirect_uri(client: Client) -> str:
    """Return the redirect URI of a client: its own, or one at which nobody listens."""
    if client.redirect_uri is not None:
        return client.redirect_uri
    name = "".join(c for c in client.id if c.isascii() and c.isalnum())
    return f"https://127.0.0.1/{name.lower()}"
