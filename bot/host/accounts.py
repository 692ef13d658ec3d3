"""Operating-system accounts: whose rights a server process gets; never root's."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.errors import Refused, Usage

_UNPRIVILEGED = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """An account of this machine; `groups` are its supplementary group ids."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()

    @classmethod
    def current(cls) -> Account:
        """Return the account this process runs as."""
        found = cls.of_uid(os.geteuid(), gid=os.getegid())
        return cls(found.name, found.uid, os.getegid(), tuple(sorted(os.getgroups())))

    @classmethod
    def of_uid(cls, uid: int, *, gid: int | None = None) -> Account:
        """Return the account with `uid`; one without a passwd entry (as in containers) is named `uid<number>`."""
        try:
            entry = pwd.getpwuid(uid)
        except KeyError:
            return cls(f"uid{uid}", uid, gid if gid is not None else uid)
        return cls(entry.pw_name, uid, entry.pw_gid, _groups(entry.pw_name, entry.pw_gid))

    @classmethod
    def named(cls, name: str) -> Account:
        """Return the account called `name`.

        Raises:
            Usage: there is none.
        """
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            raise Usage(
                f"This machine has no account “{name}”.",
                hint=f"Create it (useradd --system {name}), or name another in [restore] user.",
                code="no-account",
            ) from None
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid, _groups(entry.pw_name, entry.pw_gid))

    @property
    def is_current(self) -> bool:
        """Whether this process already has this account's user id."""
        return self.uid == os.geteuid()

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only."""
        return {"name": self.name, "uid": self.uid, "gid": self.gid, "groups": list(self.groups)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Account:
        """Read what `as_json` wrote."""
        return cls(data["name"], data["uid"], data["gid"], tuple(data["groups"]))


def server_account(config_user: str | None = None, data_directory: Path | None = None) -> Account:
    """Choose whom server processes run as: never root.

    An ordinary user runs them as itself. Root runs them as the owner of `data_directory`, else the configured user,
    else `postgres`, else `nobody`.

    Raises:
        Usage: the configured user does not exist, is root, or there is no unprivileged account at all.
    """
    if os.geteuid() != 0:
        return Account.current()
    if data_directory is not None and data_directory.exists():
        owner = data_directory.stat().st_uid
        if owner != 0:
            return Account.of_uid(owner, gid=data_directory.stat().st_gid)
    if config_user is not None:
        return _not_root(Account.named(config_user))
    return _first_unprivileged(except_uids=frozenset())


def stranger_account(config_user: str | None, *, except_uids: frozenset[int]) -> Account:
    """Choose an account that owns none of what `except_uids` own: for servers that no namespace can hold.

    Raises:
        Usage: the configured user is one of those owners, or no other account exists.
        Refused: `same-account`, an ordinary user is one of those owners itself.
    """
    if os.geteuid() != 0:
        if os.geteuid() in except_uids:
            raise Refused(
                "Namespaces do not work here, and a copy that runs as the owner of a live server's files could reach them.",
                hint="Run Pitstop as another user or as root, or allow user namespaces.",
                code="same-account",
            )
        return Account.current()
    if config_user is not None:
        account = _not_root(Account.named(config_user))
        if account.uid not in except_uids:
            return account
    return _first_unprivileged(except_uids=except_uids)


def _first_unprivileged(*, except_uids: frozenset[int]) -> Account:
    for name in _UNPRIVILEGED:
        try:
            account = Account.named(name)
        except Usage:
            continue
        if account.uid != 0 and account.uid not in except_uids:
            return account
    raise Usage(
        "There is no unprivileged account to run a PostgreSQL server as, and it refuses to run as root.",
        hint='useradd --system pitstop, then set [restore] user = "pitstop".',
        code="no-account",
    )


def _not_root(account: Account) -> Account:
    if account.uid == 0:
        raise Usage(
            "PostgreSQL refuses to run as root.", hint="Name another account in [restore] user.", code="root-account"
        )
    return account


def _groups(name: str, gid: int) -> tuple[int, ...]:
    return tuple(sorted({gid, *(entry.gr_gid for entry in grp.getgrall() if name in entry.gr_mem)}))
