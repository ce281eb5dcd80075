"""Examines an installation from its settings to a password: the order of all checks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final, TypeAlias

from ropg_twisted.authentik.evidence import FlowEvidence
from ropg_twisted.authentik.id_tokens import IDTokenVerifier
from ropg_twisted.authentik.metadata import ProviderMetadata
from ropg_twisted.authentik.verifier import AuthentikVerifier
from ropg_twisted.diagnostics.authentik_server import check_server
from ropg_twisted.diagnostics.daemon import check_daemon
from ropg_twisted.diagnostics.findings import Finding, State
from ropg_twisted.diagnostics.installation import Installation
from ropg_twisted.diagnostics.listeners import check_listeners
from ropg_twisted.diagnostics.login_flow import check_flow, check_outpost_token, check_refusal
from ropg_twisted.diagnostics.provider import check_application
from ropg_twisted.diagnostics.storage import check_audit_log, check_state, check_store
from ropg_twisted.diagnostics.texts import skipped
from ropg_twisted.diagnostics.upstream import check_upstream
from ropg_twisted.diagnostics.user import UserPassword, check_user
from ropg_twisted.service import session_remover

Check: TypeAlias = Callable[[Installation], AsyncIterator[Finding]]

ON_THIS_HOST: Final[tuple[Check, ...]] = (
    check_listeners,
    check_state,
    check_audit_log,
    check_store,
    check_daemon,
)
"""Checks that need no Authentik."""
AT_AUTHENTIK: Final[tuple[Check, ...]] = (
    check_server,
    check_outpost_token,
    check_application,
)
"""Checks that need nothing but a connection to Authentik."""


async def examine(installation: Installation, user: UserPassword | None) -> AsyncIterator[Finding]:
    """Yield all findings. What needs something that has failed is skipped, and said so.

    ``user``: whose password to check, ``None`` for nobody's.
    """
    failed = ""
    for check in ON_THIS_HOST:
        async for finding in check(installation):
            yield finding
    async for finding in check_upstream(installation):
        yield finding
        if finding.state is State.FAILURE:
            failed = finding.name
    if failed:
        names = ("outpost-token", "application", "flow", "user" if user else None)
        for name in filter(None, names):
            yield skipped(name, failed)
        return
    for check in AT_AUTHENTIK:
        async for finding in check(installation):
            yield finding
    async for finding in _examine_passwords(installation, user):
        yield finding


async def _examine_passwords(
    installation: Installation, user: UserPassword | None
) -> AsyncIterator[Finding]:
    """Yield the findings about the flow, up to a real check; each step needs the one before."""
    settings, reactor = installation.settings, installation.reactor
    evidence = FlowEvidence(reactor)
    sessions = session_remover(settings, reactor)
    metadata = ProviderMetadata(
        installation.application, installation.authentik, settings.deadline, reactor
    )
    verifier = AuthentikVerifier(
        installation.flow,
        evidence,
        installation.authentik,
        sessions,
        installation.application,
        IDTokenVerifier(metadata),
        checks_access=settings.checks_access,
        claims_from_username=settings.claims_from_username,
    )
    steps: list[tuple[str, AsyncIterator[Finding]]] = [
        ("flow", check_flow(installation)),
        ("flow-refusal", check_refusal(installation, verifier, evidence)),
    ]
    if user is not None:
        steps.append(("user", check_user(installation, user, verifier, sessions)))
    failed = ""
    for name, findings in steps:
        if failed:
            yield skipped(name, failed)
            continue
        async for finding in findings:
            yield finding
            if finding.state is State.FAILURE:
                failed = finding.name
