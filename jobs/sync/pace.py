"""A rate that bytes are held to, whichever thread moves them: so that a copy leaves others their share of disk and network."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pace:
    """Says how long to wait after each block, so that no more than `rate` bytes a second pass. Thread-safe.

    What was not used while nothing moved is not made up for.
    """

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`rate`: bytes a second, 0 for none."""
        self._rate, self._clock = rate, clock
        self._lock = threading.Lock()
        self._free_at = clock()

    def wait_s(self, size: int) -> float:
        """Count a block of `size` bytes, and return for how many seconds its thread has to wait before the next."""
        if not self._rate:
            return 0.0
        with self._lock:
            now = self._clock()
            self._free_at = max(self._free_at, now) + size / self._rate
            return self._free_at - now
