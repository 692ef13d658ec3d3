"""Which backup is proved: always the exact newest, unless one is named; and whether it is the newest is proved as well."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from bot.errors import PitstopError, Usage
from bot.ledger import Ledger, runs
from bot.model.backups import BackupSummary
from bot.model.drills import Point, Question
from bot.model.ids import BackupId
from bot.model.runs import Job, RunState
from bot.model.typed import nearest, quoted
from jobs.plan.holdings import Holdings

_MADE_BY = {"base": Job.BASE_BACKUP, "dump": Job.DUMP}


@dataclass(frozen=True, slots=True)
class Chosen:
    """A backup to prove; `skipped` are newer dumps that hold a part of the databases only."""

    backup: BackupSummary
    skipped: tuple[BackupId, ...] = ()


def choose(holdings: Holdings, databases: Collection[str], wanted: str | None) -> list[Chosen]:
    """Return what to prove: the newest base backup and the newest whole dump (of `databases` at least), or the one named.

    Damaged ones are not passed over: the newest backup being damaged is what a drill has to say.

    Raises:
        Usage: `unknown-backup`, with the nearest id; `no-backup`, there is none.
    """
    if wanted not in {None, "latest"}:
        return [Chosen(_named(holdings, str(wanted)))]
    newest = sorted(holdings.backups, key=_age, reverse=True)
    bases = [Chosen(backup) for backup in newest if backup.kind == "base"][:1]
    found = bases + _newest_whole_dump(holdings, databases, [backup for backup in newest if backup.kind == "dump"])
    if not found:
        raise Usage(
            f"There is no backup of {holdings.cluster} yet.",
            hint=f"Take one: `pitstop backup base {holdings.cluster}`.",
            code="no-backup",
        )
    return found


def judge_newest(ledger: Ledger, holdings: Holdings, chosen: Chosen) -> Point:
    """Answer whether a backup is the newest of its kind: in every repository, and by what the ledger says was made.

    A newer one that the ledger knows and no repository holds any more is a no: it may have been deleted by hand.
    """
    backup = chosen.backup
    newer = [
        other.id
        for other in holdings.backups
        if other.kind == backup.kind and _age(other) > _age(backup) and other.id not in chosen.skipped
    ]
    if newer:
        return Point(Question.NEWEST, False, f"{backup.id} was asked for; {max(newer)} is newer")
    if lost := _lost(ledger, holdings, backup):
        return Point(Question.NEWEST, False, f"{lost} was made later, and no repository that answers holds it any more")
    if holdings.away:
        return Point(Question.NEWEST, None, f"{backup.id}, as far as can be told: {' '.join(holdings.away)}")
    part = f"; newer ones hold a part only: {', '.join(chosen.skipped[:3])}" if chosen.skipped else ""
    return Point(Question.NEWEST, True, f"{backup.id}, the newest {_word(backup.kind)} in every repository{part}")


def _age(backup: BackupSummary) -> tuple[datetime, str]:
    return backup.started_at, backup.id


def _newest_whole_dump(holdings: Holdings, databases: Collection[str], newest: list[BackupSummary]) -> list[Chosen]:
    skipped = list[BackupId]()
    for backup in newest:
        if is_whole(holdings, databases, backup):
            return [Chosen(backup, tuple(skipped))]
        skipped.append(backup.id)
    return []


def is_comparable(holdings: Holdings, databases: Collection[str], backup: BackupSummary) -> bool:
    """Say whether a backup can be held against others: it holds everything, and was not imported, of which nobody knows."""
    if not is_whole(holdings, databases, backup):
        return False
    try:
        return "imported" not in holdings.places[backup.id].manifest(backup.id).body
    except PitstopError:
        return True


def is_whole(holdings: Holdings, databases: Collection[str], backup: BackupSummary) -> bool:
    """Say whether a backup holds its databases whole; one that cannot be read is taken for whole, and the drill says so."""
    if backup.kind != "dump":
        return True
    if backup.partial:
        return False
    try:
        body = holdings.places[backup.id].manifest(backup.id).body
    except PitstopError:
        return True
    held = {str(database["name"]) for database in body.get("databases", ())}
    chosen = body.get("selection", {}).get("tables")
    return body.get("mode", "full") == "full" and not chosen and held.issuperset(databases)


def _named(holdings: Holdings, wanted: str) -> BackupSummary:
    for backup in holdings.backups:
        if backup.id == wanted:
            return backup
    near = nearest(wanted, [backup.id for backup in holdings.backups])
    raise Usage(
        f"There is no backup {quoted(wanted, 80)} of {holdings.cluster}.",
        hint=f"Did you mean {near}?" if near else f"`pitstop list {holdings.cluster}` shows what there is.",
        code="unknown-backup",
    )


def _lost(ledger: Ledger, holdings: Holdings, backup: BackupSummary) -> str | None:
    """Return the id of a backup that a run made no earlier than `backup`, and that is in no repository; None without one."""
    job = _MADE_BY.get(backup.kind)
    if job is None:
        return None
    with ledger.read() as tx:
        done = runs.recent(tx, cluster=holdings.cluster, jobs=(job,), states=(RunState.SUCCEEDED,), limit=20)
    held = {other.id for other in holdings.backups}
    made = [str(run.result["id"]) for run in done if run.result and run.result.get("id")]
    return max((name for name in made if name not in held and name[:16] >= backup.id[:16]), default=None)


def _word(kind: str) -> str:
    return "dump" if kind == "dump" else "base backup"
