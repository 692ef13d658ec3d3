"""Rate limits as token buckets; time is passed in."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from bot.sandbox import limits
from bot.sandbox.refusals import RateLimited


@dataclass(slots=True)
class Bucket:
    """`capacity` calls at once, refilled at `per_second`; never less than empty."""

    capacity: float
    per_second: float
    level: float
    at: float

    def take(self, now: float, forgiven_s: float = 0.0) -> float:
        """Take one call and return 0, or return the seconds until one may be taken."""
        self.level = min(self.capacity, self.level + (now - self.at) * self.per_second)
        self.at = now
        missing = 1.0 - self.level
        if missing > forgiven_s * self.per_second:
            return missing / self.per_second
        self.level -= 1.0
        return 0.0


@dataclass(slots=True)
class Rates:
    """Every limit in force: per method and minute, and one message a second and channel."""

    enabled: bool = True
    methods: dict[str, Bucket] = field(default_factory=dict)
    channels: dict[str, Bucket] = field(default_factory=dict)

    def call(self, method: str, now: float) -> None:
        """Count one call of `method`. Raises RateLimited."""
        per_minute = limits.calls_per_minute(method)
        bucket = self.methods.setdefault(method, Bucket(per_minute, per_minute / 60, per_minute, now))
        self._take(bucket, now)

    def message(self, channel: str, now: float) -> None:
        """Count one message posted to `channel`. Raises RateLimited."""
        rate = 1.0 / limits.MESSAGE_INTERVAL_S
        bucket = self.channels.setdefault(channel, Bucket(1.0, rate, 1.0, now))
        self._take(bucket, now, limits.MESSAGE_JITTER_S)

    def _take(self, bucket: Bucket, now: float, forgiven_s: float = 0.0) -> None:
        if not self.enabled:
            return
        wait_s = bucket.take(now, forgiven_s)
        if wait_s > 0:
            raise RateLimited(max(1, math.ceil(wait_s)))
