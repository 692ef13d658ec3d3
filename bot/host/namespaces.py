"""Rooms: what a program started in its own namespaces can see. Everything else does not exist for it."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from bot.host.accounts import Account

Isolation = Literal["root", "user"]

_ENTER = Path(__file__).with_name("enter.py")
# Programs, libraries and data of the system. Not /usr itself: /usr/local/pgsql/data is where many keep a live cluster.
_SYSTEM = (
    "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/share",
    "/usr/local/bin", "/usr/local/lib", "/usr/local/share",
    "/bin", "/sbin", "/lib", "/lib32", "/lib64",
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/localtime", "/etc/timezone",
)  # fmt: skip
_MEMORY = ("/tmp", "/dev/shm")  # noqa: S108 -- inside the room both are its own


@dataclass(frozen=True, slots=True)
class Room:
    """What a program sees besides the system's own programs and libraries, which are bound read-only.

    `writable` and `read_only` map a path inside the room to the folder or file of this machine shown there. `anchor` is
    an empty folder of ours the new root is mounted on.
    """

    anchor: Path
    writable: Mapping[str, Path]
    read_only: Mapping[str, Path]


def enter_argv(room: Room, account: Account, argv: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """Return the command that builds `room` and becomes `argv` as `account` in it, under the same pid.

    It must be started as root, or as `account` itself where ordinary users may have namespaces.
    """
    shown = dict(room.read_only)
    spec = {
        "mode": "root" if os.geteuid() == 0 else "user",
        "root": str(room.anchor),
        "uid": account.uid,
        "gid": account.gid,
        "groups": list(account.groups),
        "memory": list(_MEMORY),
        "links": _system_links(),
        "read_only": [*_system_folders(), *((str(source), target) for target, source in shown.items())],
        "writable": [(str(source), target) for target, source in room.writable.items()],
        "files": _identity_files(account),
        "argv": list(argv),
        "env": dict(env),
    }
    return [sys.executable, "-I", "-S", str(_ENTER), json.dumps(spec)]


@lru_cache(maxsize=1)
def isolation() -> Isolation | None:
    """Say whose namespaces work here, by trying: `root`'s, an ordinary `user`'s, or none (a container's seccomp, a sysctl)."""
    kind: Isolation = "root" if os.geteuid() == 0 else "user"
    account = Account.named("nobody") if kind == "root" and _exists("nobody") else Account.current()
    # The probe's root hides /tmp from the probe alone; a folder of its own would stay behind when we are killed meanwhile.
    argv = enter_argv(Room(Path("/tmp"), {}, {}), account, ["/bin/true"], {})  # noqa: S108
    try:
        tried = subprocess.run(argv, capture_output=True, timeout=30, check=False, cwd="/")
    except (OSError, subprocess.SubprocessError):
        return None
    return kind if tried.returncode == 0 else None


def is_system_path(path: Path) -> bool:
    """Say whether `path` is visible in every room already."""
    real = str(path.resolve())
    return any(real == top or real.startswith(top + "/") for top in _SYSTEM)


def _system_folders() -> list[tuple[str, str]]:
    return [(place, place) for place in _SYSTEM if Path(place).exists() and not _is_folder_link(place)]


def _system_links() -> list[tuple[str, str]]:
    return [(str(Path(place).readlink()), place) for place in _SYSTEM if _is_folder_link(place)]


def _is_folder_link(place: str) -> bool:
    """Say whether `place` is a link such as /bin -> usr/bin (but /etc/localtime is shown as the file it leads to)."""
    return Path(place).is_symlink() and Path(place).is_dir()


def _identity_files(account: Account) -> dict[str, str]:
    """Make a passwd and group of the two accounts that matter: the program's, and ours, which peer authentication names."""
    ours = Account.current()
    people = {(a.name, a.uid, a.gid) for a in (account, ours)}
    passwd = "".join(f"{name}:x:{uid}:{gid}::/:/usr/sbin/nologin\n" for name, uid, gid in sorted(people))
    group = "".join(f"{name}:x:{gid}:\n" for name, _, gid in sorted(people))
    return {"/etc/passwd": passwd, "/etc/group": group, "/etc/nsswitch.conf": "passwd: files\ngroup: files\n"}


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
