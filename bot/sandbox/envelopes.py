"""One delivery to the app, its clock and its answer."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass, field

from bot.sandbox.values import Json


@dataclass(slots=True, eq=False)
class Envelope:
    """A payload on its way; the same `envelope_id` at every attempt. Times are of the monotonic clock."""

    kind: str
    payload: Json
    accepts_payload: bool
    envelope_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    attempt: int = 0
    reason: str = ""
    sent_at: float | None = None
    acked_at: float | None = None
    sendings: int = 0
    answer: asyncio.Future[Json] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def frame(self) -> Json:
        """Return what goes over the socket."""
        told: Json = {
            "envelope_id": self.envelope_id,
            "payload": self.payload,
            "type": self.kind,
            "accepts_response_payload": self.accepts_payload,
        }
        if self.kind == "events_api" or self.attempt:
            told |= {"retry_attempt": self.attempt, "retry_reason": self.reason}
        return told

    def sent(self) -> None:
        """Note that it went out; the first time counts."""
        self.sendings += 1
        self.sent_at = self.sent_at or time.monotonic()

    def acked(self, payload: Json) -> None:
        """Note the first acknowledgement."""
        if not self.answer.done():
            self.acked_at = time.monotonic()
            self.answer.set_result(payload)

    def as_json(self) -> Json:
        """Return what the driver's `deliveries()` tells."""
        return {
            "envelope_id": self.envelope_id,
            "kind": self.kind,
            "sent_at": self.sent_at,
            "acked_at": self.acked_at,
            "attempts": self.sendings,
        }
