"""The cards of the digest and of the monthly rehearsal. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bot.ledger.rehearsals import Notes
from bot.model.runs import Run
from bot.slack.blocks import Card, Message
from bot.slack.cards import actions
from bot.slack.text import code, escape, moment, named

_MAX_SENTENCES = 20


def digest_card(run: Run) -> Message:
    """Render what is safe and what is not; its charts follow in the thread."""
    result = run.result or {}
    safe, attention = _sentences(result.get("safe")), _sentences(result.get("attention"))
    sign = "⚠️" if attention else "✅"
    card = Card(f"{sign} {run.cluster}: {_headline(len(attention))}", key=f"{run.id}.{run.version}"[:200])
    if attention:
        card.lines("*Not safe*", *(f"• {escape(text, 400)}" for text in attention))
    if safe:
        card.lines("*Safe*", *(f"• {escape(text, 400)}" for text in safe))
    if result.get("charts"):
        card.note("Sizes, durations, RPO and drills of 30 days are in the thread.")
    elif note := result.get("note"):
        card.note(escape(str(note), 300))
    return card.note(
        f"{code(f'/backup status {run.cluster}', 120)} · written {moment(run.finished_at or run.queued_at)}"
    ).message()


def _headline(many: int) -> str:
    return "everything is safe" if not many else f"{many} {'thing needs' if many == 1 else 'things need'} somebody"


def _sentences(found: object) -> list[str]:
    return [str(text) for text in found][:_MAX_SENTENCES] if isinstance(found, list) else []


def rehearsal_card(run: Run, notes: Sequence[Notes]) -> Message:
    """Render the reminder with what people noted so far."""
    databases = _sentences((run.result or {}).get("databases"))
    card = Card(
        f"🚒 Rehearse a restore of {run.cluster}", key=f"{run.id}.{len(notes)}.{notes[-1].at if notes else ''}"[:200]
    )
    card.lines(
        "Once a month somebody who was not there last time walks through it, so that the night it matters is not the first time:",
        f"1. Ask: {code(f'/pitr {run.cluster} 10 minutes ago reason: rehearsal', 160)}. Read the plan and send it.",
        "2. Somebody else approves it. Is it clear to them what would happen?",
        f"3. Look at the copy{f' of {code(databases[0], 80)}' if databases else ''}: are the newest rows there? Then remove it.",
        f"4. Read the runbook: {code(f'/backup runbook {run.cluster}', 120)}. Do its contacts still hold?",
        "5. Write down what was slow, unclear or wrong.",
    )
    for one in notes[-10:]:
        sign = "✅" if one.went_well else "⚠️"
        card.lines(f"{sign} {named(one.by)}, {moment(one.at)}: {escape(one.text, 500)}")
    return card.buttons(actions.note_rehearsal(run.id)).message()
