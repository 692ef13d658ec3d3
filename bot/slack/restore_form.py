"""The form of `/restore`: cluster, backup, database, what of it, tables, where to, why. Pure.

Its pickers are answered from the ledger's copy of the catalogue; see `handlers/restore.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.model.backups import BackupSummary
from bot.model.contents import Contents, TableContents
from bot.model.dumps import Part
from bot.model.old_backups import OldBackup
from bot.model.restore_commands import IN_PLACE
from bot.model.restores import LATEST, VERIFIED
from bot.slack.cards import actions
from bot.slack.forms import (
    CLUSTER,
    MAX_OPTIONS,
    MAX_VALUE_CHARS,
    REASON,
    View,
    cluster_select,
    input_block,
    option,
    plain_text,
    reason_text,
)
from bot.slack.text import count, size, span, visible

BACKUP, DATABASE, PART, TABLES, WHERE, INTO = "backup", "database", "part", "tables", "where", "into"

_PARTS = ((Part.FULL, "Everything"), (Part.SCHEMA_ONLY, "Schema only"), (Part.DATA_ONLY, "Data only"))
_BESIDE = "beside"
_WHERE = (
    (_BESIDE, "Beside: nothing that exists is overwritten"),
    (IN_PLACE, "In place: swap it for the restored copy, the old one is kept"),
)


@dataclass(frozen=True, slots=True)
class RestoreDraft:
    """What the form is filled in with; `into` as it is typed, and nothing when it goes `in_place`."""

    cluster: str = ""
    backup: str = LATEST
    database: str = ""
    part: Part = Part.FULL
    tables: tuple[str, ...] = ()
    into: str = ""
    reason: str = ""
    in_place: bool = False


def restore_form(draft: RestoreDraft, *, token: str) -> View:
    """Return the form, filled in."""
    part = _choice(PART, [option(text, part.value) for part, text in _PARTS], draft.part.value)
    where = _choice(WHERE, [option(text, value) for value, text in _WHERE], IN_PLACE if draft.in_place else _BESIDE)
    into: dict[str, Any] = {"type": "plain_text_input", "action_id": INTO, "max_length": 200}
    if draft.into:
        into["initial_value"] = draft.into[:200]
    return {
        "type": "modal",
        "callback_id": actions.RESTORE_FORM,
        "private_metadata": token,
        "title": plain_text("Restore a backup", 24),
        "submit": plain_text("Make a plan", 24),
        "close": plain_text("Close", 24),
        "blocks": [
            input_block(CLUSTER, "Cluster", cluster_select(draft.cluster)),
            input_block(BACKUP, "Backup", _select(actions.BACKUP_OPTIONS, "Choose a backup", draft.backup)),
            input_block(
                DATABASE,
                "Database",
                _select(actions.DATABASE_OPTIONS, "The only one in it", draft.database),
                optional=True,
                hint="Needed where the dump holds several.",
            ),
            input_block(PART, "What of it", part),
            input_block(TABLES, "Tables", _tables(draft.tables), optional=True, hint="None: all of them."),
            input_block(
                WHERE,
                "Where to",
                where,
                hint="In place, the approver types the cluster's name, and undo brings it back.",
            ),
            input_block(
                INTO,
                "Into",
                into,
                optional=True,
                hint="Beside: a new database (slips_monday), a new schema (slips.rescued), or a folder (/srv/copy).",
            ),
            input_block(REASON, "Reason", reason_text(draft.reason), optional=True, hint="The approvers read it."),
        ],
    }


def backup_options(
    backups: Sequence[BackupSummary], typed: str, *, now: datetime, old: Sequence[OldBackup] = ()
) -> list[dict[str, Any]]:
    """Return `latest`, `verified`, the sound backups whose id, kind or cluster holds what was typed, and `old` files, newest first.

    An old file that was imported is there as the dump it became.
    """
    sought = visible(typed).lower()
    words = [option("latest: the newest dump", LATEST), option("verified: the newest that a drill proved", VERIFIED)]
    found = [one for one in words if sought in one["text"]["text"]]
    for backup in backups:
        if not backup.damaged and sought in f"{backup.id} {backup.kind} {backup.cluster} {backup.partial}".lower():
            age = span((now - backup.finished_at).total_seconds())
            mark, part = " ✓" if backup.verified_at else "", f", {backup.partial}" if backup.partial else ""
            found.append(option(f"{backup.id}{mark}, {age} old, {size(backup.bytes_stored)}{part}", backup.id))
    for one in reversed(old):
        name = one.path.name
        if not one.imported and sought in f"{name} old".lower() and len(name) <= MAX_VALUE_CHARS:
            age = span((now - one.changed_at).total_seconds())
            found.append(option(f"{name}, old file, {age} old, {size(one.bytes)}", name))
    return found[:MAX_OPTIONS]


def database_options(contents: Collection[Contents], typed: str) -> list[dict[str, Any]]:
    """Return the databases in backups whose name holds what was typed."""
    sought = visible(typed).lower()
    found = {
        one.name: count(len(one.tables), "table")
        for each in contents
        for one in each.databases
        if sought in one.name.lower()
    }
    return [option(f"{name} ({many})", name) for name, many in sorted(found.items())][:MAX_OPTIONS]


def table_options(tables: Collection[TableContents], typed: str) -> list[dict[str, Any]]:
    """Return the tables of a backup whose name holds what was typed, those that begin with it first."""
    sought = visible(typed).lower()
    fitting = {one.full_name: one for one in tables if sought in one.full_name.lower() and len(one.full_name) <= 150}
    ordered = sorted(fitting, key=lambda name: (not fitting[name].name.lower().startswith(sought), name))
    return [option(f"{name}{_rows(fitting[name])}", name) for name in ordered[:MAX_OPTIONS]]


def chosen(state: Mapping[str, Any], block: str) -> tuple[str, ...]:
    """Return the values picked in a multiple select."""
    for element in ((state.get("values") or {}).get(block) or {}).values():
        return tuple(str(one.get("value", "")) for one in element.get("selected_options") or ())
    return ()


def _rows(table: TableContents) -> str:
    return f" ({count(table.rows, 'row')})" if table.rows is not None else ""


def _choice(action: str, options: list[dict[str, Any]], value: str) -> dict[str, Any]:
    chosen_one = next(one for one in options if one["value"] == value)
    return {"type": "static_select", "action_id": action, "options": options, "initial_option": chosen_one}


def _select(action: str, placeholder: str, value: str) -> dict[str, Any]:
    select: dict[str, Any] = {
        "type": "external_select",
        "action_id": action,
        "min_query_length": 0,
        "placeholder": plain_text(placeholder, 150),
    }
    if value:
        select["initial_option"] = option(value, value)
    return select


def _tables(names: tuple[str, ...]) -> dict[str, Any]:
    select = {**_select(actions.TABLE_OPTIONS, "All of them", ""), "type": "multi_external_select"}
    if names:
        select["initial_options"] = [option(name, name) for name in names[:MAX_OPTIONS]]
    return select
