"""Where tests put what is gone after them: in memory where there is room, since nothing has to reach a disk there.

With `--full`, or PITSTOP_TESTS_ON_DISK=1, servers and installations are on a disk.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

ON_DISK = "PITSTOP_TESTS_ON_DISK"
_DISK, _MEMORY = "/tmp", "/dev/shm"
_SERVERS_BYTES, _LEFT_BYTES = 4 << 30, 6 << 30
"""What servers of several workers may take of a file system in memory, and what the machine must have left for it."""


def in_memory(room_bytes: int) -> str | None:
    """Return a folder in memory where there is one with room in which programs may be started, or None."""
    if not os.access(_MEMORY, os.W_OK) or os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC:
        return None
    return _MEMORY if shutil.disk_usage(_MEMORY).free > room_bytes else None


def for_servers() -> str:
    """Return a folder for servers and installations; its path is short, for Unix sockets (107 bytes)."""
    if os.environ.get(ON_DISK) or _available_bytes() < _LEFT_BYTES:
        return _DISK
    return in_memory(_SERVERS_BYTES) or _DISK


def another_disk() -> Path | None:
    """Return a folder on another disk than `for_servers()`, or None where there is none."""
    here = Path(for_servers()).stat().st_dev
    others = (Path(place) for place in (_MEMORY, _DISK) if os.access(place, os.W_OK))
    return next((place for place in others if place.stat().st_dev != here), None)


def _available_bytes() -> int:
    for line in Path("/proc/meminfo").read_text("ascii").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return 0
