"""One leader: the process that holds the kernel lock beside the ledger schedules, sweeps, sends and spawns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.errors import Unavailable
from bot.host.locks import FileLock, is_locked

LOOK_EVERY_S = 1.0


def leads(path: Path) -> bool:
    """Say whether some process leads now."""
    return is_locked(path)


@contextmanager
def leadership(path: Path, stop: threading.Event, on_standby: Callable[[], None]) -> Iterator[bool]:
    """Lead while the block runs: yield True as the leader, or False when `stop` was set before the lock became free.

    Waits as long as another process leads; `on_standby` is called once if so. The lock ends with this process, however
    it ends, and a standby takes over within a second.

    Raises:
        Unavailable: the lock's file cannot be written.
    """
    lock = FileLock(path)
    try:
        leading = _wait(lock, stop, on_standby)
    except OSError as error:
        raise Unavailable(
            f"{path} cannot be written: {error.strerror}.",
            hint="May this user write to the ledger's folder?",
            code="leader-lock",
        ) from None
    try:
        yield leading
    finally:
        lock.release()


def _wait(lock: FileLock, stop: threading.Event, on_standby: Callable[[], None]) -> bool:
    if lock.acquire():
        return True
    on_standby()
    while not stop.wait(LOOK_EVERY_S):
        if lock.acquire():
            return True
    return False
