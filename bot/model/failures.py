"""A run's end as a condition: what failed needs somebody until the job succeeds again. Pure."""

from __future__ import annotations

from bot.errors import Usage
from bot.model.alerts import Concern, Judged, Severity
from bot.model.conditions.drills import of_now, proved
from bot.model.old_backups import names_old_backup
from bot.model.runs import Job, Run, RunState

BAD = (RunState.FAILED, RunState.INTERRUPTED)
_NAMED_BY = {
    "unknown-database": "databases",
    "unknown-table": "tables exclude_tables",
    "nothing-chosen": "tables",
    "unknown-backup": "backup",
    "unknown-file": "backup file",
}
"""Codes of what a person named wrongly, and the arguments of a run that they may be about."""
_TOLD_ELSEWHERE = {Job.FORWARD}
"""Jobs whose end somebody sees at once where they asked for them."""


def concern_of(run: Run) -> Concern | None:
    """Return what a run that ended badly means; None for any other, and for one that its request tells of.

    A drill that came to its end and could not prove a backup ended badly too, and pages.
    """
    if run.job is Job.DRILL and names_old_backup(str(run.args.get("backup", ""))):
        return None  # a file that somebody had tried: they are told, and no backup of ours is in question
    if misnamed(run):
        return None
    if run.job is Job.DRILL and run.state is RunState.SUCCEEDED and not proved(run):
        return _unproved(run)
    if _amiss(run):
        return _found(run)
    if run.state not in BAD or run.job.of_request or run.job in _TOLD_ELSEWHERE:
        return None
    error = run.error or {}
    message = str(error.get("message") or "It ended without a word.")
    hint = str(error.get("hint") or f"Its log says more: run {run.id}.")
    if run.job is Job.WAL_STREAM:
        return Concern("receiver-down", run.cluster, "", Severity.WARN, f"The WAL receiver ended: {message}", hint)
    step = f" while at “{run.phase}”" if run.phase else ""
    return Concern(
        condition="run-failed",
        cluster=run.cluster,
        subject=run.job.value,
        severity=Severity.WARN,
        sentence=f"The {run.job.value} of {run.cluster} {_WORDS[run.state]}{step}: {message}",
        fix=hint,
        occurrence=run.id,
    )


def misnamed(run: Run) -> bool:
    """Say whether a run only failed because the person who asked for it named something that is not there.

    They are told where they asked, and it says nothing about the job. What the schedule or the configuration names wrongly
    is no such run.
    """
    error = run.error or {}
    if run.state is not RunState.FAILED or run.scheduled_for or error.get("exit_code") != Usage.exit_code:
        return False
    return any(run.args.get(name) for name in _NAMED_BY.get(str(error.get("code")), "").split())


def judged_by(run: Run) -> Judged:
    """Return what the end of a run says about its job: a success ends the alert of the failures before it.

    The success of a drill of an older backup that somebody named says nothing of the newest, and ends none.
    """
    if not proved(run) or _amiss(run) or not of_now(run):
        return Judged()
    return Judged(keys=frozenset({("run-failed", run.cluster, run.job.value)}))


def _amiss(run: Run) -> bool:
    """Say whether a run that looks after what is kept came to its end and found something that is not as it should be."""
    if run.job is Job.SYNC:
        # that a repository is away, and its copies late, has alerts of its own
        return run.state is RunState.SUCCEEDED and bool((run.result or {}).get("damaged"))
    return run.job in _KEEPERS and run.state is RunState.SUCCEEDED and not (run.result or {}).get("ok")


def _found(run: Run) -> Concern:
    """Say what scrub found damaged, which pages, or what kept it or retention from their work."""
    result = run.result or {}
    damaged = [str(one.get("message", "")) for one in result.get("damaged", []) if isinstance(one, dict)]
    refused = [
        f"{one.get('id')} could not be removed: {one.get('reason')}"
        for history in result.get("repositories", [])
        if isinstance(history, dict)
        for one in history.get("refused", [])
    ]
    told = [*damaged, *(str(problem) for problem in result.get("problems", [])), *refused]
    more = f" And {len(told) - _POINTS} more." if len(told) > _POINTS else ""
    sentence = f"The {run.job.value} of {run.cluster} found: {' '.join(told[:_POINTS])}{more}"
    fix = "Is there another repository or a later backup? Keep the damaged objects, and take a new base backup."
    if not damaged:
        fix = f"Can the repository be reached, and does it let go of old objects? `pitstop {_COMMANDS[run.job]} {run.cluster}`"
    severity = Severity.PAGE if damaged else Severity.WARN
    return Concern("run-failed", run.cluster, run.job.value, severity, sentence, fix, occurrence=run.id)


_KEEPERS = frozenset({Job.RETENTION, Job.SCRUB})
"""Jobs that look after what is kept: that something was not as it should be is their result."""
_COMMANDS = {Job.RETENTION: "expire", Job.SCRUB: "scrub"}


def _unproved(run: Run) -> Concern:
    """Name the backups that were not proved, and the first points that were answered with no."""
    proofs = [proof for proof in (run.result or {}).get("proofs", []) if isinstance(proof, dict)]
    bad = [proof for proof in proofs if not proof.get("verified")]
    points = [
        f"{point.get('name', '')}: {point.get('detail', '')}"
        for proof in bad
        for point in proof.get("points", [])
        if isinstance(point, dict) and point.get("ok") is False
    ]
    named = ", ".join(str(proof.get("backup", "?")) for proof in bad) or "a backup"
    sentence = f"The drill of {run.cluster} could not prove {named}. {' '.join(points[:_POINTS])}".strip()
    fix = "Its checklist is in the thread of the drill's card. Take a new backup, and keep the old ones until one is verified."
    return Concern("run-failed", run.cluster, run.job.value, Severity.PAGE, sentence, fix, occurrence=run.id)


_POINTS = 3
_WORDS = {RunState.FAILED: "failed", RunState.INTERRUPTED: "was interrupted"}
