"""The end of a log file, however long it is."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def tail_bytes(path: Path, most: int, *, since: int = 0) -> str:
    """Return up to the last `most` bytes of a file from `since` on, as text, beginning with a whole line where it was cut.

    Raises:
        OSError: it cannot be read, or is not a regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path} is not a regular file")
        start = max(min(since, status.st_size), status.st_size - most, 0)
        data = os.pread(descriptor, most, start)
    finally:
        os.close(descriptor)
    return whole_lines(data, cut=start > since)


def whole_lines(data: bytes, *, cut: bool) -> str:
    """Return bytes of a log as text, without the piece of a line it begins with where it was `cut`. Pure."""
    if cut and b"\n" in data[:-1]:
        data = data.partition(b"\n")[2]
    return data.decode("utf-8", "replace").strip("\n")
