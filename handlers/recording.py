"""Recording: what somebody did becomes a row in the inbox before Slack is told that it arrived."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bot.errors import PitstopError, Unavailable
from bot.ledger import Ledger, inbox

RECORD_WITHIN_S = 1.0
_COMMIT_WITHIN_S = 1.3
_BATCH = 200

NOT_RECORDED = "Not recorded; press again."
PERHAPS_RECORDED = "It may not have been recorded; look at the card before you press again."


def sound(value: Any) -> Any:
    """Return a JSON value whose texts can be stored: half a surrogate pair, which JSON may carry, becomes a question mark."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    return {name: sound(held) for name, held in value.items()} if isinstance(value, dict) else value


class NotRecorded(Unavailable):
    """The inbox could not be written in time; nothing will happen, unless the sentence says perhaps."""

    code = "not-recorded"


@dataclass(slots=True)
class _Entry:
    key: str
    kind: str
    payload: dict[str, Any]
    at: datetime
    written: Future[bool] = field(default_factory=Future)


class Recorder:
    """Writes inbox rows for all listeners in shared transactions: fifty clicks at once cost two commits, not fifty."""

    def __init__(self, ledger: Ledger, now: Callable[[], datetime]) -> None:
        self._ledger, self._now = ledger, now
        self._entries: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self.arrived = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def put(self, key: str, kind: str, payload: dict[str, Any]) -> bool:
        """Record one item durably; False when its key was recorded before (Slack delivers at least once).

        Raises:
            NotRecorded: it was not written within a second.
        """
        entry = _Entry(key, kind, sound(payload), self._now())
        self._entries.put(entry)
        try:
            return entry.written.result(RECORD_WITHIN_S)
        except TimeoutError:
            return self._late(entry)
        except PitstopError as error:
            raise NotRecorded(NOT_RECORDED, hint=error.message) from None

    def _late(self, entry: _Entry) -> bool:
        """Withdraw an entry whose second is up; one that is being committed gets a moment more."""
        if entry.written.cancel():
            raise NotRecorded(NOT_RECORDED)
        try:
            return entry.written.result(_COMMIT_WITHIN_S)
        except (TimeoutError, PitstopError):
            raise NotRecorded(PERHAPS_RECORDED) from None

    def close(self) -> None:
        """Write what is queued and end the thread."""
        self._entries.put(None)
        self._thread.join(10)

    def _run(self) -> None:
        while (first := self._entries.get()) is not None:
            batch, last = self._batch(first)
            self._write(batch)
            if last:
                return

    def _batch(self, first: _Entry) -> tuple[list[_Entry], bool]:
        batch = [first]
        while len(batch) < _BATCH:
            try:
                entry = self._entries.get_nowait()
            except queue.Empty:
                break
            if entry is None:
                return batch, True
            batch.append(entry)
        return batch, False

    def _write(self, batch: list[_Entry]) -> None:
        """Commit a batch; entries withdrawn while the ledger was waited for are left out."""
        taken: list[tuple[_Entry, bool]] = []
        try:
            with self._ledger.transaction(urgent=True) as tx:
                for entry in batch:
                    if entry.written.set_running_or_notify_cancel():
                        taken.append((entry, False))
                        taken[-1] = (entry, inbox.put(tx, entry.key, entry.kind, entry.payload, entry.at))
        except Exception as error:  # noqa: BLE001 - the edge of a thread: whoever waits is told
            for entry in batch:
                if entry.written.running() or entry.written.set_running_or_notify_cancel():
                    entry.written.set_exception(
                        error
                        if isinstance(error, PitstopError)
                        else Unavailable(f"The inbox cannot be written: {error}.")
                    )
            return
        for entry, new in taken:
            entry.written.set_result(new)
        self.arrived.set()
