"""Where a drill of a base backup replays to: between two canaries where there are some, else to the end of the WAL."""

from __future__ import annotations

from dataclasses import dataclass

from bot.errors import PitstopError
from bot.host.passing import passing_folder
from bot.model.backups import BackupSummary
from bot.model.drills import Point, Question
from bot.model.targets import ResolvedTarget, Target, TargetKind
from bot.model.timelines import Lineage, Stretch
from bot.model.wal import Lsn, segment_name, segment_number
from bot.postgres.binaries import find
from bot.postgres.canaries import Canaries, write_canaries
from bot.postgres.resolve import resolve
from bot.postgres.transport import require_verified
from bot.postgres.wal_reader import WalReader
from jobs.drill.work import Answers, Drill
from jobs.plan.coverage import cover
from jobs.plan.fit import require_safe_replay
from jobs.wal_check import holes_after


@dataclass(frozen=True, slots=True)
class Aim:
    """Where replay stops, on which line of descent; `canaries` only where the target lies between them."""

    target: ResolvedTarget
    line: Lineage
    canaries: Canaries | None


def aim(drill: Drill, backup: BackupSummary, answers: Answers) -> Aim | None:
    """Write the canaries, wait for the WAL, and resolve the target; None when nothing can be recovered from this backup.

    Answers whether the WAL is there without a hole, and what became of the canaries so far.

    Raises:
        Unavailable: repository or spool cannot be read, or binaries are missing.
        Corruption: WAL that had to be read is damaged.
    """
    context = drill.context
    context.phase("base: aim")
    old = backup.finished_at < context.now() - drill.cluster.retention.wal
    canaries = None if old else _write(drill, answers)
    coverage = cover(drill.cluster, drill.holdings, on_wait=context.check_cancelled)
    line = drill.holdings.line(coverage.ranges)
    binaries = find(backup.server_version // 10000, extra=drill.config.postgres.bin_directories)
    with passing_folder() as home:
        reader = WalReader(binaries, drill.holdings.source, line, home, ranges=coverage.ranges)
        own = next((s for s in reader.stretches if s.covers(backup.start_lsn, backup.end_lsn)), None)
        if old:
            answers.say(Question.CANARY, None, "not written: the backup is older than the WAL window")
        whole = _judge_own_wal(own) if old and own is not None else _judge_wal(backup, reader.stretches, own, line)
        answers.add(whole)
        answers.damaged |= whole.ok is False
        if own is None:
            return None
        between = canaries.between if canaries and own.start < canaries.between < own.end else None
        if canaries and between is None:
            answers.say(Question.CANARY, False, _not_arrived(canaries, own))
        wanted = between or own.end
        resolution = resolve(
            Target(TargetKind.LSN, lsn=wanted),
            candidates=[backup],
            wal=reader,
            now=context.now(),
            complete_until=coverage.complete_until,
        )
        require_safe_replay(reader, backup.start_lsn, resolution.target.lsn)
    answers.warnings += resolution.notes
    return Aim(resolution.target, line, canaries if between else None)


def _write(drill: Drill, answers: Answers) -> Canaries | None:
    """Write the canaries if that is wished for; what stands in the way is an answer."""
    if not drill.wishes.canary:
        answers.say(Question.CANARY, None, "switched off (drill.canary)")
        return None
    cluster = drill.cluster
    dsn = cluster.restore_dsn or cluster.observe
    try:
        require_verified(cluster)
        return write_canaries(dsn, drill.canary_database, drill.context.run.id)
    except PitstopError as error:
        answers.say(Question.CANARY, None, f"not written: {error.message} {error.hint}".strip())
        return None


def _judge_wal(backup: BackupSummary, stretches: list[Stretch], own: Stretch | None, line: Lineage) -> Point:
    """Answer whether the WAL goes from the backup's start to the newest there is."""
    end = max((stretch.end for stretch in stretches), default=Lsn(0))
    if own is not None and own.end >= end:
        return Point(Question.WAL, True, f"complete from {backup.start_lsn} to {own.end}")
    holes = holes_after(backup.start_lsn, stretches, max(end, backup.end_lsn), backup.segment_bytes)
    named = ", ".join(_missing(start, stop, line, backup.segment_bytes) for start, stop in holes[:3])
    reach = f"; it can be recovered to {own.end} only" if own else "; without it the backup cannot be recovered at all"
    return Point(Question.WAL, False, f"missing: {named or 'its own WAL'}{reach}")


def _judge_own_wal(own: Stretch) -> Point:
    """Answer for a backup from before the WAL window, of which retention keeps its own WAL alone."""
    return Point(Question.WAL, True, f"its own is complete, to {own.end}; what followed is older than WAL is kept")


def _missing(start: Lsn, stop: Lsn, line: Lineage, segment_bytes: int) -> str:
    first, last = segment_number(start, segment_bytes), segment_number(Lsn(max(start, stop - 1)), segment_bytes)
    names = [segment_name(line.file_timeline(n, segment_bytes), n, segment_bytes) for n in (first, last)]
    return names[0] if first == last else f"{names[0]} to {names[1]}"


def _not_arrived(canaries: Canaries, own: Stretch) -> str:
    return (
        f"written at {canaries.at:%H:%M:%S} UTC before {canaries.between}, but the WAL here ends at {own.end}: does the"
        " receiver run?"
    )
