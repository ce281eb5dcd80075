"""The users of the sandbox, their passwords and second factors.

All passwords and keys here are public.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

USUAL_PASSWORD = "correct horse battery staple"
"""The password of everybody who is not there to have another one."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group: ``pk`` is a UUID in text form, ``name`` what claims carry.

    ``parent``: its members include those of this group.
    """

    pk: str
    name: str
    parent: Group | None = None

    def is_within(self, name: str) -> bool:
        """Return whether this is the group of this name, or a child of it."""
        return self.name == name or (self.parent is not None and self.parent.is_within(name))


MAC_USERS = Group("5b1c7d52-9f0e-4d8b-8a57-2c1f6f0a9e11", "mac-users")
MAC_ADMINS = Group("0ed238fa-f3cd-4286-aeff-1add6d6283ed", "mac-admins", MAC_USERS)


@dataclass(frozen=True, slots=True)
class Account:
    """An account.

    ``uid``: 64 hex digits, the ``sub`` of Authentik's tokens in its default mode.
    ``app_password``: accepted in place of the password by stages that allow app passwords.
    ``totp_key``: the shared secret of RFC 6238 (SHA-1, 6 digits, 30 seconds).
    ``static_tokens``: codes that work once each.
    ``expired``: the password is right but too old, for the policies that look at it.
    ``refused``: slugs of applications that this user may not use.
    ``directory``: the slug of the directory that keeps the password, None for Authentik itself.
    """

    pk: int
    username: str
    name: str
    uid: str
    password: str = field(default=USUAL_PASSWORD, repr=False)
    groups: tuple[Group, ...] = ()
    active: bool = True
    app_password: str | None = field(default=None, repr=False)
    totp_key: bytes | None = field(default=None, repr=False)
    static_tokens: tuple[str, ...] = field(default=(), repr=False)
    expired: bool = False
    refused: tuple[str, ...] = ()
    directory: str | None = None

    @property
    def email(self) -> str:
        """The e-mail address, which the identification stage accepts as well."""
        return f"{self.username}@example.com"

    def accepts(self, password: str) -> bool:
        """Return whether ``InbuiltBackend`` accepts this password.

        A disabled account accepts none. A password that a directory keeps is not known here.
        """
        return self.active and self.directory is None and password == self.password

    def accepts_app_password(self, password: str) -> bool:
        """Return whether ``TokenBackend`` accepts this app password, of an active account."""
        return self.active and password == self.app_password

    def is_member(self, name: str) -> bool:
        """Return whether this is a member of the group of this name, or of a child of it."""
        return any(group.is_within(name) for group in self.groups)


def _rep(number: int) -> Account:
    """Return an account that collects failed logins."""
    name = f"rep{number}"
    uids = {8: "5ddc2488a3205306a9e3d4c9e53e6329e0792ff66dafd2e08cd481fe1dc67e42"}
    return Account(14 + number, name, f"Rep {number}", uids.get(number) or _made_up_uid(name))


def _of_directory(pk: int, username: str, directory: str) -> Account:
    """Return an account whose password a directory keeps."""
    return Account(pk, username, username.title(), _made_up_uid(username), directory=directory)


def _made_up_uid(username: str) -> str:
    """Return a stable ``uid`` for a user whose real one does not matter."""
    return hashlib.sha256(username.encode()).hexdigest()


ACCOUNTS = (
    Account(
        5,
        "alice",
        "Alice Example",
        "bbc6e4d1bd08e322a087da1e038b7b513e7e07f441c4f009270915c503ed3cb6",
        groups=(MAC_ADMINS,),
        app_password="alice-app-password-0123456789",
    ),
    Account(
        6,
        "bob",
        "Bob",
        "2197e3efacb7b63ba5d3d67d2c224c0e8280018afecc993f84b506f78b146d33",
        groups=(MAC_USERS,),
        totp_key=b"bob-has-a-totp-token",
    ),
    Account(7, "carol", "Carol", _made_up_uid("carol"), active=False),
    Account(
        8,
        "dave",
        "Dave",
        "f084d971b7f71869dc411d3820fedd9d8a76380966aaa32758d25a2879cd68e8",
        password=' pä"ss&w=örd; ',
    ),
    Account(
        9,
        "erin",
        "Erin Ünïcode",
        _made_up_uid("erin"),
        password=' it\'s "1+1" & 100% %2B žluťoučký 密码 ',
    ),
    Account(
        10,
        "frank",
        "Frank",
        "090296bc3313ec6aa5bcfd1cceb14b9b295d22fdc3cfa8eeeaa9be57d6409b20",
        static_tokens=("frankstatic01", "frankstatic02", "frankstatic03"),
    ),
    Account(
        11,
        "grace",
        "Grace",
        "7cb13f2819908acd2626ea5fdbddc752011f47218ba507d13e6243b1ef693487",
        refused=("jamf-connect",),
    ),
    Account(
        12,
        "heidi",
        "Heidi",
        "e79b0cd8fd24ac3d8fd06a1274fb3292ef88a4ba3127379cc6130e3dcd8bb0b5",
        expired=True,
    ),
    Account(13, "ivan", "Ivan", _made_up_uid("ivan")),
    Account(14, "trent", "Trent", _made_up_uid("trent"), expired=True),
    *(_rep(number) for number in range(1, 9)),
    Account(
        24,
        "sybil",
        "Sybil",
        "38783d24eb165b71d567a9f3c28b5662396ebf1f9f5e69201535f9078d0046a8",
    ),
    Account(
        25,
        "victor",
        "Victor",
        "9e48d6adfa28d4aa3bb0c820b13df3d73c2055517a5614a6e472074d391d1a75",
    ),
    Account(
        26,
        "peggy",
        "Peggy",
        "e20b211d69209430032433ab1bb398475109dca7d6daafc0ec6202c1280acb54",
    ),
    Account(
        27,
        "wendy",
        "Wendy",
        "808b658122a95f2b05da75c89e4ecb574d71b284fa1c19c22d32c99f85413602",
    ),
    _of_directory(28, "lea", "corp"),
    _of_directory(29, "noah", "corp"),
    _of_directory(30, "mia", "corp"),
    _of_directory(33, "finn", "corp"),
    _of_directory(34, "nele", "corp"),
    _of_directory(31, "emil", "branch"),
    _of_directory(32, "ida", "branch"),
)
"""The built-in accounts. Those of a directory are in the state that the directory begins with."""


class Accounts:
    """The accounts of one sandbox."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._accounts = {account.username: account for account in accounts}
        self._usernames = {
            name.casefold(): account.username
            for account in self
            for name in (account.username, account.email)
        }

    def __iter__(self) -> Iterator[Account]:
        return iter(self._accounts.values())

    def find(self, name: str) -> Account | None:
        """Return the user of this user name or e-mail address, in any case, or None."""
        return self._accounts.get(self._usernames.get(name.casefold(), ""))

    def set_active(self, username: str, active: bool) -> None:
        """Enable or disable a user. Raises ``KeyError`` for a user who does not exist."""
        self._accounts[username] = replace(self._accounts[username], active=active)


_BUILT_IN = Accounts(ACCOUNTS)


def find(name: str) -> Account | None:
    """Return the user with this user name or e-mail address, in any case, or ``None``."""
    return _BUILT_IN.find(name)
