"""What `/backup show` answers: one backup whole. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.model.backups import BackupSummary
from bot.model.contents import Contents, DatabaseContents
from bot.slack.blocks import Card, Message
from bot.slack.text import code, count, escape, moment, size, span

_KINDS = {"base": "Base backup", "incr": "Incremental backup", "dump": "Dump"}
_MAX_DATABASES, _MAX_TABLES = 15, 12


@dataclass(frozen=True, slots=True)
class BackupView:
    """A backup as the ledger knows it: `contents` is None while nobody has read its manifest."""

    summary: BackupSummary
    repositories: Sequence[str]
    contents: Contents | None


def backup_card(view: BackupView, *, now: datetime) -> Message:
    """Render one backup. `now` is aware."""
    backup, contents = view.summary, view.contents
    part = f", of a part only: {escape(backup.known_part, 40)}" if backup.known_part else ""
    card = Card(f"{_KINDS.get(backup.kind, backup.kind)} of {backup.cluster}")
    card.lines(code(backup.id, 80), *_standing(backup, now))
    card.lines(
        f"*Taken* {moment(backup.started_at)}, in {span(backup.seconds)}{part}",
        f"*Size* {size(backup.bytes_stored)} stored of {size(backup.bytes_read)} read, encrypted",
        f"*WAL* timeline {backup.timeline}, {_range(backup)}",
        f"*After* {code(backup.parent, 80)}" if backup.parent else "",
        f"*In* {', '.join(code(name, 60) for name in view.repositories)}",
    )
    if contents is None:
        card.lines("What is in it is read from its manifest within ten minutes.")
    else:
        card.divider().lines(*_server(contents), *_databases(contents))
        card.lines(*(f"⚠️ {escape(text, 300)}" for text in contents.warnings[:5]))
    return card.note(_next_step(backup)).message()


def _standing(backup: BackupSummary, now: datetime) -> list[str]:
    return [
        f"❌ damaged: {escape(backup.damaged, 400)}" if backup.damaged else "",
        f"✅ verified by a restore {moment(backup.verified_at)}"
        if backup.verified_at
        else f"not verified by a restore yet; {span((now - backup.finished_at).total_seconds())} old",
        "📌 pinned: retention leaves it alone" if backup.pinned else "",
    ]


def _range(backup: BackupSummary) -> str:
    if backup.kind == "dump":
        return f"snapshot at `{backup.end_lsn}` (a dump cannot be rolled forward)"
    return f"from `{backup.start_lsn}` to `{backup.end_lsn}`"


def _server(contents: Contents) -> list[str]:
    version = contents.server.removeprefix("PostgreSQL ").partition(" on ")[0]
    _, on, words = contents.operating_system.partition(" on ")  # version()'s: PostgreSQL 16.2 on …, compiled by … (…)
    platform = words.partition(",")[0] if on else contents.operating_system
    facts = [
        f"PostgreSQL {escape(version, 120)}{f' on {escape(platform, 80)}' if platform else ''}" if version else "",
        "" if contents.data_checksums is None else f"with{'' if contents.data_checksums else 'out'} data checksums",
    ]
    return [f"*Server* {', '.join(fact for fact in facts if fact)}"] if any(facts) else []


def _databases(contents: Contents) -> list[str]:
    lines = [_database(one) for one in contents.databases[:_MAX_DATABASES]]
    if len(contents.databases) > _MAX_DATABASES:
        lines.append(f"• and {len(contents.databases) - _MAX_DATABASES} more databases")
    if len(contents.databases) == 1 and contents.databases[0].tables:
        lines += _tables(contents.databases[0])
    return lines


def _database(one: DatabaseContents) -> str:
    if not one.tables:
        return f"• {code(one.name, 80)}"
    rows = sum(table.rows or 0 for table in one.tables)
    objects = f", {count(one.large_objects, 'large object')}" if one.large_objects else ""
    return f"• {code(one.name, 80)}: {count(len(one.tables), 'table')}, {count(rows, 'row')}{objects}"


def _tables(one: DatabaseContents) -> list[str]:
    largest = sorted(one.tables, key=lambda table: -(table.rows or 0))[:_MAX_TABLES]
    lines = [
        f"   {code(table.full_name, 100)} {count(table.rows, 'row') if table.rows is not None else escape(table.note, 80)}"
        for table in largest
    ]
    more = len(one.tables) - len(largest)
    return [*lines, f"   and {count(more, 'smaller table')}"] if more else lines


def _next_step(backup: BackupSummary) -> str:
    if backup.damaged:
        return f"Make a new one with {code(f'/backup now {backup.cluster}', 120)}"
    if backup.verified_at and backup.kind == "dump":
        return f"Restore it with {code(f'/restore {backup.cluster} {backup.id}', 160)}"
    if backup.verified_at:
        return f"Go back with {code(f'/pitr {backup.cluster} TARGET', 160)}"
    return f"Prove it with {code(f'/backup verify {backup.cluster} {backup.id}', 160)}"
