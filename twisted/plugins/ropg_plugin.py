"""Makes ``twistd ropg`` known to twistd."""

from twisted.application.service import ServiceMaker

ropg = ServiceMaker(
    "ropg",
    "ropg_twisted.tap",
    "Password checks (OAuth2 password grant) against Authentik.",
    "ropg",
)
