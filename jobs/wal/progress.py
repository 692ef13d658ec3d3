"""What the receiver's threads tell each other: how far WAL was received, flushed, and made durable in each repository."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.model.wal import Lsn
from jobs.wal.position import Gap

_MARK_EVERY = timedelta(milliseconds=200)
_MARKS = 100_000
_ZERO = Lsn(0)


@dataclass(frozen=True, slots=True)
class Mark:
    """At the server's time `at`, its WAL went up to `lsn`."""

    lsn: Lsn
    at: datetime


@dataclass(frozen=True, slots=True)
class Durable:
    """What one repository has without a hole: WAL of `timeline` up to `lsn`; all that was written by `at` is in it."""

    timeline: int
    lsn: Lsn
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The receiver at one moment. `problems` are sentences by their subject: a repository's name, `server` or `spool`.

    `bytes_received` counts from the receiver's start; `gaps` are holes found since then. `server_at` is when the server last
    said where it stands, by its clock; it has not answered since `away_since`, or it does and that is None.
    """

    timeline: int
    received: Lsn
    flushed: Lsn
    server: Lsn
    durable: dict[str, Durable]
    gaps: tuple[Gap, ...]
    problems: dict[str, str]
    windows: dict[str, tuple[dict[str, str], ...]]
    bytes_received: int
    server_at: datetime | None = None
    away_since: datetime | None = None


@dataclass
class Progress:
    """Shared by the receiving thread, the shippers and the keeper; every method is atomic."""

    _lock: threading.Condition = field(default_factory=threading.Condition)
    _timeline: int = 0
    _counted_from: dict[int, Lsn] = field(default_factory=dict)
    _received: Lsn = _ZERO
    _flushed: Lsn = _ZERO
    _server: Lsn = _ZERO
    _marks: deque[Mark] = field(default_factory=lambda: deque(maxlen=_MARKS))
    _durable: dict[str, Durable] = field(default_factory=dict)
    _gaps: list[Gap] = field(default_factory=list)
    _problems: dict[str, str] = field(default_factory=dict)
    _windows: dict[str, tuple[dict[str, str], ...]] = field(default_factory=dict)
    _bytes: int = 0
    _server_at: datetime | None = None
    _away_since: datetime | None = None
    _generation: int = 0

    def streaming(self, timeline: int, start: Lsn, counted_from: Lsn) -> None:
        """Streaming of `timeline` begins at `start`; what is durable without a hole is counted from `counted_from`."""
        with self._lock:
            if timeline != self._timeline:
                self._marks.clear()
            self._timeline, self._received, self._flushed = timeline, start, start
            self._counted_from[timeline] = min(counted_from, self._counted_from.get(timeline, counted_from))

    def restart_counting(self, timeline: int, counted_from: Lsn) -> None:
        """Count what is durable on `timeline` from `counted_from` on: there is a hole before it."""
        with self._lock:
            self._counted_from[timeline] = counted_from

    def server_at(self, lsn: Lsn, at: datetime) -> None:
        """The server's WAL went up to `lsn` at its time `at`."""
        with self._lock:
            self._server = max(self._server, lsn)
            self._server_at = max(at, self._server_at or at)
            last = self._marks[-1] if self._marks else None
            if last is not None and last.lsn == lsn:
                # Nothing new was written: the time by which all before this LSN was written moves on.
                self._marks[-1] = Mark(lsn, max(at, last.at))
            elif last is None or at - last.at >= _MARK_EVERY:
                self._marks.append(Mark(lsn, at))

    def lost_server(self, at: datetime) -> bool:
        """The server does not answer; return whether that is news."""
        with self._lock:
            news = self._away_since is None
            self._away_since = self._away_since or at
            return news

    def found_server(self) -> datetime | None:
        """The server answers; return since when it had not, or None when that is no news."""
        with self._lock:
            since, self._away_since = self._away_since, None
            return since

    def received(self, lsn: Lsn) -> None:
        """WAL up to `lsn` was written into the spool."""
        with self._lock:
            self._bytes += max(0, lsn - self._received)
            self._received = lsn

    def flushed(self, lsn: Lsn, *, completed: bool) -> None:
        """WAL up to `lsn` would survive a power cut; shippers are woken when that `completed` a segment."""
        with self._lock:
            self._flushed = max(self._flushed, lsn)
            if completed:
                self._wake()

    def durable(self, repository: str, timeline: int, lsn: Lsn) -> None:
        """Repository holds WAL of `timeline` without a hole up to `lsn`."""
        with self._lock:
            reached = [mark.at for mark in self._marks if mark.lsn <= lsn] if timeline == self._timeline else []
            before = self._durable.get(repository)
            at = reached[-1] if reached else before.at if before else None
            self._durable[repository] = Durable(timeline, lsn, at)
            self._forget_old_marks()

    def gap(self, gap: Gap) -> None:
        """WAL is lost for good: neither spool, repository nor server has it."""
        with self._lock:
            if gap not in self._gaps:
                self._gaps.append(gap)

    def problem(self, subject: str, sentence: str | None) -> None:
        """Something stands in the way of `subject`; None when it no longer does."""
        with self._lock:
            if sentence is None:
                self._problems.pop(subject, None)
            else:
                self._problems[subject] = sentence

    def window(self, repository: str, window: tuple[dict[str, str], ...]) -> None:
        """The recovery window of a repository, as JSON."""
        with self._lock:
            self._windows[repository] = window

    def counted_from(self, timeline: int) -> Lsn | None:
        """Return where counting what is durable on `timeline` starts, or None while nothing of it was streamed."""
        with self._lock:
            return self._counted_from.get(timeline)

    def snapshot(self) -> Snapshot:
        """Return one consistent state."""
        with self._lock:
            return Snapshot(
                self._timeline,
                self._received,
                self._flushed,
                self._server,
                dict(self._durable),
                tuple(self._gaps),
                dict(self._problems),
                dict(self._windows),
                self._bytes,
                self._server_at,
                self._away_since,
            )

    def wait(self, generation: int, timeout_s: float) -> int:
        """Wait until something was flushed since `generation`, or `timeout_s`; return the present generation."""
        with self._lock:
            if self._generation == generation:
                self._lock.wait(timeout_s)
            return self._generation

    def wake(self) -> None:
        """Wake everyone who waits: there is work, or it is time to stop."""
        with self._lock:
            self._wake()

    def _wake(self) -> None:
        self._generation += 1
        self._lock.notify_all()

    def _forget_old_marks(self) -> None:
        """Drop marks every repository has passed, but the last of them."""
        slowest = min(durable.lsn for durable in self._durable.values())
        while len(self._marks) > 2 and self._marks[1].lsn <= slowest:
            self._marks.popleft()
