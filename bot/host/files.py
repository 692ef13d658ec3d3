"""Files that survive a crash, and questions about the disks under them."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from bot.errors import Unavailable

_SOCKET_PATH_BYTES = 107
_SHORT = 60


def write_durable(path: Path, data: bytes, mode: int = 0o600, *, owner: tuple[int, int] | None = None) -> None:
    """Put `data` at `path` so that a crash leaves either the old file or the whole new one, also after power loss.

    `owner` is (uid, gid), for root only.

    Raises:
        OSError: the folder is missing, full or not writable; the old file is then untouched.
    """
    fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            os.fchmod(fd, mode)
            if owner is not None:
                os.fchown(fd, *owner)
            file.flush()
            os.fsync(fd)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    fsync_dir(path.parent)


def fsync_dir(path: Path) -> None:
    """Make the names in folder `path` durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def syncfs(fd: int, path: Path) -> None:
    """Write everything cached of the file system that holds an open file or folder to its disk.

    Told are the disk's errors since `fd` was opened, also of what was written meanwhile: open it before the first write.
    `path` is for the error.

    Raises:
        OSError: the disk reported an error; nothing written since can be trusted.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syncfs(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))


def free_bytes(path: Path) -> int:
    """Return the bytes an ordinary user may still write where `path` is, or will be: its nearest existing parent."""
    found = os.statvfs(nearest_existing(path))
    return found.f_bavail * found.f_frsize


def same_filesystem(a: Path, b: Path) -> bool:
    """Say whether `a` and `b` (or their nearest existing parents) are on one file system."""
    return nearest_existing(a).stat().st_dev == nearest_existing(b).stat().st_dev


def nearest_existing(path: Path) -> Path:
    """Return `path`, or the nearest of its parents that exists and that we may look at."""
    here = path.absolute()
    while not _can_be_seen(here):
        here = here.parent
    return here


def _can_be_seen(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return False


def short_socket_dir(
    owner: tuple[int, int] | None = None, *, announce: Callable[[Path], None] = lambda _: None
) -> Path:
    """Make a new private folder (0700) whose path leaves room for a socket's name: at most 60 bytes.

    It is under /run, the user's runtime folder or /tmp; /run is empty after a reboot. `owner` is (uid, gid), for root only.
    `announce` gets its path just before it is made, so that somebody can find it whenever we die.

    Raises:
        Unavailable: none of them can be written to.
    """
    for parent in _socket_parents():
        folder = Path(parent, f"pitstop-{secrets.token_hex(5)}")
        if len(os.fsencode(folder)) > _SHORT or not os.access(parent, os.W_OK | os.X_OK):
            continue
        announce(folder)
        try:
            folder.mkdir(mode=0o700)
        except OSError:
            continue
        if owner is not None:
            os.chown(folder, *owner)
        return folder
    raise Unavailable(
        "There is no folder for a private socket.", hint="Is /run or /tmp writable?", code="no-socket-folder"
    )


def remove_tree(path: Path) -> None:
    """Delete `path` and everything in it without following links; a missing one is fine."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    elif path.exists():
        shutil.rmtree(path)


def _socket_parents() -> list[str]:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    first = ["/run"] if os.geteuid() == 0 else [runtime] if runtime else []
    return [*first, "/tmp"]  # noqa: S108 -- a new 0700 folder, or one checked to be root's
