"""How much of the machine a process may take from its neighbours."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform

_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
_WHO_PROCESS, _BEST_EFFORT, _LOWEST = 1, 2, 7


def step_back(nice: int = 10) -> None:
    """Lower this process's claim on processor and disk, for its threads to come and its children too.

    What the kernel refuses (an unknown machine, a sandbox) is left as it is: the work is the same, only less polite.
    """
    os.nice(max(0, nice - os.nice(0)))
    with contextlib.suppress(OSError):
        # Batch: waking up, it never takes the processor from somebody else in the middle of their turn.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    number = _IOPRIO_SET.get(platform.machine())
    if number is not None:
        ctypes.CDLL(None, use_errno=True).syscall(number, _WHO_PROCESS, 0, (_BEST_EFFORT << 13) | _LOWEST)
