"""Semaphore: bounds how much is done at a time."""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred


class Semaphore:
    """A number of slots, and the callers that wait for one, in order.

    Twisted's ``DeferredSemaphore`` cannot be asked whether a slot is free, and recurses for each
    waiting caller whose work ends at once.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._free = slots
        self._queue: deque[Deferred[None]] = deque()
        self._admitting = False

    @property
    def taken(self) -> int:
        """The number of slots that are taken."""
        return self._slots - self._free

    @property
    def waiting(self) -> int:
        """The number of callers that wait for a slot."""
        return len(self._queue)

    def try_acquire(self) -> bool:
        """Take a slot if one is free and nobody waits for it. Return whether it was taken."""
        if not self._free or self._queue:
            return False
        self._free -= 1
        return True

    def acquire(self) -> Deferred[None]:
        """Wait for a slot. A caller that cancels leaves the queue."""
        slot: Deferred[None] = Deferred(self._queue.remove)
        self._queue.append(slot)
        return slot

    def release(self) -> None:
        """Free a slot, and give all free slots to waiting callers.

        A caller whose work ends at once calls this again from within the loop. Then only the loop
        goes on, so a long queue does not recurse deeply.
        """
        self._free += 1
        if not self._admitting:
            self._admitting = True
            while self._free and self._queue:
                self._free -= 1
                self._queue.popleft().callback(None)
            self._admitting = False
