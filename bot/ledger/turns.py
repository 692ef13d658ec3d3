"""Turns at the ledger within one process: threads write in the order in which they came, and a person's click goes first.

SQLite lets writers that wait ask again and again, with pauses of up to a tenth of a second, and whoever asks at the right
moment wins: among a dozen busy threads some wait for a second. Between processes that stays; there are few of them.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Turns:
    """One writer at a time. Those that are urgent go before all others, each kind in the order in which it came."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._urgent: deque[threading.Event] = deque()
        self._ordinary: deque[threading.Event] = deque()

    @contextmanager
    def turn(self, timeout_s: float, *, urgent: bool = False) -> Iterator[None]:
        """Hold the turn while the block runs.

        Raises:
            TimeoutError: it did not come within `timeout_s`.
        """
        self._take(timeout_s, self._urgent if urgent else self._ordinary)
        try:
            yield
        finally:
            with self._lock:
                self._pass_on()

    def _take(self, timeout_s: float, line: deque[threading.Event]) -> None:
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            mine = threading.Event()
            line.append(mine)
        try:
            if mine.wait(timeout_s):
                return
        except BaseException:
            self._leave(mine, line)
            raise
        self._leave(mine, line)
        raise TimeoutError("the writers before this one took too long")

    def _leave(self, mine: threading.Event, line: deque[threading.Event]) -> None:
        """Give up waiting; a turn that came at the last moment is passed on."""
        with self._lock:
            if mine.is_set():
                self._pass_on()
            else:
                line.remove(mine)

    def _pass_on(self) -> None:
        line = self._urgent or self._ordinary
        if line:
            line.popleft().set()
        else:
            self._taken = False


_KNOWN: dict[str, Turns] = {}
_KNOWN_LOCK = threading.Lock()


def turns_at(path: Path) -> Turns:
    """Return this process's turns at the file `path`, the same for every object that opens it."""
    with _KNOWN_LOCK:
        return _KNOWN.setdefault(os.path.realpath(path), Turns())
