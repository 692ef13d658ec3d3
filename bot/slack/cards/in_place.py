"""What a plan in place says besides: what brings it back, what is lost and ended, what runs before and after. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.model.hooks import Hooks
from bot.model.plans import Lost, Plan
from bot.model.restores import Undoing
from bot.slack.text import code, code_block, count, escape, moment, size, span

_MAX_COMMANDS = 6
_TAIL_LINES, _TAIL_CHARS = 12, 900


def undoing_line(work: Undoing) -> str:
    """Say what an undo brings back."""
    return f"*Brings back* the database that request {code(work.of, 40)} replaced, as it was then"


def in_place_lines(plan: Plan) -> list[str]:
    """Say what a swap gives up and what runs around it."""
    work = plan.steps.work
    hooks = getattr(work, "hooks", Hooks())
    return [*_lost_lines(plan.facts.lost), *_hook_lines(hooks)]


def _lost_lines(lost: Lost | None) -> list[str]:
    if lost is None:
        return []
    since = moment(datetime.fromisoformat(lost.since), precise=True)
    wrote = [f"{size(lost.wal_bytes)} of WAL of the whole server"] if lost.wal_bytes is not None else []
    if lost.transactions is not None:
        wrote.insert(0, count(lost.transactions, "transaction"))
    amount = f" ({', '.join(wrote)} so far)" if wrote else ""
    return [
        f"*Gives up* everything written to it since {since}{amount}; it stays in the kept database",
        f"*Ends* {count(lost.connections, 'session')} of now; the name is back within seconds",
    ]


def _hook_lines(hooks: Hooks) -> list[str]:
    lines = [
        *_commands("Before", hooks.before, hooks.limit_s),
        *_commands("After", hooks.after, hooks.limit_s),
    ]
    if hooks.health_url:
        otherwise = "the old database comes back at once" if hooks.undo_unless_healthy else "undo is offered"
        lines.append(
            f"*Then asks* {code(hooks.health_url, 200)} for {span(hooks.health_s)}; when it is not well, {otherwise}"
        )
    return lines


def _commands(word: str, commands: Sequence[Sequence[str]], limit_s: int) -> list[str]:
    shown = [code(shlex.join(command), 200) for command in commands[:_MAX_COMMANDS]]
    if not shown:
        return []
    more = f" and {len(commands) - _MAX_COMMANDS} more" if len(commands) > _MAX_COMMANDS else ""
    return [f"*{word}* runs {', '.join(shown)}{more}, each up to {span(limit_s)}"]


def swap_line(result: Mapping[str, Any]) -> str:
    """Say which database has the name now, and how long nobody could come in."""
    database = code(str(result.get("database", "?")), 120)
    backup = result.get("backup")
    origin = f"is the one from {code(str(backup), 60)}" if backup else "is the one that was kept"
    ended, door = result.get("sessions_ended"), result.get("door_s")
    told = ""
    if isinstance(ended, int) and isinstance(door, int | float):
        told = f"; {count(ended, 'session')} ended, the door was held for {door:.1f} s"
    return f"*Now* {database} {origin}{told}."


def what_ran(result: Mapping[str, Any]) -> list[str]:
    """Show the last words of the commands that ran and of the logs, as plain text that mentions nobody."""
    lines = []
    for hook in _dicts(result.get("hooks")):
        mark = "✅" if hook.get("ok") else "❌"
        lines.append(
            f"{mark} {code(str(hook.get('command', '')), 200)} {escape(str(hook.get('trouble', '')), 200)}".rstrip()
        )
        if said := str(hook.get("output", "")).strip():
            lines.append(code_block(_end(said)))
    for log in _dicts(result.get("logs")):
        lines.append(f"The last of the {escape(str(log.get('name', '')), 40)}'s log:")
        lines.append(code_block(_end(str(log.get("text", ""))) or "(empty)"))
    return lines


def _end(text: str) -> str:
    """Return the last lines of a text, as many as can be read."""
    return "\n".join(text.splitlines()[-_TAIL_LINES:])[-_TAIL_CHARS:]


def _dicts(found: object) -> list[Mapping[str, Any]]:
    return [one for one in found[:_MAX_COMMANDS] if isinstance(one, Mapping)] if isinstance(found, list) else []
