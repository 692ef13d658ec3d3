"""Make restored files safe to start: production's configuration out, tablespaces into private folders, rights put right."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from bot.errors import Failed, Unavailable
from bot.host.accounts import Account
from bot.host.files import remove_tree
from bot.postgres.binaries import Binaries, install_line
from bot.postgres.isolated_folder import ServerFolder

_LEFTOVERS = (
    "standby.signal", "recovery.signal", "recovery.done", "recovery.conf", "postmaster.pid", "postmaster.opts",
    "current_logfiles", "promote", "logrotate", "backup_label.old", "tablespace_map.old",
)  # fmt: skip
_LC_ALL_MASK = 0x1FBF


def set_aside(folder: ServerFolder) -> None:
    """Move every configuration file out of PGDATA and remove what a running server, a standby or a recovery left there."""
    folder.set_aside.mkdir(mode=0o700, exist_ok=True)
    for entry in folder.data.iterdir():
        if entry.name.endswith((".conf", ".conf.d")) or entry.name == "conf.d":
            entry.rename(folder.set_aside / entry.name)
    for name in _LEFTOVERS:
        (folder.data / name).unlink(missing_ok=True)
    # Slots hold WAL back, and a logical one refuses to start below wal_level=logical. The folder itself must stay.
    for slot in (folder.data / "pg_replslot").glob("*"):
        remove_tree(slot)


def rehome_tablespaces(folder: ServerFolder) -> None:
    """Point every tablespace, in `pg_tblspc` and in `tablespace_map`, into the folder; production's paths appear nowhere.

    Raises:
        Failed: the files of a tablespace were not restored.
    """
    links = folder.data / "pg_tblspc"
    oids = {int(link.name) for link in links.iterdir() if link.is_symlink() and link.name.isdigit()}
    table = folder.data / "tablespace_map"
    if table.exists():
        listed = tablespace_oids(table.read_bytes())
        oids |= set(listed)
        lines = b"".join(b"%d %s\n" % (oid, _map_escape(os.fsencode(folder.tablespace(oid)))) for oid in listed)
        table.write_bytes(lines)
    for oid in sorted(oids):
        if not folder.tablespace(oid).is_dir():
            raise Failed(
                f"The files of tablespace {oid} are missing in {folder.tablespace(oid)}.", code="no-tablespace"
            )
        point_link(links / str(oid), folder.tablespace(oid))


def relink_stand_ins(folder: ServerFolder, locations: Iterable[str]) -> None:
    """Point the links that replay made to production's paths to the private folders that stand for them.

    Inside the room both are the same folder, so this is safe while the server runs; outside it, the copy must not be
    able to lead anyone to production's files. Idempotent.
    """
    for link in (folder.data / "pg_tblspc").iterdir():
        if link.is_symlink() and (location := str(link.readlink())) in set(locations):
            point_link(link, folder.stand_in(location))


def point_link(link: Path, target: Path) -> None:
    """Make `link` lead to `target`, with no moment in which it is missing."""
    if link.is_symlink() and link.readlink() == target:
        return
    owner = link.parent.stat()
    temporary = link.with_name(f".{link.name}.new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    os.lchown(temporary, owner.st_uid, owner.st_gid)
    temporary.replace(link)


def tablespace_oids(table: bytes) -> list[int]:
    """Return the OIDs a `tablespace_map` lists, in order. Paths may contain escaped line ends."""
    unfolded = table.replace(b"\\\\", b"").replace(b"\\\n", b"").replace(b"\\\r", b"")
    words = [line.partition(b" ")[0] for line in unfolded.splitlines()]
    return [int(word) for word in words if word.isdigit()]


def give_to(account: Account, *trees: Path) -> None:
    """Make `account` the owner of everything below `trees`, where it is not already; links are not followed."""
    if account.is_current and os.geteuid() != 0:
        return
    for tree in trees:
        _give(tree, account)
        for folder, folders, files in os.walk(tree):
            for name in (*folders, *files):
                _give(Path(folder, name), account)


def check_fit(
    folder: ServerFolder, binaries: Binaries, databases: Iterable[Mapping[str, object]], libraries: Iterable[str]
) -> None:
    """Refuse what could not start or would read its text wrongly here.

    Raises:
        Unavailable: another major, a missing locale or a missing library; the hint says what to install.
        Failed: there is no PGDATA.
    """
    try:
        version = (folder.data / "PG_VERSION").read_text("ascii").strip()
    except OSError:
        raise Failed(f"{folder.data} holds no PostgreSQL data.", code="no-data") from None
    if version != str(binaries.major):
        raise Unavailable(
            f"The backup is of PostgreSQL {version}, and {binaries.bin_dir} is {binaries.major}.",
            hint=install_line(int(float(version))),
            code="wrong-major",
        )
    for name in sorted(missing_locales(databases)):
        raise Unavailable(
            f"This machine lacks the locale “{name}” that a restored database uses.",
            hint=f"On Debian: apt-get install locales, then add {name} to /etc/locale.gen and run locale-gen.",
            code="missing-locale",
        )
    for library in libraries:
        if not binaries.has_library(library):
            raise Unavailable(
                f"The library {library} is needed to read the restored tables, and is not installed for PostgreSQL {version}.",
                hint=f"Install the package that has {library}.so for PostgreSQL {version}.",
                code="missing-library",
            )


def missing_locales(databases: Iterable[Mapping[str, object]]) -> set[str]:
    """Return the libc locales of `databases` (`collate`, `ctype`) that this machine does not have."""
    names = {str(database[key]) for database in databases for key in ("collate", "ctype") if database.get(key)}
    return {name for name in names if not locale_exists(name)}


def locale_exists(name: str) -> bool:
    """Say whether the C library knows the locale `name`; changes nothing in this process."""
    libc = ctypes.CDLL(None)
    libc.newlocale.restype = ctypes.c_void_p
    libc.newlocale.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p]
    libc.freelocale.argtypes = [ctypes.c_void_p]
    made = libc.newlocale(_LC_ALL_MASK, name.encode(), None)
    if made:
        libc.freelocale(made)
    return bool(made)


def _give(path: Path, account: Account) -> None:
    found = path.lstat()
    if (found.st_uid, found.st_gid) != (account.uid, account.gid):
        os.lchown(path, account.uid, account.gid)


def _map_escape(path: bytes) -> bytes:
    return path.replace(b"\\", b"\\\\").replace(b"\n", b"\\\n").replace(b"\r", b"\\\r")
