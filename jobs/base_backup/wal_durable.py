"""A backup without its WAL is none: wait until it is durable in the same repository."""

from __future__ import annotations

import time
from collections.abc import Callable

from bot.errors import Unavailable
from bot.model.wal import Lsn
from bot.repository.wal import WalArchive
from jobs.base_backup.copying import Copied
from jobs.base_backup.own_wal import OwnWal
from jobs.context import JobContext

_LOOK_EVERY_S = 0.5
STALL_S = 120.0


def wait_until_durable(
    archive: WalArchive,
    copied: Copied,
    context: JobContext,
    *,
    own_wal: OwnWal | None,
    receiver_runs: Callable[[], bool],
    stall_s: float = STALL_S,
) -> None:
    """Return when WAL from the backup's start to its end can be read from `archive` without a hole.

    The job's own stream delivers it where there is one, else the receiver.

    Raises:
        Unavailable: nothing moved for `stall_s` seconds, or the receiver ended.
    """
    moved_at, reached, delivered = time.monotonic(), Lsn(0), False
    while (now := covered_until(archive, copied)) < copied.end_lsn:
        context.check_cancelled()
        if own_wal is not None and not delivered:
            delivered = own_wal.finish(copied.end_lsn, timeout_s=_LOOK_EVERY_S)
            if delivered:
                continue  # all is there: look at once
        if own_wal is None and not receiver_runs():
            raise _stalled("the WAL receiver ended meanwhile", context)
        if now > reached:
            moved_at, reached = time.monotonic(), now
        elif time.monotonic() - moved_at > stall_s:
            raise _stalled(f"nothing arrived for {stall_s:.0f} s", context)
        context.note(f"Waiting for WAL up to {copied.end_lsn} to be durable.")
        context.wait_cancelled(_LOOK_EVERY_S)


def covered_until(archive: WalArchive, copied: Copied) -> Lsn:
    """Return how far the backup's WAL is in the repository without a hole from its start; its start when none is."""
    reached = [
        piece.end
        for piece in archive.ranges()
        if piece.timeline == copied.timeline and piece.start <= copied.start_lsn <= piece.end
    ]
    return max([copied.start_lsn, *reached])


def _stalled(why: str, context: JobContext) -> Unavailable:
    return Unavailable(
        f"The backup's WAL did not become durable: {why}; the backup was given up.",
        hint=f"How does the receiver stand? `pitstop status {context.run.cluster}`",
        code="wal-not-durable",
    )
