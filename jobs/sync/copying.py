"""One repository's objects being copied from the others: several at once, each from the first place that has it whole."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bot.errors import Unavailable
from bot.model.ids import BackupId
from bot.repository.damage import ObjectDamaged
from bot.repository.repository import Repository
from bot.repository.transfer import Item, NowhereWhole, Trouble, copy_object
from jobs.context import JobContext
from jobs.damage import note_damage
from jobs.sync.look import Due, History
from jobs.sync.pace import Pace

WORKERS = 4
"""Objects on their way at once; each is a block or, in a cloud, a part of 8 MiB in memory."""

_QUEUED = 256
_LOOK_S = 0.5
_ARCHIVED = "storage-archived"

T = TypeVar("T")


@dataclass
class Brought:
    """What a run brought into one repository; `left` says why something was not brought, `damaged` what is nowhere whole."""

    repository: str
    copied: list[dict[str, Any]] = field(default_factory=list)
    objects: int = 0
    size: int = 0
    segments: int = 0
    events: int = 0
    keys: int = 0
    left: dict[BackupId, str] = field(default_factory=dict)
    damaged: list[dict[str, Any]] = field(default_factory=list)
    problem: str = ""


class _Stopped(Exception):
    """Another object on its way failed, so that this one is not needed any more."""


class Copying:
    """The copies of one run into one repository; counts them in `brought`."""

    def __init__(self, context: JobContext, due: Due, brought: Brought) -> None:
        self._context, self._due, self._brought = context, due, brought
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._done = self._total = 0
        self._target: Repository = opened(due.target)
        self._pace = Pace(context.config.repositories[due.target.name].max_rate_kib * 1024)

    @property
    def done(self) -> int:
        """The bytes that are here so far."""
        return self._done

    def expect(self, total: int) -> None:
        """Say how many bytes are to come, for the progress."""
        self._total = total
        self._context.progress(0, total)

    def one(self, holders: Sequence[History], item: Item) -> bool:
        """Copy one object that nothing else stands on; one that is nowhere whole, or has just gone, is noted and done without."""
        try:
            self.copy([opened(holder) for holder in holders], item)
        except NowhereWhole:
            return False
        return True

    def copy(
        self, sources: Sequence[Repository], item: Item, *, backup: BackupId | None = None, vital: bool = True
    ) -> None:
        """Copy one object, noting what was wrong with the places it could not be had from.

        Raises:
            NowhereWhole: it is `vital`, and no source gave it.
            Unavailable: the target is away, or the only sources are: asking them for each object would take for ever. Cancelled.
        """
        trouble = Trouble()
        try:
            written = copy_object(sources, self._target, item, trouble, self._passed)
        except NowhereWhole as error:
            trouble = error.trouble
            end_if_away(trouble)
            if vital:
                self.nowhere(item.path, error, backup)
                raise
            return
        finally:
            self.note(trouble, backup)
        with self._lock:
            self._brought.objects += bool(written)
            self._brought.size += written

    def count(self, size: int) -> None:
        """Note bytes that are here now; ends a copy whose result nobody wants any more."""
        self._context.check_cancelled()
        if self._stop.is_set():
            raise _Stopped
        with self._lock:
            self._done += size
            self._context.progress(self._done, max(self._total, self._done))

    def _passed(self, size: int) -> None:
        """Count a block that is on its way, and wait before the next one as long as the repository's rate asks for."""
        self.count(size)
        waits = self._pace.wait_s(size)
        while waits > 0:
            step = min(waits, _LOOK_S)
            self._stop.wait(step)
            self.count(0)
            waits -= step

    def note(self, trouble: Trouble, backup: BackupId | None) -> None:
        """Write beside a backup whose copy somewhere turned out damaged that it is, so that nobody restores from it unwarned."""
        if backup is None:
            return
        clusters = {other.name: other.cluster for other in self._due.others}
        for name, error in trouble.damaged:
            place = clusters.get(name)
            if place is not None:
                note_damage(place, backup, error.message, self._context.now())

    def nowhere(self, path: str, error: NowhereWhole, backup: BackupId | None) -> None:
        """Name an object that no repository gives whole, or those that were away."""
        found = [
            {"repository": name, "path": path, "backup": backup, "message": one.message}
            for name, one in error.trouble.damaged
            if isinstance(one, ObjectDamaged) or backup is not None
        ]
        with self._lock:
            self._brought.damaged += found
            if error.trouble.away and not _archived(error.trouble):
                self._brought.problem = error.trouble.away[0][1].message

    def several(self, items: Sequence[Any], work: Callable[[Any], T]) -> list[T]:
        """Do work for all items, a few at once, and return the results in order; the first failure ends the others."""
        done: list[T] = []
        with ThreadPoolExecutor(WORKERS, thread_name_prefix=f"sync-{self._target.name}") as pool:
            # In batches: a hundred thousand segments are not all queued beforehand.
            for at in range(0, len(items), _QUEUED):
                done += self._batch(pool, items[at : at + _QUEUED], work)
        return done

    def _batch(self, pool: ThreadPoolExecutor, items: Sequence[Any], work: Callable[[Any], T]) -> list[T]:
        running: list[Future[T]] = [pool.submit(self._begun, work, item) for item in items]
        try:
            return [future.result() for future in running]
        except BaseException:
            self._stop.set()
            for future in running:
                future.cancel()
            pool.shutdown(wait=True)
            _raise_first(running)
            raise
        finally:
            self._stop.clear()

    def _begun(self, work: Callable[[Any], T], item: Any) -> T:
        if self._stop.is_set():
            raise _Stopped
        try:
            return work(item)
        except BaseException:
            self._stop.set()  # at once: those queued before it may take long, and the others would all be asked for meanwhile
            raise


def end_if_away(trouble: Trouble) -> None:
    """Raise what a source that is away said; a key that does not open, or an archive, is no reason to leave everything else."""
    for _, error in trouble.away:
        if isinstance(error, Unavailable) and error.reason_code != _ARCHIVED:
            raise error


def _archived(trouble: Trouble) -> bool:
    """Say whether what was asked for is only asleep: a sync does not ask for it, because that costs money."""
    return all(error.reason_code == _ARCHIVED for _, error in trouble.away)


def _raise_first(running: Iterable[Future[Any]]) -> None:
    """Raise the first failure that was not made by stopping the others."""
    for future in running:
        if future.done() and not future.cancelled():
            error = future.exception()
            if error is not None and not isinstance(error, _Stopped):
                raise error


def opened(history: History) -> Repository:
    """Return the open repository of what was looked at."""
    assert history.side.opened is not None, "what is not open holds nothing"
    return history.side.opened
