"""What every job gets: its run, the configuration, the ledger, and how to report progress and notice a cancellation."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bot import desk
from bot.config import Config
from bot.errors import Unavailable
from bot.ledger import Ledger
from bot.model.runs import Phase, Run

WRITE_INTERVAL_S = 1.0


class Cancelled(Exception):
    """The run was asked to stop and did; raised by `JobContext.check_cancelled`, caught by `bot/job.py` alone."""


def utc_now() -> datetime:
    """Return the present time, aware UTC."""
    return datetime.now(UTC)


@dataclass
class JobContext:
    """One run's surroundings; safe to use from several threads of the job.

    Progress is kept in memory and written to the ledger at most once a second, the last values always. A ledger that
    is locked or full never stops a job: what could not be written is written with the next report.
    """

    run: Run
    config: Config
    ledger: Ledger
    now: Callable[[], datetime] = utc_now
    _cancel: threading.Event = field(default_factory=threading.Event)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _timer: threading.Timer | None = None
    _phases: list[Phase] = field(default_factory=list)
    _done: int = 0
    _total: int | None = None
    _note: str = ""
    _written_at: datetime | None = None
    _dirty: bool = False
    _closed: bool = False

    def phase(self, name: str) -> None:
        """Begin the phase `name`: the one before it ends now, and the byte counts start again from 0."""
        with self._lock:
            at = self.now()
            self._end_phase(at)
            self._phases.append(Phase(name, at, None))
            self._done, self._total = 0, None
            self._changed()

    def progress(self, done: int, total: int | None = None) -> None:
        """Report `done` of `total` bytes (None: unknown) of the current phase."""
        with self._lock:
            self._done, self._total = done, total
            self._changed()

    def note(self, text: str) -> None:
        """Say in one sentence what is going on, for the card and the command line."""
        with self._lock:
            self._note = text
            self._changed()

    def phases(self) -> tuple[Phase, ...]:
        """Return the phases so far; the current one has taken no `seconds` yet."""
        with self._lock:
            return tuple(self._phases)

    def cancelled(self) -> bool:
        """Say whether the run was asked to stop (SIGTERM); a job looks at this between pieces of work."""
        return self._cancel.is_set()

    def check_cancelled(self) -> None:
        """Go on, or stop here when the run was asked to.

        Raises:
            Cancelled: the run was asked to stop.
        """
        if self.cancelled():
            raise Cancelled

    def wait_cancelled(self, timeout_s: float) -> bool:
        """Sleep up to `timeout_s` seconds; return True at once when the run is asked to stop."""
        return self._cancel.wait(timeout_s)

    def cancel(self) -> None:
        """Ask the job to stop; called by the signal handler of `bot/job.py`."""
        self._cancel.set()

    def close(self) -> None:
        """End the last phase and write what was not written yet. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
            self._end_phase(self.now())
            self._write()

    def _end_phase(self, at: datetime) -> None:
        if self._phases and self._phases[-1].seconds is None:
            last = self._phases[-1]
            self._phases[-1] = Phase(last.name, last.started_at, (at - last.started_at).total_seconds())

    def _changed(self) -> None:
        self._dirty = True
        if self._closed or self._timer is not None:
            return
        waited = (self.now() - self._written_at).total_seconds() if self._written_at else WRITE_INTERVAL_S
        if waited >= WRITE_INTERVAL_S:
            self._write()
        else:
            self._write_in(WRITE_INTERVAL_S - waited)

    def _write_in(self, delay_s: float) -> None:
        self._timer = threading.Timer(delay_s, self._on_timer)
        self._timer.daemon = True
        self._timer.start()

    def _on_timer(self) -> None:
        with self._lock:
            self._timer = None
            if self._dirty and not self._closed:
                self._write()

    def _write(self) -> None:
        self._written_at = self.now()
        try:
            desk.progress(
                self.ledger,
                self.run.id,
                phases=tuple(self._phases),
                bytes_done=self._done,
                bytes_total=self._total,
                note=self._note,
                at=self._written_at,
            )
        except Unavailable:
            # Only the display is late; the values stay dirty and go out with the next report.
            if not self._closed:
                self._write_in(WRITE_INTERVAL_S)
            return
        self._dirty = False
