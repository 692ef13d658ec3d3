"""Kernel locks on files: held by a living process, gone with it, whatever way it ends."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path
from types import TracebackType

from bot.errors import Unavailable

# struct flock of 64-bit Linux: type, whence, start, length (0: to the end), pid (0 for locks of open files)
_FLOCK = "hhqqi4x"
_F_OFD_GETLK, _F_OFD_SETLK, _F_OFD_SETLKW = 36, 37, 38


class FileLock:
    """An exclusive lock on `path`, held until released or until this process ends.

    It belongs to one open file that no child inherits across exec (the kernel's "open file description" lock), so a
    crashed holder never blocks its successor, and `is_locked` can ask without taking it. The file stays: removing it
    would let two processes hold locks on two files of one name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._fd is not None

    def acquire(self, blocking: bool = False) -> bool:
        """Take the lock; return False at once when somebody else holds it, or wait for it if `blocking`.

        Raises:
            OSError: the file cannot be opened or created.
        """
        if self._fd is not None:
            return True
        while True:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                taken = _lock(fd, blocking=blocking)
                current = taken and _is_current(fd, self.path)
            except BaseException:
                os.close(fd)
                raise
            if current:
                self._fd = fd
                return True
            os.close(fd)
            if not taken:
                return False

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> FileLock:
        self.acquire(blocking=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def is_locked(path: Path) -> bool:
    """Say whether somebody holds the lock on `path`, without disturbing whoever is about to take it.

    Raises:
        Unavailable: this user may not look.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise Unavailable(
            f"Whether {path} is locked cannot be told: {error.strerror}.",
            hint="Is this the account that Pitstop runs as?",
            code="lock-forbidden",
        ) from None
    try:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = fcntl.fcntl(fd, _F_OFD_GETLK, asked)
    finally:
        os.close(fd)
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def _lock(fd: int, *, blocking: bool) -> bool:
    wanted = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        fcntl.fcntl(fd, _F_OFD_SETLKW if blocking else _F_OFD_SETLK, wanted)
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EAGAIN}:
            return False
        raise
    return True


def _is_current(fd: int, path: Path) -> bool:
    """Say whether `path` still names the file that was locked; somebody may have removed it in between."""
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    held = os.fstat(fd)
    return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)
