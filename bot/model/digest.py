"""The digest: what of a cluster is safe and what is not, in sentences, and the series its charts draw. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from bot.model.amounts import size, span
from bot.model.backups import BackupSummary
from bot.model.runs import Job, Run, RunState

LOOK_BACK = timedelta(days=30)
_KINDS = (("base", "base backup", Job.BASE_BACKUP), ("dump", "dump", Job.DUMP))
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Situation:
    """What the ledger knows of a cluster when the digest is written; times are aware.

    `runs` are the ended ones of the last 30 days, `exposure` how much of the past would be lost now (None: WAL was never
    received), `exposures` the worst of each hour in seconds. `alerts` are the sentences of those that are open, `expected` the
    kinds of backups that are scheduled, `rehearsed_at` when notes of a rehearsal were last written.
    """

    cluster: str
    now: datetime
    since: datetime
    backups: Sequence[BackupSummary]
    runs: Sequence[Run]
    exposure: timedelta | None
    exposures: Sequence[tuple[datetime, int]]
    alerts: Sequence[str]
    expected: frozenset[str]
    max_age: timedelta
    rpo: timedelta
    rto: timedelta
    paused_until: datetime | None = None
    rehearsed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """What the charts draw: times are ISO texts, sizes bytes, durations and exposures seconds, limits seconds.

    `sizes` and `durations` are (kind, time, value), `drills` (time, seconds, passed).
    """

    sizes: tuple[tuple[str, str, int], ...]
    durations: tuple[tuple[str, str, float], ...]
    exposures: tuple[tuple[str, int], ...]
    drills: tuple[tuple[str, float, bool], ...]
    rpo: float
    rto: float

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Series:
        """Read what `asdict` and JSON made of it."""
        rows = {key: tuple(tuple(row) for row in data[key]) for key in ("sizes", "durations", "exposures", "drills")}
        return cls(**rows, rpo=data["rpo"], rto=data["rto"])


@dataclass(frozen=True, slots=True)
class Digest:
    """What the message says: sentences of what is safe and of what is not, and what the charts show in words."""

    safe: tuple[str, ...]
    attention: tuple[str, ...]
    series: Series
    alt: str

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only."""
        return {**asdict(self), "safe": list(self.safe), "attention": list(self.attention)}


def make_digest(found: Situation) -> Digest:
    """Judge the situation. The same situation gives the same digest."""
    safe: list[str] = []
    attention = list(found.alerts)
    for kind, word, _ in _KINDS:
        _freshness(found, kind, word, safe, attention)
    _exposure(found, safe, attention)
    _drills(found, safe, attention)
    _failures(found, safe, attention)
    if found.paused_until is not None:
        attention.append(f"The schedule is paused for another {span(found.paused_until - found.now)}.")
    if found.rehearsed_at is not None:
        safe.append(f"The team last rehearsed a restore {span(found.now - found.rehearsed_at)} ago.")
    series = _series(found)
    return Digest(tuple(safe), tuple(dict.fromkeys(attention)), series, _alt(found, series))


def _freshness(found: Situation, kind: str, word: str, safe: list[str], attention: list[str]) -> None:
    sound = [one for one in found.backups if one.kind == kind and not one.damaged and not one.partial]
    if not sound:
        if kind in found.expected:
            attention.append(f"There is no sound {word}.")
        return
    newest = max(sound, key=lambda backup: backup.finished_at)
    age = found.now - newest.finished_at
    said = f"The newest {word} is {span(age)} old: {size(newest.bytes_stored)} stored"
    if kind in found.expected and age > found.max_age:
        attention.append(f"{said}, and should be at most {span(found.max_age)} old.")
    else:
        safe.append(f"{said}{', verified by a restore' if newest.verified_at else ''}.")


def _exposure(found: Situation, safe: list[str], attention: list[str]) -> None:
    if found.exposure is None:
        attention.append("WAL is not received: what was committed after the last backup would be lost.")
    elif found.exposure > found.rpo:
        attention.append(f"The last {span(found.exposure)} would be lost now; at most {span(found.rpo)} may be.")
    else:
        worst = max((value for at, value in found.exposures if at >= found.since), default=None)
        since = f"; at worst {span(timedelta(seconds=worst))} since the last digest" if worst else ""
        lost = f"the last {span(found.exposure)} of" if found.exposure else "nothing of"
        safe.append(f"If the server were lost now, {lost} what was committed would be{since}.")


def _drills(found: Situation, safe: list[str], attention: list[str]) -> None:
    drills = [run for run in found.runs if run.job is Job.DRILL]
    if not drills:
        attention.append(
            f"No drill proved a backup in the last {LOOK_BACK.days} days: `/backup verify {found.cluster}`."
        )
        return
    last = max(drills, key=_ended)
    ago, seconds = span(found.now - _ended(last)), _drill_seconds(last)
    if not _passed(last):
        attention.append(f"The last drill, {ago} ago, failed.")
    elif timedelta(seconds=seconds) > found.rto:
        attention.append(
            f"The drill {ago} ago took {span(timedelta(seconds=seconds))}; a restore may take {span(found.rto)}."
        )
    else:
        took = span(timedelta(seconds=seconds))
        safe.append(f"The last drill, {ago} ago, restored everything in {took}; {span(found.rto)} are allowed.")


def _failures(found: Situation, safe: list[str], attention: list[str]) -> None:
    lately = [run for run in found.runs if _ended(run) >= found.since and run.job is not Job.DRILL]
    failed = [run for run in lately if run.state in {RunState.FAILED, RunState.INTERRUPTED}]
    for job in dict.fromkeys(run.job for run in failed):
        many = sum(run.job is job for run in failed)
        recovered = any(
            run.job is job and run.state is RunState.SUCCEEDED and _ended(run) > _last(failed, job) for run in lately
        )
        sentence = f"The {job.value} failed {f'{many} times' if many > 1 else 'once'} since the last digest"
        (safe if recovered else attention).append(f"{sentence}{', and has succeeded since' if recovered else ''}.")
    done = sum(run.state is RunState.SUCCEEDED for run in lately)
    if done and not failed:
        safe.append(f"All {done} jobs since the last digest succeeded.")


def _series(found: Situation) -> Series:
    begin = found.now - LOOK_BACK
    whole = (one for one in found.backups if one.finished_at >= begin and not one.partial)
    recent = sorted(whole, key=lambda one: one.finished_at)
    ended = sorted((run for run in found.runs if _ended(run) >= begin), key=_ended)
    kinds = {job: kind for kind, _, job in _KINDS}
    return Series(
        sizes=tuple(
            (one.kind, one.finished_at.isoformat(), one.bytes_stored) for one in recent if one.kind in kinds.values()
        ),
        durations=tuple(
            (kinds[run.job], _ended(run).isoformat(), _seconds(run))
            for run in ended
            if run.job in kinds and run.state is RunState.SUCCEEDED
        ),
        exposures=tuple((at.isoformat(), value) for at, value in found.exposures if at >= begin),
        drills=tuple(
            (_ended(run).isoformat(), _drill_seconds(run), _passed(run)) for run in ended if run.job is Job.DRILL
        ),
        rpo=found.rpo.total_seconds(),
        rto=found.rto.total_seconds(),
    )


def _alt(found: Situation, series: Series) -> str:
    """Say what the four charts show."""
    parts = [f"Four charts of {found.cluster}, {LOOK_BACK.days} days."]
    for kind, word, _ in _KINDS:
        stored = [value for one, _, value in series.sizes if one == kind]
        parts += [f"Stored {word}s: {len(stored)}, from {size(min(stored))} to {size(max(stored))}."] if stored else []
        took = [value for one, _, value in series.durations if one == kind]
        parts += [f"A {word} took {_range(took)}."] if took else []
    lost = [float(value) for _, value in series.exposures]
    parts += [f"WAL not durable yet: {_range(lost)}; allowed {span(found.rpo)}."] if lost else []
    passed = sum(ok for _, _, ok in series.drills)
    parts += (
        [f"Drills: {passed} of {len(series.drills)} passed; allowed {span(found.rto)}."]
        if series.drills
        else ["No drills."]
    )
    return " ".join(parts)


def _range(seconds: Iterable[float]) -> str:
    known = [timedelta(seconds=value) for value in seconds]
    least, most = span(min(known)), span(max(known))
    return least if least == most else f"{least} to {most}"


def _ended(run: Run) -> datetime:
    return run.finished_at or run.queued_at


def _last(runs: Sequence[Run], job: Job) -> datetime:
    return max(_ended(run) for run in runs if run.job is job)


def _seconds(run: Run) -> float:
    return (_ended(run) - (run.started_at or run.queued_at)).total_seconds()


def _drill_seconds(run: Run) -> float:
    """Return how long the slowest of a drill's restores took: that is what somebody would wait for."""
    proofs = (run.result or {}).get("proofs", [])
    return max((float(proof.get("seconds") or 0) for proof in proofs if isinstance(proof, dict)), default=_seconds(run))


def _passed(run: Run) -> bool:
    return run.state is RunState.SUCCEEDED and bool((run.result or {}).get("ok", False))
