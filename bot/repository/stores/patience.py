"""Try again what may pass: back-off with jitter, up to a deadline counted from the last success."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from bot.errors import Unavailable

T = TypeVar("T")


class Again(Unavailable):
    """A failure of the storage that may pass by itself: a 503, a reset, a truncated answer.

    Attributes:
        after_s: seconds the server asked to wait.
        quick: nobody answered at all, so that waiting for long is of no use.
    """

    code = "storage-failed"

    def __init__(
        self, message: str, *, hint: str = "", code: str | None = None, after_s: float = 0.0, quick: bool = False
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.after_s = after_s
        self.quick = quick


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call is tried again.

    Attributes:
        for_s: seconds after which a call that keeps failing is given up.
        quick_s: the same where nobody answers.
        first_s, most_s: bounds of the wait before another try; each wait is drawn at random below twice the one before.
        sleep, clock, jitter: time and chance, for tests.
    """

    for_s: float = 300.0
    quick_s: float = 30.0
    first_s: float = 0.2
    most_s: float = 20.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random

    def insist(self, step: Callable[[], T]) -> T:
        """Return what `step` returns, calling it again while it raises Again.

        Raises:
            Unavailable: the last failure, once the deadline is past; and whatever else `step` raises, at once.
        """
        tries = Tries(self)
        while True:
            try:
                return step()
            except Again as error:
                tries.failed(error)


class Tries:
    """The failures in a row of one piece of work."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._count = 0
        self._since = patience.clock()

    def succeeded(self) -> None:
        """Start counting anew: something was achieved."""
        self._count, self._since = 0, self._patience.clock()

    def failed(self, error: Again) -> None:
        """Wait before the next try.

        Raises:
            Unavailable: `error`, with what was tried, when the wait would end past the deadline.
        """
        patience = self._patience
        self._count += 1
        bound = min(patience.most_s, patience.first_s * 2.0 ** min(self._count - 1, 30))
        wait = max(error.after_s, bound * (0.5 + patience.jitter() / 2))
        allowed = min(patience.for_s, patience.quick_s) if error.quick else patience.for_s
        spent = patience.clock() - self._since
        if spent + wait > allowed:
            raise _given_up(error, self._count, spent) from error
        patience.sleep(wait)


def _given_up(error: Again, count: int, seconds: float) -> Unavailable:
    tried = f" It was tried {count} times in {seconds:.0f} s." if count > 1 else ""
    return Unavailable(f"{error.message}{tried}", hint=error.hint, code=error.reason_code)
