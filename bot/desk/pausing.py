"""Pause a cluster's schedule for a while, and resume it; the WAL stream never pauses."""

from __future__ import annotations

from datetime import timedelta

from bot.desk.change import once, permit
from bot.errors import Conflict
from bot.ledger import audit, cards, pauses
from bot.ledger.database import Ledger, Tx, iso
from bot.model.callers import Caller
from bot.model.ids import ClusterName
from bot.model.pauses import Pause
from bot.model.policy import Action


def pause(ledger: Ledger, caller: Caller, cluster: ClusterName, *, span: timedelta) -> Pause:
    """Let nothing heavy begin by schedule for `span` from now; a pause that holds already is replaced by this one.

    Raises:
        Refused: the caller is not one of those who may back up.
    """
    by, at = caller.by, caller.at

    def body(tx: Tx) -> Pause:
        permit(tx, caller, Action.BACK_UP)
        if (before := pauses.current(tx, cluster, at)) is not None:
            _end(tx, before, caller)
        made = Pause(f"{at:%Y%m%dT%H%M%SZ}-{caller.entropy[:4].hex()}", cluster, by, caller.called, at, at + span)
        pauses.insert(tx, made)
        audit.append(tx, at, by.key, "schedule.pause", cluster, {"pause": made.id, "until": iso(made.until)})
        cards.want(tx, "pause", made.id, "results")
        return made

    return once(ledger, caller, "schedule.pause", cluster, body, pauses.get)


def resume_schedule(ledger: Ledger, caller: Caller, cluster: ClusterName) -> Pause:
    """End the pause of a cluster's schedule; what was due meanwhile is caught up once.

    Raises:
        Refused: the caller is not one of those who may back up. Conflict: it is not paused.
    """

    def body(tx: Tx) -> Pause:
        permit(tx, caller, Action.BACK_UP)
        held = pauses.current(tx, cluster, caller.at)
        if held is None:
            raise Conflict(
                f"The schedule of {cluster} is not paused.",
                hint=f"`/backup schedule {cluster}` shows what is due when.",
                code="not-paused",
            )
        ended = _end(tx, held, caller)
        audit.append(tx, caller.at, caller.by.key, "schedule.resume", cluster, {"pause": ended.id})
        return ended

    return once(ledger, caller, "schedule.resume", cluster, body, pauses.get)


def _end(tx: Tx, held: Pause, caller: Caller) -> Pause:
    cards.bump(tx, "pause", held.id)
    return pauses.end(tx, held, caller.by, caller.at)
