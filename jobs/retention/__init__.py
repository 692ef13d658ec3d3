"""Retention: remove what is older than the cluster's rules say, and nothing that anything else still stands on.

1. Look: list every history of the cluster in each repository, and who needs what.
2. Decide, purely (`bot.model.retention`), for all of them; more than a share of all backups is refused before anything goes.
3. Remove: backups, then the WAL that served only them; each backup is locked and looked up in the ledger again just before.
4. Clear away what earlier runs, or unfinished backups, left behind.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.config import Config
from bot.errors import Refused, Unavailable, Usage
from bot.ledger import Ledger
from bot.model.ids import ClusterName
from bot.model.keeping import Keeping
from bot.model.retention import Decision, decide
from bot.repository.cluster import ClusterRepository
from bot.repository.open import open_repository
from jobs.catalogue import renew_catalogue
from jobs.context import JobContext
from jobs.histories import recall
from jobs.retention.remove import carry_out, clear_leftovers
from jobs.retention.report import report, summed_up
from jobs.retention.stock import Needs, newest_sound, read_needs, read_stock

__all__ = ["preview", "run"]


@dataclass(frozen=True, slots=True)
class _Judged:
    """One history and what was decided about it."""

    repository: ClusterRepository
    decision: Decision
    newest: Mapping[str, datetime]


def run(context: JobContext) -> dict[str, Any]:
    """Remove what goes of the run's cluster; with `force` among the arguments also more than the configured share.

    Returns {"cluster", "dry_run", "ok", "news", "removed", "bytes_freed", "seconds", "repositories", "problems"}; see `report`.

    Raises:
        Refused: `too-many`; nothing was removed.
        Unavailable: no repository can be reached, or the ledger cannot, which knows who needs what.
    """
    began = time.monotonic()
    context.phase("look")
    config, cluster = context.config, context.run.cluster
    rules = config.cluster(cluster).retention
    judged, problems = _judge(config, context.ledger, cluster, rules.keeping, context.now())
    if not context.run.args.get("force"):
        _refuse_too_many(judged)
    found = []
    context.phase("remove")
    for one in judged:
        done = carry_out(context, one.repository, one.decision, rules.keeping, one.newest)
        clear_leftovers(context, one.repository, rules.leftovers, done)
        found.append(report(one.repository, one.decision, done))
    context.phase("list")
    try:
        renew_catalogue(config, context.ledger, cluster)
    except (Unavailable, Usage) as error:
        context.note(f"The list of backups is late: {error.message}")
    return summed_up(cluster, found, problems, dry_run=False, seconds=time.monotonic() - began)


def preview(config: Config, ledger: Ledger, cluster: ClusterName, now: datetime) -> dict[str, Any]:
    """Return what a run would do now, in the same form; removes nothing.

    Raises:
        Unavailable: as `run`.
    """
    began = time.monotonic()
    judged, problems = _judge(config, ledger, cluster, config.cluster(cluster).retention.keeping, now)
    found = [report(one.repository, one.decision, None) for one in judged]
    return summed_up(cluster, found, problems, dry_run=True, seconds=time.monotonic() - began)


def _judge(
    config: Config, ledger: Ledger, cluster: ClusterName, keeping: Keeping, now: datetime
) -> tuple[list[_Judged], list[str]]:
    """Decide about every history in every repository that can be reached; return also what kept us from the others."""
    needs = read_needs(ledger, cluster)
    judged: list[_Judged] = []
    away: list[Unavailable | Usage] = []
    for name in config.cluster_repositories(cluster):
        try:
            judged += _judge_repository(config, ledger, name, cluster, needs, keeping, now)
        except (Unavailable, Usage) as error:
            away.append(error)
    if away and not judged:
        raise away[0]
    return judged, [error.message for error in away]


def _judge_repository(
    config: Config,
    ledger: Ledger,
    name: str,
    cluster: ClusterName,
    needs: Needs,
    keeping: Keeping,
    now: datetime,
) -> list[_Judged]:
    opened = open_repository(name, config.repositories[name], config.encryption)
    for lost in opened.keys.lost():  # what cannot be read now may be needed again once its key is back
        raise lost
    histories = [opened.cluster(cluster, system) for system in opened.systems(cluster)]
    for history in histories:
        recall(ledger, history)
    backups = [backup for history in histories for backup in history.backups()]
    if any(backup.damaged for backup in backups):
        for gone in opened.keys.gone():
            raise gone
    newest = newest_sound(backups)
    return [
        _Judged(history, decide(read_stock(history, needs, newest)[0], keeping, now), newest) for history in histories
    ]


def _refuse_too_many(judged: list[_Judged]) -> None:
    too_many = [f"{one.repository.repository.name}: {one.decision.too_many}" for one in judged if one.decision.too_many]
    if too_many:
        raise Refused(
            " ".join(too_many),
            hint="Is this machine's clock right, and were the ages in [clusters.….retention] changed on purpose? "
            "Look at `pitstop expire CLUSTER --dry-run`, then add --force.",
            code="too-many",
        )
