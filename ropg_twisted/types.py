"""Types without a name of their own in Twisted and JSON."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeAlias, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IReactorCore,
    IReactorFromThreads,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorTime,
)

T = TypeVar("T")

DeferredCoroutine: TypeAlias = Coroutine[Deferred[Any], Any, T]  # As in Deferred.fromCoroutine().
"""Coroutine that awaits Deferreds and returns a ``T``."""

JSONObject: TypeAlias = dict[str, object]
"""JSON object. The types of its members are checked where they are read."""


class IReactor(
    IReactorCore, IReactorFromThreads, IReactorPluggableNameResolver, IReactorTCP, IReactorTime
):
    """The reactor of the daemon. Code that only measures time takes an ``IReactorTime``."""
