"""Look into a restored copy: tables, rows, foreign keys, indexes, the newest records, and the configured SQL checks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import psycopg

from bot.errors import PitstopError
from bot.model import amounts
from bot.model.drills import Baseline, Bounds, Counts, Point, Question, TableName, judge_tables
from bot.postgres.canaries import Canaries, found_sides
from bot.postgres.foreign_keys import ForeignKeys, check_foreign_keys
from bot.postgres.isolated import IsolatedServer
from bot.postgres.latest import Latest, read_latest
from bot.postgres.look import looking
from bot.postgres.row_counts import Database, count_tables, databases_of
from bot.postgres.soundness import Soundness, check_soundness
from bot.postgres.sql_checks import run_check
from jobs.drill.work import Answers, Drill

T = TypeVar("T")
_QUICK_S = 60.0


class Examination:
    """One copy being looked at; all checks share one budget of time. Findings are answers, never errors."""

    def __init__(self, drill: Drill, server: IsolatedServer, answers: Answers, prefix: str) -> None:
        self._drill, self._server, self._answers, self._prefix = drill, server, answers, prefix
        self._deadline = time.monotonic() + drill.wishes.check_limit.total_seconds()
        self.databases = databases_of(server)

    @property
    def _cancelled(self) -> Callable[[], bool]:
        return self._drill.context.cancelled

    def _left_s(self) -> float:
        self._drill.context.check_cancelled()
        return max(0.0, self._deadline - time.monotonic())

    def count(self) -> Counts:
        """Count the rows of every table of every database."""
        self._drill.context.phase(f"{self._prefix}: count")
        counts: dict[TableName, int | None] = {}
        for database in self.databases:
            self._drill.context.note(f"Counting rows in {database.name}")
            found = count_tables(self._server, database, limit_s=self._left_s(), cancelled=self._cancelled)
            counts.update({TableName(t.database, t.schema, t.table): t.rows for t in found})
            unlogged = sum(table.unlogged for table in found)
            if unlogged:
                self._answers.warnings.append(f"{unlogged:,} unlogged tables of {database.name} come back empty.")
        self._left_s()
        self._answers.counts = counts
        return counts

    def tables(self, counts: Counts, earlier: Baseline | None, dumped: Counts | None = None) -> None:
        """Answer whether the critical tables are there; `dumped` are those a dump says it holds."""
        self._answers.add(judge_tables(counts, self._drill.wishes.critical_tables, earlier, dumped))

    def keys(self) -> None:
        """Answer whether every row's parent is there."""
        self._drill.context.phase(f"{self._prefix}: foreign keys")
        found = [
            self._asked(
                database,
                ForeignKeys(0),
                lambda d=database: check_foreign_keys(  # type: ignore[misc]
                    self._server, d, limit_s=self._left_s(), cancelled=self._cancelled
                ),
            )
            for database in self.databases
        ]
        checked = sum(one.checked for one, _ in found)
        broken = [text for one, _ in found for text in one.broken]
        unchecked = [text for one, _ in found for text in one.unchecked] + [why for _, why in found if why]
        self._answers.add(
            _told(
                Question.KEYS, broken, unchecked, f"{amounts.count(checked, 'key')} looked up row by row, none broken"
            )
        )

    def indexes(self, *, deep: bool) -> None:
        """Answer whether indexes are present and sound; with `deep` by reading them and the tables with amcheck."""
        self._drill.context.phase(f"{self._prefix}: indexes")
        found = [
            self._asked(
                database,
                Soundness(),
                lambda d=database: check_soundness(  # type: ignore[misc]
                    self._server, d, deep=deep, limit_s=self._left_s(), cancelled=self._cancelled
                ),
            )
            for database in self.databases
        ]
        number = sum(one.indexes for one, _ in found)
        damaged = [text for one, _ in found for text in one.damaged]
        invalid = [f"{text} is invalid" for one, _ in found for text in one.invalid]
        self._answers.damaged |= bool(damaged)
        read = sum(one.checked for one, _ in found)
        lacking = sorted({one.amcheck for one, _ in found if one.amcheck}) if deep else []
        said = amounts.count(number, "index", "indexes")
        said += (
            f"; amcheck read {read:,} tables and indexes" if deep and not lacking else "" if deep else ", built anew"
        )
        unread = sum(one.unchecked for one, _ in found)
        said += f"; {unread:,} not read" if deep and unread else ""
        self._answers.add(_told(Question.INDEXES, damaged + invalid, lacking + [why for _, why in found if why], said))

    def latest(self, expected: dict[str, Latest]) -> None:
        """Answer whether the newest records came back: by each configured query, and at least what the live server had."""
        wanted = self._drill.wishes.latest
        if not wanted:
            self._answers.say(Question.LATEST, None, "no query is configured (drill.latest)")
            return
        parts = [self._latest_of(name, sql, expected.get(name)) for name, sql in sorted(wanted.items())]
        oks = [ok for ok, _ in parts]
        self._answers.say(Question.LATEST, all(oks), "; ".join(text for _, text in parts))

    def _latest_of(self, database: str, sql: str, expected: Latest | None) -> tuple[bool, str]:
        found = read_latest(self._server.dsn(), database, sql)
        if found.trouble:
            return False, f"{database}: {found.trouble}"
        if found.value is None:
            return False, f"{database}: there are none"
        if expected is not None and found.is_before(expected):
            return False, f"{database}: {found.shown}, and the live server had {expected.shown} when the drill began"
        return True, f"{database}: {found.shown}"

    def canaries(self, canaries: Canaries | None) -> None:
        """Answer whether exactly the first of the two canaries came back."""
        if canaries is None:
            return
        try:
            with looking(self._server, canaries.database, timeout_s=_QUICK_S, cancelled=self._cancelled) as connection:
                sides = found_sides(connection, canaries.drill)
        except (psycopg.Error, PitstopError) as error:
            self._answers.say(Question.CANARY, False, f"not looked for: {' '.join(str(error).split())[:200]}")
            return
        at = f"{canaries.at:%H:%M:%S} UTC"
        if "before" not in sides:
            self._answers.say(Question.CANARY, False, f"the row written just before the target, at {at}, is missing")
        elif "after" in sides:
            self._answers.say(Question.CANARY, False, f"the row written just after the target, at {at}, is there")
        else:
            self._answers.say(Question.CANARY, True, f"the row of {at} is there, the one written just after it is not")

    def checks(self) -> None:
        """Run the configured SQL checks."""
        self._drill.context.phase(f"{self._prefix}: checks")
        for check in self._drill.cluster.sql_checks:
            if all(database.name != check.database for database in self.databases):
                self._answers.say(Question.CHECKS, None, f"{check.name}: {check.database} is not part of this backup")
                continue
            ok, detail = run_check(self._server, check, cancelled=self._cancelled)
            self._left_s()
            self._answers.say(Question.CHECKS, ok, f"{check.name}: {detail}")

    def _asked(self, database: Database, otherwise: T, ask: Callable[[], T]) -> tuple[T, str]:
        """Ask about one database; one that cannot be looked into is said."""
        self._drill.context.note(f"Looking into {database.name}")
        try:
            found = ask()
        except (PitstopError, psycopg.Error) as error:
            if not self._server.running:
                raise
            return otherwise, f"{database.name}: {' '.join(str(error).split())[:200]}"
        self._left_s()
        return found, ""


def bounds_of(drill: Drill) -> Bounds:
    """Return what is expected of row counts."""
    wishes = drill.wishes
    return Bounds(wishes.max_shrink, dict(wishes.min_rows), wishes.may_shrink)


def _told(question: Question, wrong: list[str], open_: list[str], said: str) -> Point:
    if wrong:
        more = f" and {len(wrong) - 3:,} more" if len(wrong) > 3 else ""
        return Point(question, False, "; ".join(wrong[:3]) + more)
    if open_:
        more = f" and {len(open_) - 3:,} more" if len(open_) > 3 else ""
        return Point(question, None, f"{said}; not judged: {'; '.join(open_[:3])}{more}")
    return Point(question, True, said)
