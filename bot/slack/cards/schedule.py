"""What `/backup schedule` answers, and the card of a pause. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.model.ids import ClusterName
from bot.model.pauses import Pause
from bot.model.timetable import Line
from bot.slack.blocks import Card, Message
from bot.slack.cards import actions
from bot.slack.cards.run import job_name, state_sign
from bot.slack.text import code, escape, moment, named

_MAX_CLUSTERS = 12


@dataclass(frozen=True, slots=True)
class ClusterSchedule:
    """One cluster's timetable, the zone its expressions are read in, and the pause that holds now."""

    cluster: ClusterName
    zone: str
    lines: Sequence[Line]
    pause: Pause | None


def schedule_card(clusters: Sequence[ClusterSchedule]) -> Message:
    """Render what runs when."""
    card = Card("What runs when" if len(clusters) != 1 else f"What runs when on {clusters[0].cluster}")
    for one in clusters[:_MAX_CLUSTERS]:
        card.lines(f"*{escape(one.cluster, 80)}*, in {escape(one.zone, 60)}", *_paused(one.pause))
        card.lines(*(_line(line) for line in one.lines) if one.lines else ["Nothing is scheduled."]).divider()
    return card.note("`/backup pause CLUSTER 2h` · `/backup resume CLUSTER` · WAL is streamed all the time").message()


def _paused(pause: Pause | None) -> list[str]:
    if pause is None:
        return []
    return [f"⏸️ paused by {named(pause.by)} until {moment(pause.until)}"]


def _line(line: Line) -> str:
    held = " ⏸️" if line.paused else ""
    said = f"• {job_name(line.job)} {code(line.cron, 60)}: next {moment(line.next_at)}{held}"
    if line.last is None:
        return f"{said}, never ran"
    at = line.last.finished_at or line.last.started_at or line.last.queued_at
    return f"{said}, last {state_sign(line.last.state)} {line.last.state.value} {moment(at)}"


def pause_card(pause: Pause) -> Message:
    """Render a pause where results are shown: everybody sees that backups wait, and may end it."""
    ended = pause.ended_at is not None
    card = Card(
        f"{'▶️' if ended else '⏸️'} The schedule of {pause.cluster} {'goes on' if ended else 'is paused'}",
        key=f"pause.{pause.id}.{int(ended)}",
    )
    if pause.ended_at is not None and pause.ended_by is not None:
        return card.lines(
            f"*Resumed by* {named(pause.ended_by)} at {moment(pause.ended_at)}; what was missed is caught up once.",
            f"It was paused by {named(pause.by)} at {moment(pause.at)}, and would have been until {moment(pause.until)}.",
        ).message()
    card.lines(
        f"*Paused by* {named(pause.by)} at {moment(pause.at)}, until {moment(pause.until)}",
        "Backups, dumps, drills, scrubbing, retention and copying between repositories wait; what is missed is caught up"
        " once. WAL goes on being streamed.",
    )
    return card.buttons(actions.resume(pause.id)).message()
