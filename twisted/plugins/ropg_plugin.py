"""The twistd plugin: makes ``twistd ropg`` available."""

from twisted.application.service import ServiceMaker

ropg = ServiceMaker(
    "ropg",
    "ropg_twisted.tap",
    "Password checks (OAuth2 password grant) against Authentik.",
    "ropg",
)
