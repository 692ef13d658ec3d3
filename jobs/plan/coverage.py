"""Up to when is the WAL here complete? Ask the live server where it stands, and wait a moment for that to arrive."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from bot.config import ClusterConfig
from bot.errors import Unavailable, Usage
from bot.host.locks import is_locked
from bot.model.ids import SystemId
from bot.model.wal import Lsn, WalRange
from bot.model.wal_pages import LONG_HEADER_BYTES
from bot.postgres.connect import connect
from bot.postgres.transport import require_verified
from jobs.plan.holdings import Holdings, said_complete

WAIT_S = 15.0
_POLL_S = 0.25
_SETTLE_S = 0.05


@dataclass(frozen=True, slots=True)
class Sample:
    """All that the server had committed by `at` (its own clock, aware UTC) lies before `lsn`."""

    lsn: Lsn
    at: datetime


@dataclass(frozen=True, slots=True)
class Coverage:
    """The WAL that is here, and up to when nothing is missing at its end (None: nobody knows)."""

    ranges: list[WalRange]
    complete_until: datetime | None


def cover(config: ClusterConfig, holdings: Holdings, *, on_wait: Callable[[], None] = lambda: None) -> Coverage:
    """Return what WAL is here once the server's present position has arrived, or after WAIT_S without it.

    A server that is down is not waited for, nor is a receiver that does not run: then what the receiver last said counts.
    """
    sample = sample_server(config, holdings.system_id)
    deadline = time.monotonic() + (WAIT_S if sample and _receiving(holdings) else 0)
    while True:
        ranges = holdings.source.ranges()
        if sample is not None and _reaches(ranges, sample.lsn):
            return Coverage(ranges, sample.at)
        if time.monotonic() >= deadline:
            return Coverage(ranges, said_complete(holdings, ranges))
        on_wait()
        time.sleep(_POLL_S)


def sample_server(config: ClusterConfig, system_id: SystemId) -> Sample | None:
    """Ask the live server for its time and then its WAL position; None when it is away, in recovery, or another cluster."""
    try:
        require_verified(config)
        with connect(config.observe, timeout_s=5) as connection:
            row = connection.execute(
                "SELECT pg_is_in_recovery(), (SELECT system_identifier FROM pg_control_system())::text, clock_timestamp()"
            ).fetchone()
            if row is None or row[0] or row[1] != str(int(system_id)):
                return None
            # A commit takes its time just before it enters the WAL.
            time.sleep(_SETTLE_S)
            position = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
    except (Unavailable, Usage, psycopg.Error):
        return None  # the plan then rests on what the receiver last said, and says so
    return Sample(Lsn.parse(position[0]), row[2].astimezone(UTC)) if position else None


def _receiving(holdings: Holdings) -> bool:
    return holdings.spool is not None and is_locked(holdings.spool.lock_path)


def _reaches(ranges: list[WalRange], lsn: Lsn) -> bool:
    """Say whether WAL up to `lsn` is here; an insert position may lie just past a page header that was not written yet."""
    newest = max((piece.timeline for piece in ranges), default=0)
    return any(piece.timeline == newest and piece.end + LONG_HEADER_BYTES >= lsn for piece in ranges)
