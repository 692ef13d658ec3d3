"""Measure the recovery window: what the repository holds, with the times its WAL reaches to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from bot.config import Config
from bot.errors import Unavailable, Usage
from bot.host.passing import passing_folder
from bot.ledger.database import Ledger
from bot.model.ids import ClusterName
from bot.model.wal import parse_history
from bot.model.window import KnownTime, TimeRange, recovery_window
from bot.postgres.binaries import find
from bot.postgres.ground import Ground
from bot.postgres.wal_reader import WalReader
from jobs.histories import Histories
from jobs.plan.coverage import Coverage, sample_server
from jobs.plan.holdings import Holdings, open_holdings, said_complete


def measured_window(
    config: Config, ledger: Ledger | None, cluster: ClusterName, listed: Mapping[str, Histories] | None = None
) -> list[TimeRange]:
    """Return the ranges of time `cluster` can be recovered to, from its repositories and spool. Reads a few segments.

    `listed` is what was listed of its repositories a moment ago; they are listed here otherwise.

    Raises:
        Unavailable: no repository can be reached.
    """
    try:
        holdings = open_holdings(config, ledger, cluster, listed)
    except Usage as error:
        if error.reason_code in {"no-backup", "unknown-cluster"}:
            return []
        raise
    coverage = _coverage(config, holdings)
    line = holdings.line(coverage.ranges)
    histories = {timeline: parse_history(data.decode()) for timeline, data in holdings.source.histories().items()}
    times = _known_times(config, holdings, coverage)
    return recovery_window(holdings.backups, coverage.ranges, histories, times, timeline=line.timeline)


def _coverage(config: Config, holdings: Holdings) -> Coverage:
    sample = sample_server(config.cluster(holdings.cluster), holdings.system_id)
    ranges = holdings.source.ranges()
    if sample is not None and any(piece.covers(sample.lsn) for piece in ranges):
        return Coverage(ranges, sample.at)
    return Coverage(ranges, said_complete(holdings, ranges))


def _known_times(config: Config, holdings: Holdings, coverage: Coverage) -> list[KnownTime]:
    """Return when the last commit of each unbroken stretch of WAL was, and what is known of its end."""
    line = holdings.line(coverage.ranges)
    known = []
    with passing_folder() as scratch:
        try:
            version = max((b.server_version for b in holdings.backups), default=0)
            binaries = find(version // 10000, extra=config.postgres.bin_directories)
            reader = WalReader(binaries, holdings.source, line, scratch, ranges=coverage.ranges)
            ground = Ground(holdings.backups, reader, now=datetime.now(UTC), complete_until=coverage.complete_until)
            for stretch in reader.stretches:
                at = ground.reached(stretch)
                if at is not None:
                    known.append(KnownTime(line.timeline_at(stretch.end), stretch.end, at))
        except Unavailable:
            known = []  # without pg_waldump of this major only the ends of backups and of the last stretch are known
    if coverage.complete_until is not None and coverage.ranges:
        last = line.stretches(coverage.ranges, holdings.segment_bytes)[-1]
        known.append(KnownTime(line.timeline_at(last.end), last.end, coverage.complete_until))
    return known
