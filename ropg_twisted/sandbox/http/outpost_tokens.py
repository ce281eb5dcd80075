"""The tokens of outposts, with which Authentik believes the addresses that they send."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ropg_twisted.sandbox.flow.sessions import Clock


@dataclass(frozen=True, slots=True)
class OutpostToken:
    """A token of an outpost. ``expires``: a time on the clock, ``None`` for never."""

    key: str = field(repr=False)
    expires: float | None = None


class OutpostTokens:
    """The tokens of one sandbox, beside the built-in one."""

    def __init__(self, clock: Clock, tokens: Iterable[OutpostToken]) -> None:
        self._clock = clock
        self._tokens = tuple(tokens)

    def valid(self) -> frozenset[str]:
        """Return the keys of the tokens that have not expired."""
        now = self._clock.seconds()
        return frozenset(
            token.key for token in self._tokens if token.expires is None or now < token.expires
        )
