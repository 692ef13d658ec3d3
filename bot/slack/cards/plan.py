"""The plan as a person reads it before saying yes: what is replayed, what is left out, from what, where to, and what it costs."""

from __future__ import annotations

from bot.model.plans import Facts, Plan
from bot.model.targets import Commit, ResolvedTarget, Target, TargetKind
from bot.model.transitions import MAX_TARGET_TEXT
from bot.slack.text import code, escape, moment, size, span

_MAX_WARNINGS = 8
_MAX_CHAIN = 6


def target_line(target: Target, text: str) -> str:
    """Say the target as typed and as read."""
    asked = f"*Target* {code(text, MAX_TARGET_TEXT)}"
    if target.at is None:
        return asked
    before = "before " if target.before else ""
    return f"{asked}, read as {escape(target.read_as, 200)}; for you {before}{moment(target.at, precise=True)}"


def plan_lines(plan: Plan) -> list[str]:
    """Say every step and fact of a plan, one sentence a line; the warnings come last."""
    steps, facts = plan.steps, plan.facts
    return [
        *stop_lines(steps.target),
        _chain_line(plan),
        _destination_line(plan),
        _cost_line(facts),
        _time_line(facts),
        _checks_line(plan),
        *_warning_lines(facts.warnings),
    ]


def plan_note(plan: Plan) -> str:
    """Name the steps an approval is bound to."""
    return f"Plan `{plan.steps_hash[:12]}` · repository {code(plan.steps.repository, 60)} · system {code(plan.steps.system_id, 24)}"


def stop_lines(target: ResolvedTarget) -> list[str]:
    """Say where replay stops, the last commit kept and the first transaction left out."""
    end = "everything there is, up to" if not target.record_exists else "everything before"
    lines = [f"*Replays* {end} LSN `{target.lsn}` on timeline {target.timeline}"]
    if target.last_commit:
        lines.append(f"*Last commit kept* {_commit(target.last_commit)}")
    else:
        lines.append("*Last commit kept* none after the base backup: its own state comes back")
    if target.next_end:
        lines.append(f"*First left out* {_commit(target.next_end)}")
    elif not target.record_exists:
        lines.append("*First left out* nothing that is known yet")
    return lines


def _commit(end: Commit) -> str:
    kind = " (an abort)" if end.aborted else ""
    return f"transaction `{end.xid}`{kind} of {moment(end.at, precise=True)}"


def _chain_line(plan: Plan) -> str:
    links = plan.steps.chain
    names = ", then ".join(code(link.backup, 60) for link in links[:_MAX_CHAIN])
    more = f" and {len(links) - _MAX_CHAIN} more" if len(links) > _MAX_CHAIN else ""
    wal = "WAL complete to the target" if plan.facts.wal_complete else "*WAL is not complete*"
    return f"*From* base backup {names}{more}; {wal}"


def _destination_line(plan: Plan) -> str:
    destination = plan.steps.destination
    port = f", reachable on 127.0.0.1:{destination.port}" if destination.port else ""
    place = f"*To* a separate PostgreSQL {plan.facts.server_version // 10000} server in {code(destination.directory, 300)}{port}"
    if plan.steps.overwrites:
        return f"{place}; *overwrites* {', '.join(code(item, 120) for item in plan.steps.overwrites[:5])}"
    return f"{place}; nothing is overwritten, the live cluster is not touched"


def _cost_line(facts: Facts) -> str:
    room = "" if facts.disk_free >= facts.disk_needed else " *(too little)*"
    return (
        f"*Fetches* {size(facts.bytes_to_fetch)} and {size(facts.wal_bytes)} of WAL; "
        f"*needs* {size(facts.disk_needed)} of {size(facts.disk_free)} free disk{room}"
    )


def _time_line(facts: Facts) -> str:
    basis = f", {escape(facts.basis, 160)}" if facts.basis else ""
    return (
        f"*Takes* about {span(facts.estimate_s)}{basis}"
        if facts.estimate_s is not None
        else f"*Takes* not known yet{basis}"
    )


def _checks_line(plan: Plan) -> str:
    lifetime = f"*Then* it is kept for {span(plan.steps.lifetime_s)}"
    names = ", ".join(escape(check.name, 60) for check in plan.steps.checks[:8])
    return f"*Checks* row counts of all tables{'; ' + names if names else ''}\n{lifetime}"


def _warning_lines(warnings: tuple[str, ...]) -> list[str]:
    lines = [f"⚠️ {escape(warning, 300)}" for warning in warnings[:_MAX_WARNINGS]]
    if len(warnings) > _MAX_WARNINGS:
        lines.append(f"⚠️ and {len(warnings) - _MAX_WARNINGS} more warnings; see `pitstop request show`")
    return lines


def is_latest(target: Target) -> bool:
    """Say whether a target means everything there is."""
    return target.kind is TargetKind.LATEST
