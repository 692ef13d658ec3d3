"""How much a swap gives up: the transactions that wrote since the dump, counted in the WAL where it is here."""

from __future__ import annotations

from bot.config import Config
from bot.errors import PitstopError
from bot.host.passing import passing_folder
from bot.ledger.database import Ledger
from bot.model.ids import ClusterName
from bot.model.wal import Lsn
from bot.postgres.binaries import find
from bot.postgres.wal_reader import WalReader
from bot.postgres.wal_records import TransactionEnd
from jobs.plan.coverage import cover
from jobs.plan.holdings import open_holdings

MOST_BYTES = 256 * 1024 * 1024
"""Of WAL read for this; it takes seconds."""


def count_transactions(
    config: Config, ledger: Ledger | None, cluster: ClusterName, major: int, start: Lsn, end: Lsn
) -> int | None:
    """Return how many transactions of the whole server committed changes in WAL [start, end), or None where nobody can tell.

    It is told and not decided by: WAL that is not here, cannot be read, or is too much to read is no reason against a plan.
    """
    if not 0 <= end - start <= MOST_BYTES:
        return None
    try:
        holdings = open_holdings(config, ledger, cluster)
        coverage = cover(config.cluster(cluster), holdings)
        line = holdings.line(coverage.ranges)
        binaries = find(major, extra=config.postgres.bin_directories)
        with passing_folder() as scratch:
            reader = WalReader(binaries, holdings.source, line, scratch, ranges=coverage.ranges)
            if not any(stretch.covers(start, end) for stretch in reader.stretches):
                return None
            first = reader.record_from(start, end)
            if first is None:
                return 0
            found = reader.events(first.lsn, end)
            return sum(isinstance(one, TransactionEnd) and not one.commit.aborted for one in found)
    except PitstopError:
        return None
