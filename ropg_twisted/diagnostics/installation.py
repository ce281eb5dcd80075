"""The installation that is looked at: its settings, and the daemon's own parts made from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ropg_twisted.authentik.application import Application
from ropg_twisted.authentik.client import AuthentikClient, FlowSession, with_deadline
from ropg_twisted.authentik.executor import FlowExecutor
from ropg_twisted.networks import LOOPBACK
from ropg_twisted.service import authentik_client, configured_application
from ropg_twisted.settings.model import Client, Settings
from ropg_twisted.types import DeferredCoroutine, IReactor

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Installation:
    """A daemon and its Authentik.

    Attributes:
        clients: those that are looked at.
        authentik: sends the outpost token with each request that has a client's address.
        now: returns the time in seconds since the epoch.
    """

    settings: Settings
    clients: tuple[Client, ...]
    authentik: AuthentikClient
    flow: FlowExecutor
    application: Application
    reactor: IReactor
    now: Callable[[], float]

    @classmethod
    def of(
        cls,
        settings: Settings,
        client_id: str | None,
        reactor: IReactor,
        now: Callable[[], float],
    ) -> Installation:
        """Return the installation of these settings. ``client_id``: the only client to look at."""
        return cls(
            settings=settings,
            clients=tuple(client for client in settings.clients if client_id in (None, client.id)),
            authentik=authentik_client(settings, reactor, lambda request: None),
            flow=FlowExecutor(
                settings.authentik_url,
                settings.flow_slug,
                settings.login_stage,
                settings.slow_refusal,
            ),
            application=configured_application(settings),
            reactor=reactor,
            now=now,
        )

    @property
    def ca_pem(self) -> bytes | None:
        """The certificates to trust for Authentik; ``None`` for the system's."""
        return None if self.settings.ca_file is None else self.settings.ca_file.read_bytes()

    def session(self) -> FlowSession:
        """Return a session without cookies that tells no client's address."""
        return self.authentik.session(None, fresh=True)

    def login_session(self) -> FlowSession:
        """Return a session without cookies for a login from this machine."""
        return self.authentik.session(LOOPBACK, fresh=True, force=True)

    async def ask(self, request: DeferredCoroutine[T]) -> T:
        """Return the result of a request. Raises :exc:`UpstreamError`, also at the deadline."""
        return await with_deadline(request, self.settings.deadline, self.reactor)
