"""Let the storage's lifecycle age what no recovery window needs any more, and take back what is needed again."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.errors import Unavailable
from bot.model.ids import BackupId
from bot.model.keeping import Keeping
from bot.model.retention import Decision, Verdict
from bot.repository.cluster import ClusterRepository
from bot.repository.releasing import ages, release, released, take_back
from bot.repository.stores.lifecycle import EXPIRE_DAYS
from jobs.context import JobContext
from jobs.retention.stock import read_needs

_LIFE = timedelta(days=EXPIRE_DAYS)
_MARGIN = timedelta(days=30)


@dataclass
class Aged:
    """What a run did: `left` may be aged from now on, `returned` not any more; `problem` says what stood in the way."""

    left: list[BackupId] = field(default_factory=list)
    returned: list[BackupId] = field(default_factory=list)
    problem: str = ""


def may_age(verdict: Verdict, keeping: Keeping, now: datetime) -> bool:
    """Say whether the lifecycle may age a backup: it stays for its age alone, and retention removes it before the rule would. Pure.

    The rule deletes a year after the volumes were written. A backup that is to stay longer, or that stays although it should have
    gone (backups stopped coming), is never left to it.
    """
    backup = verdict.backup
    return verdict.aging and keeping.age(backup.kind) <= _LIFE - _MARGIN and now - backup.finished_at < _LIFE - _MARGIN


def let_age(context: JobContext, repository: ClusterRepository, decision: Decision, keeping: Keeping) -> Aged:
    """Carry out what may age and what not (any more); while somebody plans, reads or leased anything nothing is released."""
    done = Aged()
    if not ages(repository):
        return done
    try:
        now, there = context.now(), released(repository)
        for verdict in decision.verdicts:
            context.check_cancelled()
            backup = verdict.backup.id
            if verdict.goes:
                continue
            wanted = may_age(verdict, keeping, now)
            if wanted and backup not in there and not _needed(context):
                release(repository, backup, at=now, reason="it has left the recovery window")
                done.left.append(backup)
            elif backup in there and not wanted:
                take_back(repository, backup, at=now, reason=verdict.reason)
                done.returned.append(backup)
    except Unavailable as error:
        done.problem = error.message
    return done


def _needed(context: JobContext) -> bool:
    needs = read_needs(context.ledger, context.run.cluster)
    return bool(needs.leases or needs.readers or needs.plan)
