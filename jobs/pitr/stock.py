"""What a plan stands on, opened again: its backup's repository, its WAL wherever it is, the line of descent to its target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bot.config import Config
from bot.errors import Unavailable, Usage
from bot.model.plans import Steps
from bot.model.timelines import Lineage, lineage
from bot.model.wal import Lsn, parse_history
from bot.repository.cluster import ClusterRepository
from jobs.plan.holdings import spool_for
from jobs.repositories import open_for_reading
from jobs.wal.source import WalSource


@dataclass(frozen=True)
class Stock:
    """`repository` holds the chain; `source` reads WAL from the spool and every repository that answers.

    `line` is the line of descent to the target's timeline, `histories` the history files it was read from.
    """

    repository: ClusterRepository
    source: WalSource
    line: Lineage
    histories: Mapping[int, bytes]

    @property
    def segment_bytes(self) -> int:
        """The cluster's WAL segment size."""
        return self.repository.segment_bytes

    def has_wal(self, start: Lsn, end: Lsn) -> bool:
        """Say whether everything from `start` up to `end` is here on the target's line, without a hole."""
        stretches = self.line.stretches(self.source.ranges(), self.segment_bytes)
        return any(stretch.covers(start, end) for stretch in stretches)


def open_stock(config: Config, steps: Steps) -> Stock:
    """Open what `steps` name: exactly their repository and system, whatever the cluster is by now.

    Raises:
        Usage: the repository is not configured any more, holds nothing of this cluster, or the key is wrong.
        Unavailable: it cannot be reached.
    """
    if steps.repository not in config.repositories:
        raise Usage(
            f"The repository {steps.repository} is not in the configuration any more.",
            hint="Was it renamed? Put it back, or ask again.",
            code="no-repository",
        )
    first = open_for_reading(config, steps.repository, steps.cluster, steps.system_id)
    others = _others(config, steps)
    spool = spool_for(config, steps.cluster, steps.system_id)
    source = WalSource(spool, [first.wal, *(other.wal for other in others)], first.segment_bytes)
    histories = source.histories()
    forks = {timeline: parse_history(data.decode()) for timeline, data in histories.items()}
    return Stock(first, source, lineage(steps.target.timeline, forks), histories)


def _others(config: Config, steps: Steps) -> list[ClusterRepository]:
    """Open the cluster's other repositories; one that is away or empty is done without: it may help, and cannot harm."""
    opened = []
    for name in config.cluster_repositories(steps.cluster):
        if name != steps.repository:
            try:
                opened.append(open_for_reading(config, name, steps.cluster, steps.system_id))
            except (Unavailable, Usage):
                continue
    return opened
