"""Makes findings from words, from reasons and from errors."""

from __future__ import annotations

from ropg_twisted.diagnostics.findings import Finding, State
from ropg_twisted.remedies import DOCUMENTATION, REMEDIES, help_url
from ropg_twisted.verdict import Reason


def ok(name: str, message: str) -> Finding:
    """Return a finding for which nothing is to be done."""
    return Finding(name, State.OK, message, None)


def warning(name: str, message: str, page: str) -> Finding:
    """Return a warning. ``page``: the part of the documents about it."""
    return Finding(name, State.WARNING, message, DOCUMENTATION + page)


def failure(name: str, message: str, page: str) -> Finding:
    """Return a failure. ``page``: the part of the documents about it."""
    return Finding(name, State.FAILURE, message, DOCUMENTATION + page)


def from_reason(name: str, reason: Reason, state: State = State.FAILURE, lead: str = "") -> Finding:
    """Return a finding with the summary and the remedy of a reason. ``lead``: words before them."""
    remedy = REMEDIES[reason]
    words = (lead, remedy.summary, remedy.remedy)
    return Finding(name, state, " ".join(filter(None, words)), help_url(reason))


def skipped(name: str, cause: str) -> Finding:
    """Return the finding for something that was not looked at. ``cause``: what has failed."""
    message = f"Not checked, because of the failure of {cause} above."
    return Finding(name, State.WARNING, message, None)
