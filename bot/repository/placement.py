"""Where the members of an archive may go: the rules that keep a restore inside its folders. Pure."""

from __future__ import annotations

import re
from collections.abc import Container

from bot.errors import Refused
from bot.repository.tar import Member

_LINK = re.compile(r"^pg_tblspc/([1-9][0-9]{0,9})\Z")


def checked(member: Member, tablespaces: Container[int], *, archive: str) -> Member:
    """Return `member` if it may be written: a file, a folder, or a link of `pg_tblspc` to a tablespace of this backup.

    Raises:
        Refused: `hostile-member`; its name climbs, is absolute, leads through a link, or it is of another kind.
    """
    parts = member.name.split("/")
    if "\0" in member.name or any(part in {"", ".", ".."} for part in parts) or any(len(part) > 255 for part in parts):
        raise hostile(member.name, archive, "its name leads outside the folder")
    if member.kind in {"hard", "other"}:
        raise hostile(member.name, archive, "it is neither a file, a folder nor a link to a tablespace")
    if member.kind == "link" and link_oid(member) not in tablespaces:
        raise hostile(member.name, archive, "it is a link to something that is not a tablespace of this backup")
    if len(parts) > 2 and parts[0] == "pg_tblspc" and parts[1].isdigit() and int(parts[1]) in tablespaces:
        raise hostile(member.name, archive, "it would be written through a link")
    return member


def is_root(member: Member) -> bool:
    """Say whether a member stands for the archive's own folder, as some servers send it."""
    return member.kind == "dir" and member.name in {"", "."}


def link_oid(member: Member) -> int | None:
    """Return the OID of the tablespace that a link of `pg_tblspc` stands for, or None."""
    match = _LINK.match(member.name)
    return int(match[1]) if match else None


def hostile(name: str, archive: str, why: str) -> Refused:
    """Return the refusal to write a member."""
    return Refused(
        f"The archive {archive} holds a member {name!r} that is not restored: {why}.",
        hint="No PostgreSQL server sends this. Who could write to the server's data directory, or to this repository?",
        code="hostile-member",
    )
