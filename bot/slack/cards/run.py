"""Cards of runs: a backup in the results channel, the executor's progress in a request's thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot.model.people import Person
from bot.model.runs import Job, Phase, Run, RunState
from bot.slack.blocks import Card, Message
from bot.slack.cards.drill import drill_failed, drill_result
from bot.slack.cards.help import escape_hint
from bot.slack.cards.in_place import what_ran
from bot.slack.cards.keeping import retention_result, scrub_result, sync_result
from bot.slack.hints import in_slack
from bot.slack.text import bar, code, count, escape, moment, named, size, span

_WORDS = {
    Job.BASE_BACKUP: "Base backup",
    Job.DUMP: "Dump",
    Job.IMPORT: "Import of old backups",
    Job.WAL_STREAM: "WAL stream",
    Job.WAL_CHECK: "WAL check",
    Job.PLAN: "Planning",
    Job.EXECUTE: "Request",
    Job.RESTORE_CLEAN: "Clearing away after a restore",
    Job.DRILL: "Drill",
    Job.RETENTION: "Retention",
    Job.SCRUB: "Scrub",
    Job.SYNC: "Copying between repositories",
    Job.PIN: "Pinning",
    Job.DRILL_CLEAN: "Clearing away after a drill",
    Job.SERVER_STOP: "Stopping a server",
    Job.SERVER_REMOVE: "Removing a server",
    Job.FORWARD: "Forwarder",
    Job.DIGEST: "Digest",
    Job.REHEARSAL: "Rehearsal",
    Job.KEPT_REMOVE: "Removing a kept database",
}
_STATES = {
    RunState.QUEUED: "⏳ {} of {}: queued",
    RunState.RUNNING: "▶️ {} of {}: running",
    RunState.SUCCEEDED: "✅ {} of {}: done",
    RunState.FAILED: "❌ {} of {}: failed",
    RunState.INTERRUPTED: "⚠️ {} of {}: interrupted",
    RunState.CANCELLED: "⏹️ {} of {}: cancelled",
}
_MAX_PHASES = 20
_MAX_FINDINGS = 15


def run_card(run: Run) -> Message:
    """Render a run where results are shown. Pure."""
    card = _begin(run)
    _add_progress(card, run)
    if run.state is RunState.SUCCEEDED:
        card.lines(*_RESULTS.get(run.job, _plain_result)(run.result or {}))
    card.lines(*_error_lines(run))
    return card.note(_small_print(run)).message()


def run_progress(run: Run, noun: str = "") -> Message:
    """Render the executor's progress for the thread of its request, which is a `noun`: a bar, the phases and their times. Pure."""
    card = _begin(run, noun.capitalize())
    _add_progress(card, run)
    card.lines(*(_phase_line(phase, current=not run.state.ended) for phase in run.phases[-_MAX_PHASES:]))
    card.lines(*what_ran(run.result or run.error or {}))
    card.lines(*_error_lines(run))
    return card.note(_small_print(run)).message()


def job_name(job: Job) -> str:
    """Return what people call a job."""
    return _WORDS[job]


def state_sign(state: RunState) -> str:
    """Return the sign of a state."""
    return _STATES[state].partition(" ")[0]


def title(run: Run, what: str = "") -> str:
    """Return a run's headline; `what` names it more closely than its job does."""
    state = RunState.FAILED if run.job is Job.DRILL and drill_failed(run) else run.state
    return _STATES[state].format(what or _WORDS[run.job], run.cluster)


def _begin(run: Run, what: str = "") -> Card:
    return Card(title(run, what), key=f"{run.id}.{run.version}.{run.bytes_done}"[:200])


def _add_progress(card: Card, run: Run) -> None:
    if run.state is RunState.QUEUED:
        card.lines("It starts as soon as what it needs is free.")
    if run.state is not RunState.RUNNING:
        return
    drawn = bar(run.bytes_done, run.bytes_total)
    amount = f"{size(run.bytes_done)} of {size(run.bytes_total)}" if run.bytes_total else size(run.bytes_done)
    now = f"*{escape(run.phase, 120)}* " if run.phase else ""
    note = f" · {escape(run.note, 200)}" if run.note else ""
    if drawn:
        percent = drawn.rsplit(" ", 2)[-2]
        card.shown(f"{now}{amount}{note}\n`{drawn}`", spoken=f"{now}{percent} percent, {amount}{note}")
    else:
        card.lines(f"{now}{amount if run.bytes_done else ''}{note}".strip() or "Starting.")


def _phase_line(phase: Phase, *, current: bool) -> str:
    name = escape(phase.name, 120)
    if phase.seconds is None:
        return f"▸ {name}, since {moment(phase.started_at)}" if current else f"▸ {name}, not finished"
    return f"✓ {name}, {span(phase.seconds)}"


def _backup_result(result: dict[str, Any]) -> list[str]:
    lines = [f"*Backup* {code(str(result.get('id', '?')), 80)}"]
    read, stored = result.get("bytes_read"), result.get("bytes_stored")
    if isinstance(read, int | float) and isinstance(stored, int | float):
        lines.append(f"{size(read)} read, {size(stored)} stored, encrypted")
    if isinstance(seconds := result.get("seconds"), int | float):
        speed = f", {size(read / seconds)}/s" if isinstance(read, int | float) and seconds > 0 else ""
        lines.append(f"Took {span(seconds)}{speed}")
    if left := [str(name) for name in result.get("not_in", [])[:_MAX_FINDINGS]]:
        lines.append(
            f"⚠️ Not yet in {', '.join(code(name, 60) for name in left)}: it failed meanwhile, and is caught up"
        )
    if damaged := result.get("damaged"):
        lines.append(f"⚠️ *Damaged*: {escape(str(damaged), 500)}")
    return lines


def _dump_result(result: dict[str, Any]) -> list[str]:
    part = {"schema-only": " (schema only)", "data-only": " (data only)"}.get(str(result.get("part")), "")
    partial = [f"*Of a part only* {escape(str(result['partial']), 40)}"] if result.get("partial") else []
    databases = [one for one in result.get("databases", []) if isinstance(one, dict)]
    shown = [
        f"• {code(str(one.get('name', '?')), 80)}{part}: {count(int(one.get('tables', 0)), 'table')}, "
        f"{int(one.get('rows', 0)):,} rows"
        for one in databases[:_MAX_FINDINGS]
    ]
    more = [f"and {len(databases) - len(shown)} more databases"] if len(databases) > len(shown) else []
    warnings = [f"⚠️ {escape(str(text), 300)}" for text in result.get("warnings", [])[:_MAX_FINDINGS]]
    return [*_backup_result(result), *partial, *shown, *more, *warnings]


def _check_result(result: dict[str, Any]) -> list[str]:
    findings = [found for found in result.get("findings", []) if isinstance(found, dict)]
    marks = {"ok": "✅", "warn": "⚠️", "fail": "❌"}
    lines = [
        f"{marks.get(str(found.get('level')), '•')} {escape(str(found.get('sentence', '')), 300)}"
        + (f"\n→ {escape(str(found['fix']), 300)}" if found.get("fix") else "")
        for found in findings[:_MAX_FINDINGS]
    ]
    return lines or ["WAL is durable in every repository, without a hole."]


def _plain_result(result: dict[str, Any]) -> list[str]:
    return [f"Took {span(float(result['seconds']))}"] if isinstance(result.get("seconds"), int | float) else []


_RESULTS: dict[Job, Callable[[dict[str, Any]], list[str]]] = {
    Job.BASE_BACKUP: _backup_result,
    Job.DUMP: _dump_result,
    Job.WAL_CHECK: _check_result,
    Job.RETENTION: retention_result,
    Job.SCRUB: scrub_result,
    Job.SYNC: sync_result,
    Job.DRILL: drill_result,
}


def _error_lines(run: Run) -> list[str]:
    if not run.error:
        return []
    hint = in_slack(str(run.error.get("hint", "")))
    return [escape_hint(str(run.error.get("message", "It failed."))), f"→ {escape_hint(hint)}" if hint else ""]


def _small_print(run: Run) -> str:
    who = "on schedule" if run.queued_by == "pitstop" else f"asked for by {named(Person.from_key(run.queued_by))}"
    when = run.finished_at or run.started_at or run.queued_at
    return f"Run {code(run.id, 100)} · {who} · {moment(when)}"
