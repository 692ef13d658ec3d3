"""What `help` answers: each line is one that can be typed; the grammar in full is docs/commands.md."""

from __future__ import annotations

from collections.abc import Collection

from bot.errors import PitstopError
from bot.slack.blocks import Card, Message
from bot.slack.hints import in_slack
from bot.slack.text import code, cut, cut_marked, entities, escape, visible

_BACKUP = (
    "`/backup` how safe every cluster is",
    "`/backup status {c}` one cluster",
    "`/backup now {c}` make a base backup now",
    "`/backup now {c} dump` dump its databases now",
    "`/backup now {c} dump schema-only` definitions alone; also `data-only`, `tables Users, audit.log`, `without AuditLogs`",
    "`/backup list {c}` its backups, and how far back it can go",
    "`/backup show ID` one backup, and what is in it",
    "`/backup verify {c}` prove by restoring that its newest backups work",
    "`/backup pin ID` keep a backup beyond its age; `/backup unpin ID` ends that",
    "`/backup schedule` what runs when",
    "`/backup runbook {c}` how to restore it, with and without the bot",
    "`/backup pause {c} 2h` hold the schedule back for so long; `/backup resume {c}` ends that",
)
_RESTORE = (
    "`/restore` the form",
    "`/restore {c} latest into slips_monday reason: to compare` the newest dump into a new database",
    "`/restore {c} verified into slips_monday` the newest one that a drill proved",
    "`/restore {c} 20261122T023000Z-dump-7f3a into slips_monday` a dump by its id; also an old backup by its file's name",
    "`/restore {c} latest into slips.rescued tables Transactions, audit.log` tables into a new schema of a live database",
    "`/restore {c} latest into empty database slips schema-only` of several databases one, without rows",
    "`/restore {c} latest into slips data-only` the rows alone, into tables that exist and are empty",
    "`/restore {c} latest in place reason: bad migration` swaps the live database for the restored copy; the old one is kept",
)
_PITR = (
    "`/pitr` the form",
    "`/pitr {c} 14:30` everything committed up to 14:30, by your clock",
    "`/pitr {c} before 14:30 reason: a bad deploy` what 14:30 itself brought is left out",
    "`/pitr {c} before:xid:84213` just before a transaction",
    "`/pitr {c} point:before-migration` a restore point, included; `before:point:before-migration` leaves it out",
    "`/pitr {c} lsn:0/16B3748` everything before a place in the WAL",
    "`/pitr {c} latest` everything there is",
    "`/pitr {c} immediate` as the newest base backup ended; `immediate:ID` as that one did",
)
_TIMES = "Times: `14:30`, `14:30:05.123`, `yesterday 23:10`, `today 3am`, `10 minutes ago`, `22 Nov 14:30`, `2026-11-22T07:30:00Z`."
_HOW = (
    "A recovery goes to a separate server beside the live one. "
    "You see the plan first, confirm it with a reason, and somebody else approves."
)

_LINES = {"/backup": _BACKUP, "/restore": _RESTORE, "/pitr": _PITR}
_MAX_ERROR_CHARS = 2900
"""A section of a form holds 3000."""


def help_card(command: str, clusters: Collection[str]) -> Message:
    """Render help for a command with a cluster that exists in the examples. Pure."""
    example = entities(min(clusters, default="CLUSTER"))
    lines = _LINES[command]
    card = Card(f"What {command} understands").lines(*(line.format(c=example) for line in lines))
    if command == "/pitr":
        card.lines(_TIMES).note(_HOW)
    names = ", ".join(code(name, 60) for name in sorted(clusters)[:20])
    others = " · ".join(f"`{other} help`" for other in _LINES if other != command)
    return card.note(f"Clusters: {names or 'none'} · other commands: {others}").message()


def error_message(error: PitstopError) -> Message:
    """Render a refusal for the person who caused it: one sentence, and what to do next. Pure."""
    hint = f"→ {escape_hint(in_slack(error.hint))}" if error.hint else ""
    said = "\n".join(part for part in (escape_hint(error.message), hint) if part)
    return Message(cut_marked(said, _MAX_ERROR_CHARS) or "That was refused.", [])


def escape_hint(text: str) -> str:
    """Escape a sentence of ours that may repeat what was typed, keeping the code spans our hints are written with."""
    spans = text.split("`")
    if len(spans) % 2 == 0:
        return escape(text, 1200)
    parts = [f"`{_code(part)}`" if odd % 2 else escape(part, 1200) for odd, part in enumerate(spans)]
    return "".join(_spaced(spans, parts))


def _code(part: str) -> str:
    return entities(cut(visible(part), 300))


def _spaced(spans: list[str], parts: list[str]) -> list[str]:
    """Give text beside a code span its blanks back, which escaping trims."""
    out = []
    for number, (raw, part) in enumerate(zip(spans, parts, strict=True)):
        if number % 2 == 0:
            part = (" " if raw.startswith(" ") and raw.strip() else "") + part + (" " if raw.endswith(" ") else "")
        out.append(part)
    return out
