"""What a figure was measured on, and whether anything else was at work: printed with every table."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

from bot.postgres.binaries import find

_SAMPLE_S = 1.0
QUIET = 0.05
"""The share of all cores that others may use before a figure counts as taken on a busy machine."""


@dataclass(frozen=True, slots=True)
class Mood:
    """How busy the machine is with what is not ours: the share of all cores in use while we do nothing, and the load average."""

    others: float
    load: float

    @property
    def quiet(self) -> bool:
        """Whether figures can be quoted."""
        return self.others <= QUIET


def mood() -> Mood:
    """Look for a second, doing nothing. Time that a hypervisor gives to other machines counts as in use."""
    before = _ticks()
    time.sleep(_SAMPLE_S)
    after = _ticks()
    total, idle = after[0] - before[0], after[1] - before[1]
    return Mood(1 - idle / total if total > 0 else 0.0, os.getloadavg()[0])


def facts(major: int, folder: Path) -> str:
    """Say in a sentence what this machine is; `major` is the PostgreSQL in use, `folder` where the data lies."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{len(os.sched_getaffinity(0))} cores ({_processor()}), {memory:.0f} GiB, {_file_system(folder)}, "
        f"Linux {platform.release()}, Python {platform.python_version()}, PostgreSQL {find(major).version}"
    )


def said(before: Mood, after: Mood) -> str:
    """Say how busy the machine was around a measurement. Pure."""
    words = (
        f"Others used {before.others:.0%} of the cores before and {after.others:.0%} after; "
        f"load average {before.load:.1f} and {after.load:.1f}."
    )
    if before.quiet and after.quiet:
        return words
    return f"**Taken on a busy machine**: {words} Ratios say something, seconds little."


def _ticks() -> tuple[int, int]:
    """Return all and the idle ticks of all cores since boot."""
    fields = [int(field) for field in Path("/proc/stat").read_text("ascii").splitlines()[0].split()[1:9]]
    return sum(fields), fields[3] + fields[4]


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _file_system(folder: Path) -> str:
    """Return the type of the file system that `folder` lies on."""
    here, best = str(folder.resolve()), ("", "unknown file system")
    for line in Path("/proc/self/mounts").read_text("utf-8", errors="replace").splitlines():
        _, place, kind, *_ = line.split()
        inside = here == place or here.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= len(best[0]):
            best = (place, kind)
    return best[1]
