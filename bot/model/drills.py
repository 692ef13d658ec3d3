"""What a drill proves of one backup: the checklist's questions, how each is judged, and what came of them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median
from typing import Any

from bot.model.amounts import count
from bot.model.ids import BackupId

TABLES_KEPT = 1000
_NAMED = 3
_FAR = 2.0
_SMALL_BYTES = 1024 * 1024


class Question(StrEnum):
    """The checklist, in the order in which it is shown."""

    NEWEST = "newest backup"
    SIZE = "size against history"
    WHOLE = "not corrupted"
    WAL = "WAL without a hole"
    TARGET = "stopped exactly at the target"
    RESTORED = "restored without an error"
    TABLES = "critical tables present"
    ROWS = "row counts"
    EXPECTED = "row counts against history"
    LATEST = "latest records included"
    CANARY = "canaries"
    KEYS = "foreign keys intact"
    INDEXES = "indexes present and sound"
    PAGES = "page checksums"
    CHECKS = "SQL checks"
    TIME = "restore time"
    DONE = "carried out"


RESTORING = frozenset({Question.TARGET, Question.RESTORED})
"""Without a yes to one of them nothing was restored, and nothing is proved."""

NOT_PROVING = frozenset({Question.TIME})
"""A restore that takes too long is a failure of the drill, and still proves that the backup can be restored."""


@dataclass(frozen=True, slots=True)
class Point:
    """One answer: `ok` None is told and not judged, such as what was switched off or could not be compared."""

    question: Question
    ok: bool | None
    detail: str

    def as_json(self) -> dict[str, Any]:
        """Return {"name", "ok", "detail"}."""
        return {"name": self.question.value, "ok": self.ok, "detail": self.detail}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Point:
        """Read what `as_json` wrote."""
        return cls(Question(data["name"]), data["ok"], data["detail"])


@dataclass(frozen=True, slots=True, order=True)
class TableName:
    """A table of a cluster."""

    database: str
    schema: str
    table: str

    @property
    def shown(self) -> str:
        """As people write it."""
        return f"{self.database}.{self.schema}.{self.table}"

    def is_meant(self, word: str) -> bool:
        """Say whether `word` names it: `Name`, `schema.Name` or `database.schema.Name`, exactly."""
        return word in {self.table, f"{self.schema}.{self.table}", self.shown}


Counts = Mapping[TableName, int | None]
"""How many rows each table has; None where nobody counted."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """Earlier counts that new ones are held against; `what` says whose they are: "the drill of 2026-11-22"."""

    what: str
    counts: Counts


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is expected of row counts: `max_shrink` is the part of a table that may vanish, `min_rows` are floors by table."""

    max_shrink: float = 0.5
    min_rows: Mapping[str, int] = field(default_factory=dict)
    may_shrink: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Proof:
    """What the drill of one backup found. `newest` None: nobody can tell. Sizes are bytes, `seconds` those of the restore.

    `damaged` says that an object or the data in it is damaged, `object_damage` which object of the backup; `phases` are
    (name, seconds).
    """

    backup: BackupId
    kind: str
    repository: str
    newest: bool | None
    points: tuple[Point, ...]
    phases: tuple[tuple[str, float], ...]
    seconds: float
    bytes: int
    wal_bytes: int
    damaged: bool
    counts: Counts
    target: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    object_damage: str = ""

    @property
    def ok(self) -> bool:
        """Whether no question was answered with no."""
        return all(point.ok is not False for point in self.points)

    @property
    def verified(self) -> bool:
        """Whether it is proved that the backup can be restored, however long that takes."""
        restored = any(point.question in RESTORING and point.ok for point in self.points)
        return restored and all(point.ok is not False for point in self.points if point.question not in NOT_PROVING)

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only; of the tables the uncounted first, then the largest, at most `TABLES_KEPT`."""
        named = sorted(self.counts.items(), key=lambda item: (item[1] is not None, -(item[1] or 0), item[0]))
        return {
            "backup": self.backup,
            "kind": self.kind,
            "repository": self.repository,
            "newest": self.newest,
            "ok": self.ok,
            "verified": self.verified,
            "damaged": self.damaged,
            "points": [point.as_json() for point in self.points],
            "phases": [{"name": name, "seconds": round(seconds, 3)} for name, seconds in self.phases],
            "seconds": round(self.seconds, 3),
            "bytes": self.bytes,
            "wal_bytes": self.wal_bytes,
            "target": dict(self.target) if self.target else None,
            "warnings": list(self.warnings),
            "tables": [[t.database, t.schema, t.table, rows] for t, rows in named[:TABLES_KEPT]],
            "tables_left_out": max(0, len(named) - TABLES_KEPT),
        }


def counts_from_json(tables: Iterable[Sequence[Any]]) -> Counts:
    """Read the counts that `Proof.as_json` wrote."""
    return {TableName(database, schema, table): rows for database, schema, table, rows in tables}


def judge_size(size: int, earlier: Sequence[int]) -> Point:
    """Compare a backup's size with the median of those of its kind before it: less than half or more than twice is odd.

    A difference of less than 1 MiB never is.
    """
    if not earlier:
        return Point(Question.SIZE, None, f"{size:,} bytes; there is no earlier backup to compare with")
    usual = median(earlier)
    said = f"{size:,} bytes; the {len(earlier)} before it {int(usual):,} in the middle"
    return Point(Question.SIZE, abs(size - usual) < _SMALL_BYTES or usual / _FAR <= size <= usual * _FAR, said)


def judge_tables(
    present: Counts, wanted: Iterable[str], earlier: Baseline | None, dumped: Counts | None = None
) -> Point:
    """Say whether every critical table is there: those named, else all that the baseline knew, else all that were dumped."""
    words = list(wanted)
    if words:
        missing = [word for word in words if not any(table.is_meant(word) for table in present)]
        return _all_there(missing, f"all {len(words):,} named ones")
    if earlier is None and dumped:
        earlier = Baseline("the dump", dumped)
    if earlier is None:
        return Point(
            Question.TABLES, None, f"{len(present):,} tables; none is named, and there is nothing to compare with"
        )
    missing = [table.shown for table in sorted(earlier.counts) if table not in present]
    return _all_there(missing, f"all {len(earlier.counts):,} of {earlier.what}")


def judge_equal(restored: Counts, recorded: Counts) -> Point:
    """Hold a restored dump to the counts taken under its locks; a table whose count one of them lacks is not judged."""
    wrong = [
        f"{table.shown} has {_rows(restored.get(table))} instead of {rows:,}"
        for table, rows in sorted(recorded.items())
        if rows is not None and (table not in restored or restored[table] not in {rows, None})
    ]
    uncounted = [table for table, rows in restored.items() if rows is None]
    if wrong:
        return Point(Question.ROWS, False, _some(wrong))
    known = sum(1 for rows in recorded.values() if rows is not None)
    if not known:
        return Point(Question.ROWS, None, f"{_total(restored)}; none were recorded with the dump")
    if uncounted:
        return Point(
            Question.ROWS, None, f"{len(uncounted):,} tables were not counted: {_some([t.shown for t in uncounted])}"
        )
    return Point(Question.ROWS, True, f"{_total(restored)}, each as counted under the dump's locks")


def judge_expected(counts: Counts, baselines: Sequence[Baseline], bounds: Bounds) -> Point:
    """Hold counts to what was there before and to the configured floors; far fewer rows than before is a no."""
    wrong = [
        f"{table.shown} has {rows:,} rows, at least {floor:,} are expected"
        for word, floor in sorted(bounds.min_rows.items())
        for table, rows in sorted(counts.items())
        if table.is_meant(word) and rows is not None and rows < floor
    ]
    for baseline in baselines:
        wrong += [
            f"{table.shown} has {counts[table]:,} rows, {baseline.what} had {before:,}"
            for table, before in sorted(baseline.counts.items())
            if before is not None
            and _far_below(counts.get(table), before, bounds.max_shrink)
            and not _may(table, bounds)
        ]
    if wrong:
        return Point(Question.EXPECTED, False, _some(wrong))
    uncounted = [table.shown for table, rows in sorted(counts.items()) if rows is None]
    if uncounted:
        return Point(Question.EXPECTED, None, f"{len(uncounted):,} tables were not counted: {_some(uncounted)}")
    if not baselines:
        return Point(Question.EXPECTED, None, f"{_total(counts)}; there is nothing to compare with yet")
    return Point(Question.EXPECTED, True, f"{_total(counts)}; none far below {baselines[0].what}")


def fallen(counts: Counts, before: Sequence[Counts], bounds: Bounds, critical: Iterable[str]) -> list[tuple[str, str]]:
    """Return the tables of a dump that lost far more rows than usual, each with a sentence, beside dumps `before` it.

    A table is held to the median of what those dumps counted, so that one strange dump neither hides nor raises anything.
    Also returned are tables below their floor, and critical ones that are not there.
    """
    found = [(word, f"{word} is not in it.") for word in critical if not any(table.is_meant(word) for table in counts)]
    for table, rows in sorted(counts.items()):
        if rows is None:
            continue
        floor = max((least for word, least in bounds.min_rows.items() if table.is_meant(word)), default=0)
        known = [one[table] for one in before if table in one]
        usual = median(earlier) if (earlier := [many for many in known if many is not None]) else 0
        if rows < floor:
            found.append((table.shown, f"{table.shown} has {count(rows, 'row')}; at least {floor:,} are expected."))
        elif _far_below(rows, int(usual), bounds.max_shrink) and not _may(table, bounds):
            dumps = f"the {len(earlier)} dumps before it" if len(earlier) > 1 else "the dump before it"
            found.append((table.shown, f"{table.shown} has {count(rows, 'row')}; {dumps} had {int(usual):,}."))
    return found


def judge_time(seconds: float, target_s: float, maximum_s: float) -> Point:
    """Hold a restore's time to the objective: past its maximum is a no, past its target is told."""
    said = f"{_span(seconds)}; the objective is {_span(target_s)}, at most {_span(maximum_s)}"
    if seconds > maximum_s:
        return Point(Question.TIME, False, said)
    return Point(Question.TIME, True if seconds <= target_s else None, said)


def hidden_rows(dumped: Counts, physical: Counts, secured: Collection[TableName]) -> list[str]:
    """Name the tables with row-level security of which a dump holds far less than the cluster's own files."""
    return [
        f"{table.shown} has {dumped[table]:,} rows in the dump and {physical[table]:,} in the base backup: did row-level"
        " security hide them?"
        for table in sorted(secured)
        if (physical.get(table) or 0) > 0 and _far_below(dumped.get(table), physical[table] or 0, 0.5)
    ]


def worst(points: Iterable[Point]) -> bool | None:
    """Return no when one says no, None when one is not judged, else yes."""
    answers = [point.ok for point in points]
    return False if False in answers else None if None in answers else True


def _far_below(now: int | None, before: int, max_shrink: float) -> bool:
    return now is not None and before > 0 and (now == 0 or now < before * (1 - max_shrink))


def _may(table: TableName, bounds: Bounds) -> bool:
    return any(table.is_meant(word) for word in bounds.may_shrink)


def _all_there(missing: list[str], said: str) -> Point:
    if missing:
        return Point(Question.TABLES, False, f"missing: {_some(missing)}")
    return Point(Question.TABLES, True, said)


def _total(counts: Counts) -> str:
    known = [rows for rows in counts.values() if rows is not None]
    return f"{count(len(known), 'table')} with {count(sum(known), 'row')}"


def _rows(rows: int | None) -> str:
    return "no table" if rows is None else count(rows, "row")


def _some(words: Sequence[str]) -> str:
    more = f" and {len(words) - _NAMED:,} more" if len(words) > _NAMED else ""
    return "; ".join(words[:_NAMED]) + more


def _span(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
