"""One repository's shipper: takes WAL from the spool into the repository, off the receiving thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from bot.errors import Corruption, PitstopError
from bot.host.spool import Spool
from bot.model.retained_wal import anchor
from bot.model.timelines import lineage
from bot.model.wal import Lsn, parse_history, segment_name, segment_number, segment_start
from bot.model.wal_headers import check_header
from bot.model.window import KnownTime, recovery_window
from bot.repository.cluster import ClusterRepository
from bot.repository.wal import WalArchive
from jobs.wal.filling import lacking
from jobs.wal.progress import Progress
from jobs.wal.spool import content, histories

_RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0)
_TICK_S = 0.5
_WINDOW_EVERY_S = 15.0
WORKERS = 2
_FILL_AT_ONCE = 4
"""Few, so that what is new never waits long behind what is old."""


class Shipper:
    """Ships whole segments as soon as they are complete, and pieces of the current one at most every `every_s` seconds.

    A repository that is away is tried again for ever; meanwhile the spool grows. Runs in a thread of its own.
    """

    def __init__(
        self,
        name: str,
        open_repository: Callable[[bool], ClusterRepository],
        spool: Spool,
        progress: Progress,
        *,
        system_id: str,
        segment_bytes: int,
        every_s: float,
        trust_inherited: bool,
        wal_kept_for: timedelta,
    ) -> None:
        """`open_repository` is told whether it was opened here before: then it may not be started anew."""
        self.name = name
        self._open_repository = open_repository
        self._spool = spool
        self._progress = progress
        self._system_id = system_id
        self._segment_bytes = segment_bytes
        self._every_s = every_s
        self._trust_inherited = trust_inherited
        self._wal_kept_for = wal_kept_for
        self._fill_since: int | None = None
        self._repository: ClusterRepository | None = None
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._whole: dict[int, set[int]] = {}
        self._pieces: dict[tuple[int, int], int] = {}
        self._histories: set[int] = set()
        self._refused: set[tuple[int, int]] = set()
        self._others: tuple[Shipper, ...] = ()
        self._piece_at = self._window_at = float("-inf")
        self._outcome: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name=f"ship-{name}", daemon=True)

    def beside(self, others: Iterable[Shipper]) -> None:
        """Name the cluster's other repositories: what only they hold, after a lost spool, is copied from them."""
        self._others = tuple(others)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float = 30) -> None:
        """Ship what is flushed once more, then end; gives up waiting after `timeout_s`."""
        self._stop.set()
        self._progress.wake()
        self._thread.join(timeout_s)

    def check(self) -> None:
        """Raise what ended the thread, if anything unexpected did."""
        if self._outcome.done():
            self._outcome.result()

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until stock was taken of what the repository holds; False when it is away for so long."""
        return self._ready.wait(timeout_s)

    def archive(self) -> WalArchive:
        """Return the repository's WAL, for reading.

        Raises:
            Unavailable: the repository is away.
        """
        repository = self._repository or self._open_repository(self._ready.is_set())
        return repository.wal

    def held(self) -> dict[int, set[int]]:
        """Return the whole segments the repository holds, by timeline."""
        with self._lock:
            return {timeline: set(numbers) for timeline, numbers in self._whole.items()}

    def begun(self) -> list[tuple[int, int]]:
        """Return the segments (timeline, number) of which the repository holds only the first part."""
        with self._lock:
            return list(self._pieces)

    def holds(self, timeline: int, number: int) -> bool:
        """Say whether the repository holds a whole segment durably."""
        with self._lock:
            return number in self._whole.get(timeline, ())

    def piece_end(self, timeline: int, number: int) -> int:
        """Return how many bytes from a segment's start the repository holds as pieces."""
        with self._lock:
            return self._pieces.get((timeline, number), 0)

    def holds_history(self, timeline: int) -> bool:
        """Say whether the repository holds a history file durably."""
        with self._lock:
            return timeline in self._histories

    def _run(self) -> None:
        try:
            self._ship_until_stopped()
        except BaseException as error:  # noqa: BLE001 - the edge of a thread: the receiver raises it again in `check`
            self._outcome.set_exception(error)
        else:
            self._outcome.set_result(None)

    def _ship_until_stopped(self) -> None:
        failures, generation = 0, 0
        while True:
            stopping = self._stop.is_set()
            try:
                self.ship(final=stopping)
                failures = 0
                self._progress.problem(self.name, self._refusal())
            except PitstopError as error:
                self._progress.problem(self.name, error.message)
                self.forget()
                failures += 1
            if stopping:
                return
            if failures:
                self._stop.wait(_RETRY_S[min(failures, len(_RETRY_S)) - 1])
            else:
                generation = self._progress.wait(generation, _TICK_S)

    def ship(self, *, final: bool = False) -> None:
        """Ship everything that is due now; with `final` also a piece that would not be due yet.

        Raises:
            Unavailable: the repository is away; what was shipped until then counts.
        """
        repository = self._opened()
        found = content(self._spool, self._segment_bytes)
        self._ship_histories(repository.wal)
        missing = [
            (timeline, number)
            for timeline, numbers in sorted(found.segments.items())
            for number in sorted(numbers)
            if not self.holds(timeline, number) and (timeline, number) not in self._refused
        ]
        self._ship_segments(repository.wal, missing)
        if final or time.monotonic() - self._piece_at >= self._every_s:
            self._ship_pieces(repository.wal, found.partials)
        self._fill(repository.wal, found.segments)
        self._report()
        if time.monotonic() - self._window_at >= _WINDOW_EVERY_S:
            self._work_out_window(repository)

    def forget(self) -> None:
        """Open the repository afresh, and take stock of it again, at the next turn: something failed there."""
        self._repository = None

    def _opened(self) -> ClusterRepository:
        """Open the repository where it is not, and take stock of what it holds."""
        if self._repository is None:
            repository = self._open_repository(self._ready.is_set())
            inventory, known = repository.wal.inventory(), repository.wal.histories()
            with self._lock:
                self._whole = {timeline: set(numbers) for timeline, numbers in inventory.segments.items()}
                self._pieces = dict(inventory.partial_ends)
                self._histories = set(known)
            self._repository = repository
            self._ready.set()
            self._report()
        return self._repository

    def _work_out_window(self, repository: ClusterRepository) -> None:
        """Say what times this repository can take the cluster back to."""
        durable = self._progress.snapshot().durable.get(self.name)
        if durable is None:
            return
        self._window_at = time.monotonic()
        times = [KnownTime(durable.timeline, durable.lsn, durable.at)] if durable.at else []
        forks = {timeline: parse_history(data.decode()) for timeline, data in repository.wal.histories().items()}
        backups, ranges = repository.backups(), repository.wal.ranges()
        window = recovery_window(backups, ranges, forks, times, timeline=durable.timeline)
        first = anchor(backups, lineage(durable.timeline, forks), ranges, datetime.now(UTC) - self._wal_kept_for)
        self._fill_since = segment_number(first.start_lsn, self._segment_bytes) if first else 0
        self._progress.window(self.name, tuple(part.as_json() for part in window))

    def _ship_histories(self, archive: WalArchive) -> None:
        for timeline, data in histories(self._spool).items():
            if not self.holds_history(timeline):
                archive.put_history(timeline, data)
                with self._lock:
                    self._histories.add(timeline)

    def _ship_segments(self, archive: WalArchive, missing: list[tuple[int, int]]) -> None:
        """Ship whole segments, several at once, and count them in order as they become durable."""
        if not missing:
            return
        pool = ThreadPoolExecutor(WORKERS, thread_name_prefix=f"ship-{self.name}")
        try:
            # None waits for its neighbour: who is done takes the next, so that a backlog keeps every worker busy.
            shipped = pool.map(lambda which: self._ship_segment(archive, *which), missing)
            for (timeline, number), done in zip(missing, shipped, strict=True):
                if done:
                    with self._lock:
                        self._whole.setdefault(timeline, set()).add(number)
                        self._pieces.pop((timeline, number), None)
                    self._report()
        finally:
            pool.shutdown(cancel_futures=True)

    def _ship_segment(self, archive: WalArchive, timeline: int, number: int) -> bool:
        """Ship one segment; False when it is gone or cannot be this cluster's. A refused one stays in the spool."""
        data = self._spool.read(segment_name(timeline, number, self._segment_bytes))
        if data is None:
            return False
        try:
            check_header(data, self._system_id, timeline, number, self._segment_bytes)
            archive.put_segment(timeline, number, data)
            archive.drop_pieces(timeline, number)
        except Corruption as error:
            self._refused.add((timeline, number))
            self._progress.problem(f"{self.name}:{timeline}:{number}", error.message)
            return False
        return True

    def _fill(self, archive: WalArchive, spooled: dict[int, set[int]]) -> None:
        """Copy what another repository holds and this one lacks: the spool was lost while this one was away.

        What the spool has is shipped from there. A copy that cannot be had is told, and tried again. What is older than the
        window, which has to be known for that, is not brought back after retention removed it here.
        """
        since = self._fill_since
        if since is None:
            return
        for other in self._others:
            theirs = {timeline: numbers - spooled.get(timeline, set()) for timeline, numbers in other.held().items()}
            for timeline, number in lacking(self.held(), theirs, at_most=_FILL_AT_ONCE, since=since):
                try:
                    data = other.archive().read_segment(timeline, number)
                except PitstopError as error:
                    self._progress.problem(f"{self.name} from {other.name}", error.message)
                    break
                if data is None:
                    continue
                archive.put_segment(timeline, number, data)
                with self._lock:
                    self._whole.setdefault(timeline, set()).add(number)
            else:
                self._progress.problem(f"{self.name} from {other.name}", None)

    def _ship_pieces(self, archive: WalArchive, partials: dict[tuple[int, int], int]) -> None:
        for (timeline, number), size in sorted(partials.items()):
            offset, end = self.piece_end(timeline, number), self._safe_end(timeline, number, size)
            if end <= offset or self.holds(timeline, number):
                continue
            data = self._spool.read_partial(segment_name(timeline, number, self._segment_bytes), offset, end)
            if data is None or len(data) != end - offset:
                continue  # it was completed meanwhile, and is shipped whole next time
            archive.put_piece(timeline, number, offset, data)
            self._piece_at = time.monotonic()
            with self._lock:
                self._pieces[timeline, number] = end

    def _safe_end(self, timeline: int, number: int, size: int) -> int:
        """Return how many bytes of a partial segment are surely right: flushed now, or before this boot's last crash."""
        now = self._progress.snapshot()
        start = segment_start(number, self._segment_bytes)
        if timeline < now.timeline:
            return size
        flushed = min(size, max(0, now.flushed - start)) if timeline == now.timeline else 0
        return max(flushed, size if self._trust_inherited and not flushed else 0)

    def _report(self) -> None:
        """Say how far this repository holds the current timeline without a hole."""
        timeline = self._progress.snapshot().timeline
        counted_from = self._progress.counted_from(timeline)
        if counted_from is None:
            return
        with self._lock:
            lsn = durable_until(
                self._whole.get(timeline, set()), self._pieces, timeline, counted_from, self._segment_bytes
            )
        self._progress.durable(self.name, timeline, lsn)

    def _refusal(self) -> str | None:
        if not self._refused:
            return None
        timeline, number = min(self._refused)
        name = segment_name(timeline, number, self._segment_bytes)
        return f"{name} in the spool is not what the repository or the cluster says it is; it was not shipped."


def durable_until(
    whole: set[int], pieces: dict[tuple[int, int], int], timeline: int, counted_from: Lsn, segment_bytes: int
) -> Lsn:
    """Return how far WAL of `timeline` reaches without a hole from `counted_from` (a segment's first byte) on. Pure."""
    number = int(counted_from) // segment_bytes
    while number in whole:
        number += 1
    return Lsn(segment_start(number, segment_bytes) + pieces.get((timeline, number), 0))
