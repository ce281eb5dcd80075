"""The keys of Jamf Connect, as far as the vendor documents them.

No schema of versions 2 and 3 is public, so there are more keys than these.
"""

from __future__ import annotations

from typing import Final

from ropg_twisted.provisioning.profiles.keys import Keys, Kind

LOGIN_WINDOW: Final = "com.jamf.connect.login"
MENU_BAR: Final = "com.jamf.connect"
"""The preference domains."""

LOGIN_WINDOW_KEYS: Final[Keys] = {
    **dict.fromkeys(
        (
            "OIDCProvider",
            "OIDCClientID",
            "OIDCClientSecret",
            "OIDCRedirectURI",
            "OIDCTenant",
            "OIDCDiscoveryURL",
            "OIDCScopes",
            "OIDCROPGID",
            "ROPGProvider",
            "ROPGDiscoveryURL",
            "ROPGRedirectURI",
            "ROPGClientSecret",
            "ROPGTenant",
            "ROPGScopes",
            "OIDCAdminAttribute",
            "OIDCShortName",
            "OIDCFullName",
            "ChangePasswordURL",
            "AuthServer",
        ),
        Kind.TEXT,
    ),
    **dict.fromkeys(
        (
            "OIDCNewPassword",
            "OIDCUsePassthroughAuth",
            "OIDCIgnoreCookies",
            "CreateJamfConnectPassword",
            "DenyLocal",
            "LocalFallback",
            "Migrate",
            "CreateAdminUser",
        ),
        Kind.FLAG,
    ),
    **dict.fromkeys(
        ("ROPGSuccessCodes", "OIDCAdmin", "DenyLocalExcluded", "MigrateUsersHide"), Kind.LIST
    ),
}

IDP_SETTINGS_KEYS: Final[Keys] = {
    **dict.fromkeys(
        (
            "Provider",
            "OktaAuthServer",
            "ROPGID",
            "DiscoveryURL",
            "TenantID",
            "ClientSecret",
            "ChangePasswordURL",
            "ResetPasswordURL",
        ),
        Kind.TEXT,
    ),
    "SuccessCodes": Kind.LIST,
}

PASSWORD_POLICIES_KEYS: Final[Keys] = dict.fromkeys(
    (
        "NetworkCheck",
        "ExpirationCountdownStartDay",
        "ExpirationManualOverrideDays",
        "ExpirationNotificationStartDay",
    ),
    Kind.NUMBER,
)

MENU_BAR_KEYS: Final[Keys] = dict.fromkeys(
    ("IdPSettings", "PasswordPolicies", "SignIn"), Kind.TABLE
)

PLACES: Final[dict[str, Keys]] = {
    f"{MENU_BAR} IdPSettings": IDP_SETTINGS_KEYS,
    f"{MENU_BAR} PasswordPolicies": PASSWORD_POLICIES_KEYS,
    LOGIN_WINDOW: LOGIN_WINDOW_KEYS,
}

CHECK_TIME: Final = {
    "ROPGSuccessfulCheckTime": "Use NetworkCheck in PasswordPolicies of com.jamf.connect."
}
"""A key that articles mention, and that is in no document of the vendor."""

UNREAD_IDP_SETTINGS: Final = {
    **CHECK_TIME,
    "ClientID": "Set ROPGID.",
    "RedirectURI": "The menu bar needs none.",
}
