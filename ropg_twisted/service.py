"""Builds the daemon from its settings. All parts are wired here and nowhere else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Final

from prometheus_client import CollectorRegistry
from twisted.logger import Logger
from twisted.web.resource import IResource

from ropg_twisted.api.admin import Admin
from ropg_twisted.api.app import API
from ropg_twisted.api.introspection import IntrospectionEndpoint
from ropg_twisted.api.metadata import MetadataEndpoint
from ropg_twisted.api.network_policy import NetworkPolicy
from ropg_twisted.api.token import TokenEndpoint
from ropg_twisted.api.userinfo import UserinfoEndpoint
from ropg_twisted.authentik.application import Application
from ropg_twisted.authentik.canary import Canary
from ropg_twisted.authentik.client import AuthentikClient, make_client
from ropg_twisted.authentik.client_ip import ClientIPHeaders
from ropg_twisted.authentik.evidence import FlowEvidence
from ropg_twisted.authentik.executor import FlowExecutor
from ropg_twisted.authentik.id_tokens import IDTokenVerifier
from ropg_twisted.authentik.metadata import ProviderMetadata
from ropg_twisted.authentik.readiness import ReadinessProbe
from ropg_twisted.authentik.relay import Relay
from ropg_twisted.authentik.sessions import SessionRemover
from ropg_twisted.authentik.verifier import AuthentikVerifier
from ropg_twisted.daemon import Daemon
from ropg_twisted.grants.password import PasswordGrantHandler
from ropg_twisted.grants.relay import RelayedGrantHandler
from ropg_twisted.guard.chain import guarded
from ropg_twisted.guard.plausibility import Plausibility
from ropg_twisted.guard.shared_store import SharedStore
from ropg_twisted.interfaces import UpstreamRequest
from ropg_twisted.lifecycle import Lifecycle, Listener
from ropg_twisted.oauth.access_tokens import AccessTokens
from ropg_twisted.oauth.clients import Clients
from ropg_twisted.oauth.keys import KeyRing, shared_secret
from ropg_twisted.oauth.keystore import KeyStore
from ropg_twisted.oauth.metadata import IssuerInfo
from ropg_twisted.oauth.reissue import Reissuer
from ropg_twisted.oauth.tokens import TokenIssuer
from ropg_twisted.server.site import BoundedSite, QuietSite
from ropg_twisted.service_metrics import metric_readers
from ropg_twisted.settings.combinations import warnings
from ropg_twisted.settings.errors import SettingError
from ropg_twisted.settings.model import SessionRemoval, Settings
from ropg_twisted.status.state import Certificate, StateReader
from ropg_twisted.telemetry.audit import AuditLog
from ropg_twisted.telemetry.history import History, ReadinessHistory
from ropg_twisted.telemetry.log import LogDestination
from ropg_twisted.telemetry.metrics import RequestMetrics, UpstreamMetrics, add_build_info
from ropg_twisted.telemetry.observers import RequestObservers
from ropg_twisted.telemetry.user_hash import UserHash
from ropg_twisted.types import IReactor

log: Final = Logger()

SANDBOX_FOLDER: Final = "sandbox"
"""Folder of the keys for the sandbox, in the state directory."""

STOP_SECONDS: Final = 2
"""Seconds that the shutdown may take in addition to the deadline of a check."""

SHORT_SESSION: Final = 300
"""Seconds within which a session may end by itself instead of being removed."""


def make_service(
    settings: Settings,
    reactor: IReactor,
    dropped_lines: Callable[[], int] = lambda: 0,
    audit_file: LogDestination | None = None,
) -> Daemon:
    """Return the whole daemon, not started yet.

    ``dropped_lines``: returns the number of log lines that were dropped because nobody read them.
    ``audit_file``: gets the lines about requests; ``None`` for the log.
    Raises :exc:`SettingError` for a setting that does not work.
    """
    for warning in warnings(settings):
        log.warn("{line}", line=warning)
    keys, algorithm = _keys(settings)
    registry = CollectorRegistry()
    add_build_info(registry)
    client = authentik_client(settings, reactor, UpstreamMetrics(registry).observe)
    flow = FlowExecutor(
        settings.authentik_url, settings.flow_slug, settings.login_stage, settings.slow_refusal
    )
    application = configured_application(settings)
    provider_metadata = ProviderMetadata(application, client, settings.deadline, reactor)
    tokens = IDTokenVerifier(provider_metadata)
    sessions = session_remover(settings, reactor)
    request_metrics = RequestMetrics(registry, time.time)
    history = History(reactor)
    evidence = FlowEvidence(reactor)
    limits_store = settings.limits_store
    store = None if limits_store is None else SharedStore(limits_store.storage, reactor)
    plausibility = Plausibility(reactor)
    guards = guarded(
        AuthentikVerifier(
            flow,
            evidence,
            client,
            sessions,
            application,
            tokens,
            checks_access=settings.checks_access,
            claims_from_username=settings.claims_from_username,
        ),
        settings.max_checks,
        settings.deadline,
        reactor,
        plausibility,
        store,
        _password_hash_key(settings),
    )
    canary = Canary(guards, evidence)
    probe = ReadinessProbe(
        flow,
        canary,
        client,
        provider_metadata,
        lambda: plausibility.implausible,
        settings.deadline,
        reactor,
    )
    readiness = ReadinessHistory(probe, reactor)
    relay = Relay(application, client, tokens, settings.deadline, reactor)
    reissuer = Reissuer(settings.issuer, keys)
    access_tokens = AccessTokens(settings.issuer, keys)

    def make_api(settings: Settings) -> IResource:
        """Return the API. All that depends on a setting which can be reloaded is made here."""
        for warning in warnings(settings):
            log.warn(warning)
        clients = Clients(settings.clients)
        network_policy = NetworkPolicy(settings.allowed_networks, settings.trusted_proxies)
        issuer = TokenIssuer(settings.issuer, keys, settings.token_lifetime, time.time)
        observer = RequestObservers(_audit_log(settings, audit_file), request_metrics, history)
        api = API(
            TokenEndpoint(
                network_policy,
                clients,
                PasswordGrantHandler(canary, issuer, reissuer, observer),
                RelayedGrantHandler(relay, reissuer, observer),
                observer,
            ),
            UserinfoEndpoint(network_policy, access_tokens, relay),
            IntrospectionEndpoint(network_policy, clients, access_tokens, relay, observer),
            MetadataEndpoint(_issuer_info(settings, algorithm), provider_metadata, keys),
            readiness,
            clients,
            drop_on_outage=settings.drop_on_outage,
        )
        return api.app.resource()

    site = BoundedSite(make_api(settings), reactor)
    daemon = Daemon(settings, make_api, site, readiness)
    grace = settings.deadline + STOP_SECONDS
    Lifecycle(site, guards.concurrency, sessions, readiness, store, grace).setServiceParent(daemon)
    if settings.sandbox_port is not None:
        _sandbox(settings.sandbox_port, reactor).setServiceParent(daemon)
    listeners = {
        str(number): Listener("ROPG_LISTEN", where, site, reactor)
        for number, where in enumerate(settings.listen, 1)
    }
    if settings.admin_listen is not None:
        state = StateReader(
            lambda: daemon.settings,
            readiness,
            history,
            evidence,
            guards,
            sessions,
            site,
            store,
            keys,
            lambda: _certificates(listeners.values()),
            dropped_lines,
            reactor,
            time.time,
        )
        admin = QuietSite(Admin(readiness, registry, state.read).app.resource(), reactor=reactor)
        where = settings.admin_listen
        listeners["admin"] = Listener("ROPG_ADMIN_LISTEN", where, admin, reactor)
    daemon.listen(listeners)
    registry.register(
        metric_readers(
            guards,
            evidence,
            sessions,
            probe,
            plausibility,
            store,
            request_metrics,
            keys,
            site,
            listeners,
            dropped_lines,
            time.time,
        )
    )
    return daemon


def _audit_log(settings: Settings, out: LogDestination | None) -> AuditLog:
    show_user = UserHash.open(settings.state_dir) if settings.hash_users else str
    return AuditLog(show_user, out)


def _certificates(listeners: Iterable[Listener]) -> tuple[Certificate, ...]:
    """Return the certificates of the listeners that have one."""
    ends = ((listener.endpoint, listener.certificate_expires) for listener in listeners)
    return tuple(Certificate(endpoint, end) for endpoint, end in ends if end is not None)


def _password_hash_key(settings: Settings) -> bytes | None:
    """Return a key that BLAKE2b takes: at most 64 bytes."""
    key = settings.password_hash_key
    return None if key is None else sha256(key.encode()).digest()


def _sandbox(port: int, reactor: IReactor) -> Listener:
    """Return the listener of the embedded sandbox. Only this imports the sandbox."""
    from ropg_twisted.sandbox.flow.sessions import WallClock
    from ropg_twisted.sandbox.http.app import Sandbox, sandbox_site

    where = f"tcp:{port}:interface=127.0.0.1"
    return Listener("AUTHENTIK_URL", where, sandbox_site(Sandbox(WallClock(reactor))), reactor)


def _keys(settings: Settings) -> tuple[Callable[[], KeyRing], str]:
    """Return a function that returns the current key ring, and the algorithm of its key."""
    if settings.jwt_secret is not None:
        ring = shared_secret(settings.jwt_secret)
        return lambda: ring, ring.signing.algorithm
    state_dir = settings.state_dir
    if settings.sandbox_port is not None:
        # The passwords of the sandbox are public: its tokens must not verify with the real keys.
        state_dir = state_dir / SANDBOX_FOLDER
    store = KeyStore(state_dir, settings.signing_alg, time.time)
    return store.ring, settings.signing_alg


def _issuer_info(settings: Settings, algorithm: str) -> IssuerInfo:
    introspection = any(client.expected_secret_hash is not None for client in settings.clients)
    return IssuerInfo(settings.issuer, algorithm, settings.authentik_url, introspection)


def configured_application(settings: Settings) -> Application:
    """Return the application of the settings."""
    return Application(settings.authentik_url, settings.app_slug, named=settings.app_required)


def session_remover(settings: Settings, reactor: IReactor) -> SessionRemover:
    """Return what removes sessions as the settings say."""
    flow = None
    if settings.invalidation_flow and settings.session_removal is not SessionRemoval.NEVER:
        flow = FlowExecutor(settings.authentik_url, settings.invalidation_flow)
    shortest = SHORT_SESSION if settings.session_removal is SessionRemoval.AUTO else 0
    return SessionRemover(flow, settings.deadline, reactor, settings.max_checks, shortest)


def authentik_client(
    settings: Settings, reactor: IReactor, on_request: Callable[[UpstreamRequest], None]
) -> AuthentikClient:
    """Return a client of the Authentik of the settings.

    ``on_request``: called after each request. Raises :exc:`SettingError` if ``ROPG_CA_FILE``
    contains no certificates.
    """
    try:
        ca_pem = None if settings.ca_file is None else settings.ca_file.read_bytes()
        client_ip = ClientIPHeaders(settings.outpost_token)
        return make_client(reactor, settings.authentik_url, ca_pem, client_ip, on_request)
    except ValueError:
        raise SettingError(
            "ROPG_CA_FILE", "contains no PEM certificates", "ROPG_CA_FILE=/etc/ssl/our-ca.pem"
        ) from None
