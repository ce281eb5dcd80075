"""The applications, and the OAuth2 provider of each. All secrets are public."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ropg_twisted.sandbox.accounts import Account

GRANT_TYPES = ("authorization_code", "refresh_token")
"""The grant types that the provider of an application usually has."""

SCOPES = ("openid", "email", "profile", "offline_access")
"""The scopes that a provider of Authentik is usually set to, in the order of its document."""

CONFIDENTIAL_SECRET = "confidential-client-secret-0123456789"

LOOPBACK_URI = "http://127.0.0.1:8585/callback"
"""A redirect URI at which a program on the same host can wait for the browser."""


@dataclass(frozen=True, slots=True)
class Application:
    """An application and its provider.

    ``slug``: its name in URLs, which need not be the ``client_id``. ``public``: the client is
    believed without its secret. ``has_key``: tokens are signed with the key of the provider
    (RS256), else with the secret (HS256). ``redirect_uris``: compared to the letter.
    ``grant_types``: empty for a provider that was made by the API without them. ``groups``: whose
    members may use it; with none everybody may.
    """

    slug: str
    name: str
    client_id: str
    secret: str = field(repr=False)
    public: bool = False
    has_key: bool = True
    redirect_uris: tuple[str, ...] = ("https://127.0.0.1/jamfconnect", LOOPBACK_URI)
    scopes: tuple[str, ...] = SCOPES
    grant_types: tuple[str, ...] = GRANT_TYPES
    groups: tuple[str, ...] = ()

    @property
    def algorithm(self) -> str:
        """The algorithm that signs its tokens."""
        return "RS256" if self.has_key else "HS256"

    def allows(self, account: Account) -> bool:
        """Return whether the policies allow this user."""
        is_bound = not self.groups or any(account.is_member(group) for group in self.groups)
        return is_bound and self.slug not in account.refused

    def accepts(self, secret: str) -> bool:
        """Return whether the client's secret is right. A public client may send any."""
        return self.public or secret == self.secret

    def allowed(self, scope: Iterable[str]) -> tuple[str, ...]:
        """Return the requested scopes that are allowed, each once."""
        return tuple(word for word in dict.fromkeys(scope) if word in self.scopes)


_ALL = (
    Application(
        "jamf-connect",
        "JAMF Connect",
        "jamf-connect",
        secret="public-client-secret-that-no-client-needs-0123456789",
        public=True,
    ),
    Application(
        "jamf-connect-confidential",
        "JAMF Connect (confidential)",
        "jamf-connect-confidential",
        secret=CONFIDENTIAL_SECRET,
    ),
    Application(
        "jamf-connect-nokey",
        "JAMF Connect (no key)",
        "jamf-connect-nokey",
        secret=CONFIDENTIAL_SECRET,
        has_key=False,
    ),
    Application(
        "jamf-connect-nogrant",
        "JAMF Connect (no grant types)",
        "jamf-connect-nogrant",
        secret=CONFIDENTIAL_SECRET,
        public=True,
        grant_types=(),
    ),
    Application(
        "mac-fleet",
        "Mac fleet",
        "Jx7uXk2cV0oYtB8sQmWn4RzLh1Pd6EaGf3TiKv9S",
        secret=CONFIDENTIAL_SECRET,
        public=True,
        scopes=("openid", "email", "profile"),
    ),
)

APPLICATIONS = {application.slug: application for application in _ALL}
"""The built-in applications by slug."""


class Applications:
    """The applications of one sandbox."""

    def __init__(self, applications: Iterable[Application]) -> None:
        self._by_slug = {application.slug: application for application in applications}
        self._by_client_id = {application.client_id: application for application in self}

    def __iter__(self) -> Iterator[Application]:
        return iter(self._by_slug.values())

    def find(self, slug: str) -> Application | None:
        """Return the application of this slug, or ``None``."""
        return self._by_slug.get(slug)

    def find_client(self, client_id: str) -> Application | None:
        """Return the application of this client, or ``None``."""
        return self._by_client_id.get(client_id)
