"""The daemon as a whole, which can be reloaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from twisted.application.service import MultiService
from twisted.logger import Logger
from twisted.web.resource import IResource

from ropg_twisted.interfaces import IReadinessProbe
from ropg_twisted.lifecycle import Listener
from ropg_twisted.server.site import BoundedSite
from ropg_twisted.settings.model import Settings
from ropg_twisted.settings.reload import reloaded


class Daemon(MultiService):
    """The daemon. A reload replaces the API, and nothing that has a state.

    So each request sees the settings of one moment, and checks in progress end with theirs.
    ``make_api``: returns the API for settings; may raise :exc:`SettingError`.

    Attributes:
        settings: those that are in use.
        readiness: the readiness probe.
        listeners: by name; those of the API are numbered.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        settings: Settings,
        make_api: Callable[[Settings], IResource],
        site: BoundedSite,
        readiness: IReadinessProbe,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.readiness = readiness
        self.listeners: dict[str, Listener] = {}
        self._make_api = make_api
        self._site = site

    def listen(self, listeners: Mapping[str, Listener]) -> None:
        """Add listeners."""
        self.listeners.update(listeners)
        for listener in listeners.values():
            listener.setServiceParent(self)

    def reload(self, new: Settings) -> None:
        """Use ``new`` as far as it can change under way, and look at the certificates.

        The names of settings that need a restart are logged. Raises :exc:`SettingError` for a
        setting that does not work; nothing has changed then.
        """
        settings, needing_restart = reloaded(self.settings, new)
        self._site.resource = self._make_api(settings)
        self.settings = settings
        for listener in self.listeners.values():
            listener.reload_certificate()
        self.log.info("settings reloaded")
        if needing_restart:
            self.log.warn("only a restart changes {settings}", settings=", ".join(needing_restart))
