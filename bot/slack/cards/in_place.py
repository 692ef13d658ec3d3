"""What a plan in place says besides: what brings it back, what is lost and ended, what runs before and after. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime

from bot.model.hooks import Hooks
from bot.model.plans import Lost, Plan
from bot.model.restores import Undoing
from bot.slack.text import code, count, moment, size, span

_MAX_COMMANDS = 6


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
