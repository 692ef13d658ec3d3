"""Signed requests are taken once: a signature stays valid for five minutes, so whoever copied a request could send it again.

Source: https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

import threading
from collections import OrderedDict

VALID_S = 300.0
"""How far a timestamp may be from our clock, either way."""


class SeenSignatures:
    """Remembers verified signatures for as long as any of them could be accepted again; safe among threads."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def first(self, signature: str, now: float) -> bool:
        """Say whether a verified signature comes for the first time, and remember it. `now` is seconds, monotonic."""
        with self._lock:
            while self._seen and now - next(iter(self._seen.values())) > 2 * VALID_S:
                self._seen.popitem(last=False)
            if signature in self._seen:
                return False
            self._seen[signature] = now
            return True
