"""What a plan stands on, opened again: its backup's repository, its WAL wherever it is, the line of descent to its target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.config import Config
from bot.model.plans import Steps
from bot.model.timelines import Lineage, lineage
from bot.model.wal import Lsn, parse_history
from bot.repository.cluster import ClusterRepository
from jobs.elsewhere import Elsewhere, open_copies
from jobs.plan.holdings import spool_for
from jobs.wal.source import WalSource


@dataclass(frozen=True)
class Stock:
    """`repository` holds the chain; `source` reads WAL from the spool and every repository that answers.

    `line` is the line of descent to the target's timeline, `histories` the history files it was read from. `elsewhere` says what
    had to be read from another repository.
    """

    repository: ClusterRepository
    source: WalSource
    line: Lineage
    histories: Mapping[int, bytes]
    elsewhere: Elsewhere = field(default_factory=Elsewhere)

    @property
    def segment_bytes(self) -> int:
        """The cluster's WAL segment size."""
        return self.repository.segment_bytes

    def has_wal(self, start: Lsn, end: Lsn) -> bool:
        """Say whether everything from `start` up to `end` is here on the target's line, without a hole."""
        stretches = self.line.stretches(self.source.ranges(), self.segment_bytes)
        return any(stretch.covers(start, end) for stretch in stretches)


def open_stock(config: Config, steps: Steps) -> Stock:
    """Open what `steps` name: exactly their system, in their repository or one that holds the same backup, whatever is now.

    Raises:
        Usage: the repository is not configured any more, holds nothing of this cluster, or the key is wrong.
        Unavailable: it cannot be reached, and no other one holds the backup.
    """
    copies = open_copies(config, steps)
    spool = spool_for(config, steps.cluster, steps.system_id)
    archives = [copies.cluster.wal, *(other.wal for other in copies.others)]
    source = WalSource(spool, archives, copies.cluster.segment_bytes)
    histories = source.histories()
    forks = {timeline: parse_history(data.decode()) for timeline, data in histories.items()}
    line = lineage(steps.recovery.target.timeline, forks)
    return Stock(copies.cluster, source, line, histories, copies.elsewhere)
