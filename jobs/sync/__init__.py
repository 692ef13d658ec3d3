"""Sync: bring every repository of a cluster up to what the others hold, byte for byte.

1. Look: list every history of the cluster in each repository.
2. Decide, purely (`bot.model.sync`), what each of them lacks; what retention would remove there again is not brought.
3. Bring: keys, then for each backup its own WAL, volumes, indexes, events and the manifest last; then the rest of the WAL.
4. Put the runbook into each repository that is there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bot.config import Config
from bot.errors import PitstopError
from bot.host.locks import is_locked
from bot.ledger import Ledger, catalogue
from bot.model.backups import BackupSummary
from bot.model.copies import lags
from bot.model.ids import ClusterName
from bot.model.retained_wal import Segment
from jobs.catalogue import renew_reachable
from jobs.context import JobContext, utc_now
from jobs.copies import behind
from jobs.plan.holdings import spool_for
from jobs.runbook import renew_runbook
from jobs.sync.bring import Bringing
from jobs.sync.copying import Brought
from jobs.sync.look import Due, Looked, look
from jobs.sync.report import report
from jobs.wal.spool import content

__all__ = ["preview", "run"]


def run(context: JobContext) -> dict[str, Any]:
    """Bring every repository of the run's cluster up to what the others hold. Resumable: what was brought stays.

    Returns {"cluster", "dry_run", "ok", "news", "objects", "bytes", "repositories": [{"repository", "lacked", "copied",
    "segments", "events", "keys", "left", "behind", "away", …}], "damaged": [{"repository", "path", "backup", "message"}],
    "problems", "seconds"}. Damage is a result: what one repository does not have whole is taken from another, else named.

    Raises:
        Unavailable: no repository can be reached, or the ledger cannot, which knows who needs what.
        Cancelled: the run was asked to stop.
    """
    began = time.monotonic()
    context.phase("look")
    config, cluster, ledger = context.config, context.run.cluster, context.ledger
    found = look(config, ledger, cluster, context.now(), create=True)
    brought = {one.name: Brought(one.name, keys=one.side.keys) for one in found.histories}
    due = [_without_spooled(config, one) for one in found.due]
    for name, one in brought.items():
        mine = [item for item in due if item.target.name == name]
        if any(not item.lacking.nothing for item in mine):
            context.phase(f"copy to {name}")
        for item in mine:
            Bringing(context, item, one).run()
    context.phase("list")
    try:
        renew_reachable(config, ledger, cluster)
    except PitstopError as error:
        context.note(f"The list of backups is late: {error.message}")
    renew_runbook(context)
    with ledger.read() as tx:
        left = behind(config, tx, cluster, context.now())
    return report(
        cluster,
        list(brought.values()),
        _lacked(due),
        left,
        found.problems,
        dry_run=False,
        seconds=time.monotonic() - began,
        now=context.now(),
    )


def preview(config: Config, ledger: Ledger, cluster: ClusterName) -> dict[str, Any]:
    """Return what a run would bring now, in the same form; changes nothing.

    Raises:
        Unavailable: as `run`.
    """
    began, now = time.monotonic(), utc_now()
    found = look(config, ledger, cluster, now, create=False)
    brought = {name: Brought(name) for name in _names(found)}
    held: dict[str, list[BackupSummary]] = {name: [] for name in brought}
    for one in found.due:
        brought[one.target.name].left.update(one.lacking.left)
        held[one.target.name] += one.target.held.backups
    with ledger.read() as tx:
        held |= {name: catalogue.list(tx, cluster, name) for name in found.problems}  # as it was last seen
    keeping = config.cluster(cluster).retention.keeping
    return report(
        cluster,
        list(brought.values()),
        _lacked(found.due),
        lags(held, keeping, now),
        found.problems,
        dry_run=True,
        seconds=time.monotonic() - began,
        now=now,
    )


def _names(found: Looked) -> list[str]:
    return list(dict.fromkeys(history.name for history in found.histories))


def _lacked(due: Sequence[Due]) -> Mapping[str, Sequence[Due]]:
    lacked: dict[str, list[Due]] = {}
    for one in due:
        lacked.setdefault(one.target.name, []).append(one)
    return lacked


def _without_spooled(config: Config, due: Due) -> Due:
    """Leave to the receiver what it still has to ship: the rest of the WAL, beside what a backup cannot do without."""
    cluster = next((one.cluster for one in (due.target, *due.others) if one.cluster is not None), None)
    spool = spool_for(config, cluster.name, due.target.system_id) if cluster is not None else None
    if cluster is None or spool is None or not is_locked(spool.lock_path):
        return due
    held = content(spool, cluster.segment_bytes)
    spooled = {Segment(number, timeline) for timeline, numbers in held.segments.items() for number in numbers}
    spooled |= {Segment(number, timeline) for timeline, number in held.partials}
    lacks = due.lacking
    rest = replace(
        lacks,
        segments=tuple(one for one in lacks.segments if one not in spooled),
        begun=tuple(one for one in lacks.begun if one not in spooled),
    )
    return replace(due, lacking=rest)
