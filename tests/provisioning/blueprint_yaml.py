"""Reads the YAML of a blueprint, with the tags of Authentik."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import yaml


class BlueprintError(Exception):
    """A blueprint that Authentik refuses. The text is that of its log, or ``HTTP 405``."""


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag with its arguments. A scalar is its only argument."""

    name: str
    arguments: tuple[Any, ...]


class Scope(Protocol):
    """The objects, the environment and the context in which tags are resolved."""

    environ: Mapping[str, str]
    context: Mapping[str, object]

    def find(self, model: str, pairs: Mapping[str, object]) -> dict[str, Any] | None:
        """Return the first object of a model with these attributes."""


class _Loader(yaml.SafeLoader):
    """The safe loader, with tags."""


def _construct(loader: _Loader, name: str, node: yaml.Node) -> Tag:
    if isinstance(node, yaml.SequenceNode):
        return Tag(name, tuple(loader.construct_sequence(node, deep=True)))
    return Tag(name, (node.value,))


_Loader.add_multi_constructor("!", _construct)


def load(text: str) -> dict[str, Any]:
    """Return the document, with a :class:`Tag` for each tag. Raises :exc:`BlueprintError`."""
    try:
        document = yaml.load(text, _Loader)
    except yaml.YAMLError:
        raise BlueprintError("HTTP 405") from None
    if not isinstance(document, dict):
        raise BlueprintError("HTTP 405")
    return document


def resolve(value: Any, scope: Scope) -> Any:
    """Return a value without tags. Raises :exc:`BlueprintError` for a tag that has no value."""
    match value:
        case dict():
            return {key: resolve(each, scope) for key, each in value.items()}
        case list():
            return [resolve(each, scope) for each in value]
        case Tag("If", (condition, yes, no)):
            return resolve(yes if resolve(condition, scope) else no, scope)
        case Tag(name, arguments):
            return _tag(name, [resolve(each, scope) for each in arguments], scope)
    return value


def _tag(name: str, arguments: list[Any], scope: Scope) -> Any:
    match name, arguments:
        case "Env", [variable, *default]:
            return scope.environ.get(variable) or (default or [None])[0]
        case "Context", [key, *default]:
            return scope.context.get(key, (default or [None])[0])
        case "Format", [text, *values]:
            return text % tuple(values)
        case "Find", [model, *pairs]:
            found = scope.find(model, dict(pairs))
            return None if found is None else found["pk"]
        case "FindObject", [model, *pairs]:
            return scope.find(model, dict(pairs))
        case "AtIndex", [dict() as mapping, key] if key in mapping:
            return mapping[key]
    raise BlueprintError("HTTP 405")
