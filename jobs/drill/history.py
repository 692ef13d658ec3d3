"""What the answers are held against: earlier drills, dumps and sizes, and the live server's newest records."""

from __future__ import annotations

from dataclasses import dataclass

from bot.errors import PitstopError
from bot.ledger import Ledger, runs
from bot.model.backups import BackupSummary
from bot.model.conditions.drills import of_now
from bot.model.drills import Baseline, Counts, Point, Question, TableName, counts_from_json, judge_size
from bot.model.runs import Job, RunState
from bot.postgres.latest import Latest, read_latest
from bot.postgres.transport import require_verified
from bot.repository.manifest import Manifest
from jobs.drill.choose import is_comparable
from jobs.drill.work import Drill
from jobs.plan.holdings import Holdings

_DRILLS_BACK = 20
_SIZES_BACK = 7


@dataclass(frozen=True, slots=True)
class History:
    """Earlier counts, the best comparison first."""

    baselines: tuple[Baseline, ...] = ()

    @property
    def tables(self) -> Baseline | None:
        """What says which tables were there."""
        return self.baselines[0] if self.baselines else None


def history_of(drill: Drill, backup: BackupSummary) -> History:
    """Return what a backup's counts are held against: the last drill of its kind's newest that passed, and the dump before it.

    One that holds a part only, or was imported, is held against nothing.
    """
    if not is_comparable(drill.holdings, drill.cluster.databases, backup):
        return History()
    found = [_last_drill(drill.context.ledger, drill.holdings, backup.kind), _last_dump(drill.holdings, backup)]
    return History(tuple(baseline for baseline in found if baseline is not None))


def judge_size_of(drill: Drill, backup: BackupSummary) -> Point:
    """Compare a backup's size with those of its kind before it, those that hold a part or were imported left out."""
    holdings, databases = drill.holdings, drill.cluster.databases
    if not is_comparable(holdings, databases, backup):
        return Point(
            Question.SIZE,
            None,
            f"{backup.bytes_stored:,} bytes; it was imported or holds a part, and is compared with nothing",
        )
    earlier = sorted(
        (b for b in holdings.backups if b.kind == backup.kind and b.started_at < backup.started_at and not b.damaged),
        key=lambda b: b.started_at,
    )
    sizes = [b.bytes_stored for b in earlier[-_SIZES_BACK:] if is_comparable(holdings, databases, b)]
    return judge_size(backup.bytes_stored, sizes)


def recorded_counts(manifest: Manifest) -> Counts:
    """Return the rows of each table as they were counted under the dump's locks."""
    counts: dict[TableName, int | None] = {}
    for database in manifest.body.get("databases", ()):
        for table in database["tables"]:
            if table.get("kind", "table") == "table":
                counts[TableName(database["name"], table["schema"], table["name"])] = table["rows"]
    return counts


def live_latest(drill: Drill) -> dict[str, Latest]:
    """Ask the live server for its newest records now; what it does not answer is not expected of the copy."""
    found = {}
    try:
        require_verified(drill.cluster)
    except PitstopError:
        return {}
    for database, sql in drill.wishes.latest.items():
        latest = read_latest(drill.cluster.observe, database, sql)
        if not latest.trouble and latest.value is not None:
            found[database] = latest
    return found


def _last_drill(ledger: Ledger, holdings: Holdings, kind: str) -> Baseline | None:
    with ledger.read() as tx:
        past = runs.recent(
            tx, cluster=holdings.cluster, jobs=(Job.DRILL,), states=(RunState.SUCCEEDED,), limit=_DRILLS_BACK
        )
    for run in past:
        for proof in (run.result or {}).get("proofs", ()):
            if of_now(run) and proof["kind"] == kind and proof["verified"] and run.finished_at:
                return Baseline(f"the drill of {run.finished_at:%Y-%m-%d}", counts_from_json(proof["tables"]))
    return None


def _last_dump(holdings: Holdings, backup: BackupSummary) -> Baseline | None:
    """Return the counts of the newest dump before a backup that can be read and counted rows."""
    dumps = [b for b in holdings.backups if b.kind == "dump" and b.started_at < backup.started_at and not b.damaged]
    for dump in sorted(dumps, key=lambda b: b.started_at, reverse=True)[:5]:
        try:
            counts = recorded_counts(holdings.places[dump.id].manifest(dump.id))
        except PitstopError:
            continue
        if any(rows is not None for rows in counts.values()):
            return Baseline(f"the dump {dump.id}", counts)
    return None
