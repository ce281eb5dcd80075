"""The objects of an Authentik, and what a blueprint makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final
from uuid import UUID

from tests.provisioning.authentik_models import (
    FLOW,
    KEY,
    MODELS,
    OUTPOST,
    OUTPOST_PROVIDERS,
    POLICY_BINDING,
    PROVIDERS,
    SCOPE,
    TOKEN,
    UNIQUE,
    USER,
    Attribute,
    InvalidError,
)
from tests.provisioning.blueprint_yaml import BlueprintError, load, resolve

Object = dict[str, Any]

TOKEN_SECONDS: Final = 30 * 60
"""Seconds after which a token dies that a blueprint has set and that expires."""


@dataclass
class AuthentikObjects:
    """The objects by model.

    ``now``: the time in seconds, from which tokens expire. ``environ`` and ``context``: those of
    the blueprint that is applied.
    """

    now: float = 0
    environ: Mapping[str, str] = field(default_factory=dict)
    context: Mapping[str, object] = field(default_factory=dict)
    objects: dict[str, list[Object]] = field(default_factory=lambda: {each: [] for each in MODELS})
    _keys: Iterator[int] = field(default_factory=lambda: count(1))

    def apply(
        self,
        text: str,
        environ: Mapping[str, str] | None = None,
        context: Mapping[str, object] | None = None,
    ) -> None:
        """Apply a blueprint. One that is refused changes nothing. Raises :exc:`BlueprintError`."""
        document = load(text)
        self.environ = environ or {}
        self.context = {**document.get("context", {}), **(context or {})}
        with self._transaction():
            for entry in document["entries"]:
                self._apply_entry(entry)

    def all(self, model: str) -> list[Object]:
        """Return the objects of a model."""
        return self.objects[model]

    def get(self, key: object) -> Object:
        """Return the object with this key."""
        return next(
            each for of_model in self.objects.values() for each in of_model if each["pk"] == key
        )

    def find(self, model: str, pairs: Mapping[str, object]) -> Object | None:
        """See :class:`Scope`."""
        if model not in MODELS:
            raise BlueprintError("HTTP 405")
        for each in self.objects[model]:
            if all(each.get(name) == value for name, value in pairs.items()):
                return each
        return None

    def create(self, model: str, **attributes: Any) -> Object:
        """Make an object with its defaults. Raises :exc:`BlueprintError`."""
        for name, attribute in MODELS[model].items():
            if attribute.required and name not in attributes:
                raise BlueprintError(f"{name}: This field is required.")
        self._check(model, attributes)
        defaults = {name: deepcopy(each.default) for name, each in MODELS[model].items()}
        number = next(self._keys)
        key: object = number if model in (*PROVIDERS, USER) else str(UUID(int=number))
        made = {"pk": key, **defaults, **attributes}
        for name in UNIQUE.get(model, ()):
            if any(each[name] == made[name] for each in self.objects[model]):
                raise BlueprintError(f"{name}: This field must be unique.")
        self.objects[model].append(made)
        if model == OUTPOST:
            self._make_token(made)
        return made

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        before = deepcopy(self.objects)
        try:
            yield
        except BaseException:
            self.objects = before
            raise

    def _apply_entry(self, entry: Mapping[str, Any]) -> None:
        model, state = entry["model"], entry.get("state", "present")
        if model not in MODELS:
            raise BlueprintError(f"Invalid model {model}")
        if not all(resolve(entry.get("conditions", []), self)):
            return
        identifiers = resolve(entry["identifiers"], self)
        for name in identifiers:
            if name not in MODELS[model]:
                raise BlueprintError("HTTP 405")
        found = self.find(model, identifiers)
        if state == "absent":
            if found is not None:
                self._delete(found)
            return
        attributes = {**identifiers, **resolve(entry.get("attrs", {}), self)}
        known = {name: value for name, value in attributes.items() if name in MODELS[model]}
        if found is None:
            found = self.create(model, **known)
        elif state == "must_created":
            raise BlueprintError("Instance exists already, but state is must_created")
        elif state == "present":
            self._check(model, {**found, **known})
            found.update(known)
        if model == TOKEN:
            found["expiring"] = known.get("expiring", True)
            found["expires"] = self.now + TOKEN_SECONDS

    def _check(self, model: str, attributes: Mapping[str, Any]) -> None:
        for name, value in attributes.items():
            attribute = MODELS[model].get(name)
            if attribute is None or (value is None and attribute.nullable):
                continue
            if value is None and attribute.default is None and not attribute.required:
                continue
            if value is None:
                raise BlueprintError(f"{name}: This field may not be null.")
            try:
                attribute.check(value)
            except InvalidError as error:
                raise BlueprintError(f"{name}: {error}") from None
            if attribute.refers:
                self._check_references(name, attribute, value)
        if model == POLICY_BINDING and not any(
            attributes.get(name) for name in ("group", "policy", "user")
        ):
            raise BlueprintError("One of 'group', 'policy', 'user' must be set.")
        if model == OUTPOST:
            self._check_outpost(attributes)

    def _check_references(self, name: str, attribute: Attribute, value: Any) -> None:
        keys = [
            each["pk"] for model in attribute.refers if model in MODELS for each in self.all(model)
        ]
        for key in value if isinstance(value, list) else [value]:
            if key not in keys:
                raise BlueprintError(f'{name}: Invalid pk "{key}" - object does not exist.')

    def _check_outpost(self, attributes: Mapping[str, Any]) -> None:
        kind = attributes["type"]
        for key in attributes["providers"]:
            [model] = [model for model in PROVIDERS if self.find(model, {"pk": key})]
            if model != OUTPOST_PROVIDERS.get(kind):
                raise BlueprintError(
                    f"Outpost type {kind} can't be used with {PROVIDERS[model]} providers."
                )

    def _make_token(self, outpost: Object) -> None:
        """Make the service account of an outpost and its token, as Authentik does."""
        user = self.create(USER, username=f"ak-outpost-{outpost['pk']}")
        self.create(
            TOKEN,
            identifier=f"ak-outpost-{outpost['pk']}-api",
            user=user["pk"],
            expiring=False,
            key=f"made-by-authentik-{outpost['pk']}",
        )

    def _delete(self, gone: Object) -> None:
        """Delete an object, and those that cannot be without it."""
        for model, objects in self.objects.items():
            self.objects[model] = [each for each in objects if each is not gone]
        if "providers" in gone:
            user = self.find(USER, {"username": f"ak-outpost-{gone['pk']}"})
            if user is not None:
                self._delete(user)
        for model, attributes in MODELS.items():
            for name, attribute in attributes.items():
                for each in list(self.objects[model]) if attribute.refers else []:
                    if isinstance(each[name], list):
                        each[name] = [key for key in each[name] if key != gone["pk"]]
                    elif each[name] == gone["pk"] and attribute.nullable:
                        each[name] = None
                    elif each[name] == gone["pk"]:
                        self._delete(each)


def fresh_authentik(*without: str, now: float = 0) -> AuthentikObjects:
    """Return the objects that a new Authentik has, without those of these slugs or names."""
    authentik = AuthentikObjects(now=now)
    for slug in (
        "default-provider-authorization-implicit-consent",
        "default-provider-invalidation-flow",
    ):
        if slug not in without:
            authentik.create(FLOW, slug=slug, name=slug, title=slug, designation="authorization")
    for name, managed in (
        ("authentik Self-signed Certificate", None),
        ("authentik Internal JWT Certificate", "goauthentik.io/crypto/jwt-managed"),
    ):
        if name not in without:
            authentik.create(KEY, name=name, managed=managed)
    for scope in ("openid", "email", "profile", "offline_access"):
        if scope not in without:
            managed = f"goauthentik.io/providers/oauth2/scope-{scope}"
            authentik.create(SCOPE, scope_name=scope, managed=managed)
    return authentik
