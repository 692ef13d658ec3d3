"""Enter a private room and become the program: run by path with `python -I -S`, standard library only.

The one argument is JSON (see `namespaces.Room`). This process takes mount, network, IPC and host-name namespaces of its
own, builds a new root from nothing (an empty memory file system, onto which only what the room names is bound), leaves
the old root behind, gives up every privilege, and executes the program under the same pid. What the room does not name
does not exist for the program: there is no list of forbidden folders to be incomplete.
"""

# Paths of the new root are texts put together before they exist, and the program is executed on purpose.
# ruff: noqa: PTH103, PTH112, PTH118, PTH119, PTH120, PTH123, PTH211, S606

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import platform
import socket
import struct
import sys
from typing import Any

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWNET = (
    0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x40000000,
)  # fmt: skip
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_NO_NEW_PRIVS = 38
SYS_MOUNT_SETATTR = 442
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}
AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID = -100, 0x8000, 1, 2
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
DEVICES = ("null", "zero", "full", "random", "urandom")

libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Build the room and become its program; any failure ends with one line on stderr and exit code 71."""
    room = json.loads(sys.argv[1])
    try:
        enter(room)
        os.execve(room["argv"][0], room["argv"], room["env"])
    except OSError as error:
        print(f"FATAL:  the private room cannot be built: {error}", file=sys.stderr, flush=True)
        os._exit(71)


def enter(room: dict[str, Any]) -> None:
    """Do everything but the last step."""
    process = os.open("/proc/self", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    user_mode = room["mode"] == "user"
    spaces = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS
    unshare(spaces | (CLONE_NEWUSER if user_mode else 0))
    if user_mode:
        map_ids(process, f"0 {room['uid']} 1", f"0 {room['gid']} 1")
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    loopback_up()
    root = os.path.realpath(room["root"])
    mount("pitstop", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=16m")
    furnish(root, room)
    move_in(root)
    os.umask(0o077)
    if user_mode:
        # PostgreSQL refuses to be root, also a mapped one: a second user namespace gives it back its own number.
        unshare(CLONE_NEWUSER)
        map_ids(process, f"{room['uid']} 0 1", f"{room['gid']} 0 1")
    else:
        os.setgroups(room["groups"])
        os.setresgid(room["gid"], room["gid"], room["gid"])
        os.setresuid(room["uid"], room["uid"], room["uid"])
    os.close(process)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise failure("no_new_privs")


def furnish(root: str, room: dict[str, Any]) -> None:
    """Bind what the room names into the new root, and nothing else."""
    os.umask(0o022)
    for path in room["memory"]:
        mount("pitstop", folder_in(root, path), "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    for device in DEVICES:
        bind(f"/dev/{device}", root, f"/dev/{device}", read_only=False)
    for target, link in room["links"]:
        os.symlink(target, os.path.join(folder_in(root, os.path.dirname(link)), os.path.basename(link)))
    for source, target in room["read_only"]:
        bind(source, root, target, read_only=True)
    for path, text in room["files"].items():
        with open(os.path.join(folder_in(root, os.path.dirname(path)), os.path.basename(path)), "w") as file:
            file.write(text)
    for source, target in sorted(room["writable"], key=lambda pair: len(pair[1])):
        bind(source, root, target, read_only=False)


def bind(source: str, root: str, target: str, *, read_only: bool) -> None:
    """Show `source` (folder or file, with what is mounted in it) at `target` of the new root."""
    if os.path.isdir(source):
        place = folder_in(root, target)
    else:
        place = os.path.join(folder_in(root, os.path.dirname(target)), os.path.basename(target))
        if not os.path.lexists(place):
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o644))
    mount(source, place, None, MS_BIND | MS_REC)
    if read_only:
        make_read_only(place)


def folder_in(root: str, path: str) -> str:
    """Make the folder `path` of the new root, and make sure that no link on the way leads out of it."""
    place = root + os.path.normpath("/" + path.lstrip("/"))
    existing = place
    while not os.path.lexists(existing):
        existing = os.path.dirname(existing)
    real = os.path.realpath(existing)
    if real != root and not real.startswith(root + "/"):
        raise OSError(40, f"{path} leads out of the room")
    os.makedirs(place, exist_ok=True)
    return place


def make_read_only(target: str) -> None:
    """Forbid writing to the mount at `target` and every mount below it."""
    attributes = struct.pack("QQQQ", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, 0, 0, 0)
    if libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, os.fsencode(target), AT_RECURSIVE, attributes, len(attributes)) == 0:
        return
    # Kernels before 5.12: one mount at a time, keeping the flags a user namespace may not clear.
    for place in mounts_below(target):
        flags = os.statvfs(place).f_flag & (2 | 4 | 8 | 1024 | 2048 | 4096)
        kept = (flags & 14) | (1024 if flags & 1024 else 0) | (2048 if flags & 2048 else 0)
        kept |= (1 << 21) if flags & 4096 else 0
        mount(None, place, None, MS_REMOUNT | MS_BIND | MS_RDONLY | kept)


def mounts_below(target: str) -> list[str]:
    """List the mount points at and below `target`."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        places = [line.split()[4].encode().decode("unicode_escape") for line in file]
    real = os.path.realpath(target)
    return [place for place in places if place == real or place.startswith(real + "/")]


def move_in(root: str) -> None:
    """Make `root` the root, let go of the old one with everything in it, and forbid writing to the new one itself."""
    os.chdir(root)
    number = SYS_PIVOT_ROOT.get(platform.machine())
    if number is None:
        raise OSError(38, f"pivot_root is not known on {platform.machine()}")
    if libc.syscall(number, b".", b".") != 0:
        raise failure("pivot_root")
    if libc.umount2(b".", MNT_DETACH) != 0:
        raise failure("leaving the old root")
    os.chdir("/")
    mount(None, "/", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


def map_ids(process: int, uids: str, gids: str) -> None:
    """Say who the ids of the new user namespace are; `process` is our /proc folder, opened while there was one."""
    for name, text in (("setgroups", "deny"), ("uid_map", uids), ("gid_map", gids)):
        fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=process)
        try:
            os.write(fd, text.encode())
        except PermissionError:
            if name != "setgroups":
                raise
        finally:
            os.close(fd)


def loopback_up() -> None:
    """Bring up the namespace's own loopback: PostgreSQL 14's statistics collector talks to itself over it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH14x", b"lo", 0)
        (flags,) = struct.unpack("16xH14x", fcntl.ioctl(sock, SIOCGIFFLAGS, request))
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def unshare(flags: int) -> None:
    """unshare(2); Python has it from 3.12 on only."""
    if libc.unshare(flags) != 0:
        raise failure("unshare")


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2)."""
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    if libc.mount(*encoded, ctypes.c_ulong(flags), None if data is None else data.encode()) != 0:
        raise failure(f"mount {source or ''} on {target}")


def failure(step: str) -> OSError:
    """Return the error libc just left, naming the step."""
    number = ctypes.get_errno()
    return OSError(number, f"{step}: {os.strerror(number)}")


if __name__ == "__main__":
    main()
