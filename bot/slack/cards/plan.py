"""The plan as a person reads it before saying yes: what is replayed, what is left out, from what, where to, and what it costs."""

from __future__ import annotations

from bot.model.destinations import Beside, EmptyTables, InPlace, NewDatabase, NewSchema
from bot.model.dumps import Part
from bot.model.plans import Facts, Plan, Recovery
from bot.model.restores import Restoration, Undoing, Wanted
from bot.model.targets import Commit, ResolvedTarget, Target, TargetKind
from bot.model.transitions import MAX_TARGET_TEXT
from bot.slack.cards.in_place import in_place_lines, undoing_line
from bot.slack.text import code, count, escape, moment, moments, size, span

_MAX_WARNINGS = 8
_MAX_CHAIN = 6
_MAX_TABLES = 8


def target_line(target: Target | Wanted, text: str) -> str:
    """Say the target as typed and as read, or what is wanted of which backup."""
    if isinstance(target, Wanted):
        return f"*Wanted* {code(text, MAX_TARGET_TEXT)}"
    asked = f"*Target* {code(text, MAX_TARGET_TEXT)}"
    if target.at is None:
        return asked
    before = "before " if target.before else ""
    return f"{asked}, read as {escape(target.read_as, 200)}; for you {before}{moment(target.at, precise=True)}"


def plan_lines(plan: Plan) -> list[str]:
    """Say every step and fact of a plan, one sentence a line; the warnings come last."""
    steps, facts = plan.steps, plan.facts
    return [
        *_what_lines(plan),
        *([_chain_line(plan)] if steps.chain else []),
        _destination_line(plan),
        *(in_place_lines(plan) if isinstance(steps.destination, InPlace) else []),
        *([_cost_line(facts)] if steps.chain else []),
        _time_line(facts),
        _checks_line(plan),
        *_warning_lines(facts),
    ]


def plan_note(plan: Plan) -> str:
    """Name the steps an approval is bound to, and say when they were planned."""
    made = f" made {moment(plan.facts.made_at)}" if plan.facts.made_at else ""
    repository, system = code(plan.steps.repository, 60), code(plan.steps.system_id, 24)
    return f"Plan `{plan.steps_hash[:12]}`{made} · repository {repository} · system {system}"


def _what_lines(plan: Plan) -> list[str]:
    steps = plan.steps
    match steps.work:
        case Recovery(target=target):
            return stop_lines(target)
        case Restoration():
            return [restored_line(steps.work, plan.facts)]
        case Undoing():
            return [undoing_line(steps.work)]


def restored_line(work: Restoration, facts: Facts) -> str:
    """Say what of a dump is restored, and how many rows it counted of that."""
    parts = {Part.FULL: "", Part.SCHEMA_ONLY: ", *definitions alone*", Part.DATA_ONLY: ", *rows alone*"}[work.part]
    named = ", ".join(code(table.full_name, 120) for table in work.tables[:_MAX_TABLES])
    more = f" and {len(work.tables) - _MAX_TABLES} more" if len(work.tables) > _MAX_TABLES else ""
    tables = f"the {count(len(work.tables), 'table')} {named}{more} of " if work.tables else ""
    rows = f", {facts.rows:,} rows" if facts.rows is not None and work.part is not Part.SCHEMA_ONLY else ""
    return f"*Restores* {tables}the database {code(work.database, 120)}{parts}{rows}"


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
    if isinstance(plan.steps.work, Restoration):
        return f"*From* dump {names}"
    wal = "WAL complete to the target" if plan.facts.wal_complete else "*WAL is not complete*"
    return f"*From* base backup {names}{more}; {wal}"


def _destination_line(plan: Plan) -> str:
    place = f"*To* {_place(plan)}"
    if plan.steps.overwrites:
        return f"{place}; *overwrites* {', '.join(code(item, 120) for item in plan.steps.overwrites[:5])}"
    if isinstance(plan.steps.destination, Beside):
        return f"{place}; nothing is overwritten, the live cluster is not touched"
    if isinstance(plan.steps.destination, InPlace):
        return place
    return f"{place}; nothing is overwritten"


def _place(plan: Plan) -> str:
    match plan.steps.destination:
        case Beside(directory, port):
            reached = f", reachable on 127.0.0.1:{port}" if port else ""
            return (
                f"a separate PostgreSQL {plan.facts.server_version // 10000} server in {code(directory, 300)}{reached}"
            )
        case NewDatabase(database):
            return f"the new database {code(database, 120)} of the live server"
        case NewSchema(database, schema):
            return f"the new schema {code(schema, 120)} of the live database {code(database, 120)}"
        case EmptyTables(database):
            return f"the *existing* database {code(database, 120)} of the live server, into tables that are empty"
        case InPlace(database=database, kept=kept):
            return f"*the place of the live database {code(database, 120)}*, which is kept as {code(kept, 120)}"


def _cost_line(facts: Facts) -> str:
    wal = f" and {size(facts.wal_bytes)} of WAL" if facts.wal_bytes else ""
    return f"*Fetches* {size(facts.bytes_to_fetch)}{wal}; *needs* {size(facts.disk_needed)} {_room(facts)}"


def _room(facts: Facts) -> str:
    if facts.disk_free is None:
        return "of disk on the server, whose free space cannot be seen from here"
    return f"of {size(facts.disk_free)} free disk{'' if facts.disk_free >= facts.disk_needed else ' *(too little)*'}"


def _time_line(facts: Facts) -> str:
    basis = f", {escape(facts.basis, 160)}" if facts.basis else ""
    return (
        f"*Takes* about {span(facts.estimate_s)}{basis}"
        if facts.estimate_s is not None
        else f"*Takes* not known when the plan was made{basis}"
    )


def _checks_line(plan: Plan) -> str:
    work = plan.steps.work
    names = "".join(f"; {escape(check.name, 60)}" for check in plan.steps.checks[:8])
    if isinstance(work, Recovery):
        return f"*Checks* row counts of all tables{names}\n*Then* it is kept for {span(work.lifetime_s)}"
    if isinstance(work, Undoing):
        return "*Checks* that the kept database is the very one that was replaced"
    counts = "every table's rows against the dump's counts, indexes, constraints, sequences"
    return f"*Checks* {counts}{names}"


def _warning_lines(facts: Facts) -> list[str]:
    """Say what is to be known, as of the plan: a drill may have proved the backup since, a repository be back."""
    warnings = facts.warnings
    if not warnings:
        return []
    lines = [f"*When the plan was made*{f', {moment(facts.made_at)}' if facts.made_at else ''}:"]
    lines += [f"⚠️ {moments(escape(warning, 300))}" for warning in warnings[:_MAX_WARNINGS]]
    if len(warnings) > _MAX_WARNINGS:
        lines.append(f"⚠️ and {len(warnings) - _MAX_WARNINGS} more warnings; see `pitstop request show`")
    return lines


def is_latest(target: Target | Wanted) -> bool:
    """Say whether a target means everything there is."""
    return isinstance(target, Target) and target.kind is TargetKind.LATEST
