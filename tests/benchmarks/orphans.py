"""Processes that a measured program leaves running: they become ours, so that their CPU counts and none outlives us."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks.measuring import children, name_of

_PR_SET_CHILD_SUBREAPER = 36
_TICK_S = 0.01


@contextmanager
def adopting() -> Iterator[None]:
    """Adopt what measured programs leave running while the block lasts; what is left at the end is killed."""
    before = set(children(os.getpid()))
    _subreaper(True)
    try:
        yield
    finally:
        for pid in set(children(os.getpid())) - before:
            _kill_and_reap(pid)
        _subreaper(False)


def reaped(name: str, timeout_s: float) -> float:
    """Wait until adopted processes called `name` ended, and return the CPU seconds they used; after `timeout_s` they are killed."""
    used, deadline = 0.0, time.monotonic() + timeout_s
    while pids := [pid for pid in children(os.getpid()) if name_of(pid) == name]:
        for pid in pids:
            with contextlib.suppress(ChildProcessError):
                done, _, usage = os.wait4(pid, os.WNOHANG)
                used += usage.ru_utime + usage.ru_stime if done else 0.0
        if time.monotonic() > deadline:
            for pid in pids:
                _kill_and_reap(pid)
        time.sleep(_TICK_S)
    return used


def _kill_and_reap(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _subreaper(on: bool) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
