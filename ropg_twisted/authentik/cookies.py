"""Cookies of one login at Authentik."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.cookiejar import Cookie, DefaultCookiePolicy
from typing import Any, Final

from treq.cookies import IndexableCookieJar

_POLICY: Final = DefaultCookiePolicy()

_MAX_AGE: Final = re.compile(r";\s*max-age\s*=\s*(-?\d{1,10})\s*(?:;|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class OriginCookie:
    """The value of a cookie. ``max_age``: in seconds, ``None`` without an end."""

    value: str = field(repr=False)
    max_age: int | None = None


class OriginCookieJar(IndexableCookieJar):
    """A cookie jar for requests to one origin: each request sends all its cookies.

    So Domain, Path and Secure of a cookie do not matter (RFC 6265 section 5.4): Authentik may be
    asked under another name than its users know, and without TLS behind a reverse proxy. Of the two
    attributes that end a cookie only ``Max-Age`` is read, as Authentik always sends both.
    """

    def __init__(self) -> None:
        super().__init__(_POLICY)
        self.cookies: dict[str, OriginCookie] = {}

    def __iter__(self) -> Iterator[Cookie]:
        """Iterate over no cookies: those of the origin are in :attr:`cookies`."""
        return iter(())

    def add_cookie_header(self, request: Any) -> None:
        """Add a Cookie header to ``request``. See :class:`CookieJar`."""
        if self.cookies:
            pairs = (f"{name}={cookie.value}" for name, cookie in self.cookies.items())
            request.add_unredirected_header("Cookie", "; ".join(pairs))

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Keep the cookies of ``response``. See :class:`CookieJar`."""
        for header in response.info().get_all("Set-Cookie", ()):
            self._set(header)

    def _set(self, header: str) -> None:
        """Set or delete a cookie (RFC 6265 section 5.2)."""
        name, equals, value = header.partition(";")[0].partition("=")
        name, value = name.strip(), value.strip()
        if not name or not equals:
            return
        match = _MAX_AGE.search(header)
        max_age = None if match is None else int(match[1])
        if max_age is not None and max_age <= 0:
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = OriginCookie(value, max_age)
