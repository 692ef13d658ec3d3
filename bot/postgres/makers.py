"""initdb where who started it was killed: it and the servers it starts go on writing, and are ended before their files go."""

from __future__ import annotations

import contextlib
import os
import signal as signals
import time
from pathlib import Path

from bot.host import processes

_ENDS_S = 10


def end_makers(data: Path) -> None:
    """End the initdb of `data`, and the servers it starts: they go on writing for a moment where their starter was killed."""
    looks_in_vain = 0
    while looks_in_vain < 2:  # one that had just started may not say yet where it works
        inside = set(processes.working_in(data))
        found = [pid for pid in processes.pids() if _makes(pid, data, works_there=pid in inside)]
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                maker = processes.identity(pid)
                processes.signal(maker, signals.SIGKILL)
                processes.wait_gone(maker, _ENDS_S)
        looks_in_vain = 0 if found else looks_in_vain + 1
        time.sleep(0.05)


def _makes(pid: int, data: Path, *, works_there: bool) -> bool:
    """Say whether a process is an initdb of `data`, or a server that one started."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    if not words[0].endswith((b"/initdb", b"/postgres")):
        return False
    return works_there or os.fsencode(data) in words
