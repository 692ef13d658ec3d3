"""Kept databases from Slack: kept longer, or removed. From an item of the inbox to one verb of the desk."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from bot import desk
from bot.errors import Conflict
from bot.ledger import inbox
from bot.ledger import kept as rows
from bot.model.destinations import InPlace
from bot.model.ids import RequestId
from bot.model.kept import Kept
from bot.model.restores import Wanted
from bot.slack.blocks import Message
from bot.slack.cards import actions
from handlers.facts import caller_on, card_shows
from handlers.payloads import Doer
from handlers.wiring import Wiring

LONGER = timedelta(days=7)


def _extend(wiring: Wiring, item: inbox.Item, doer: Doer) -> None:
    kept = _pressed(wiring, item, doer)
    desk.extend_kept(wiring.ledger, caller_on(wiring, item, doer, kept.cluster), kept.id, extension=LONGER)


def _remove(wiring: Wiring, item: inbox.Item, doer: Doer) -> None:
    kept = _pressed(wiring, item, doer)
    desk.remove_kept(wiring.ledger, caller_on(wiring, item, doer, kept.cluster), kept.id)


def _undo(wiring: Wiring, item: inbox.Item, doer: Doer) -> Message:
    """Ask for the database back: a request like any other, whose plan comes to the person who pressed."""
    kept = _pressed(wiring, item, doer)
    request = desk.ask(
        wiring.ledger,
        caller_on(wiring, item, doer, kept.cluster),
        verb="undo",
        cluster=kept.cluster,
        target=Wanted(kept.id, kept.database),
        target_text=f"{kept.database} as kept by request {kept.id}",
        destination={"kind": InPlace.kind, "database": kept.database},
        reason="",
        asked_in=doer.channel or None,
    )
    return Message(
        f"Making a plan to undo it. It comes to you as a direct message in a moment (request `{request.id}`)."
    )


def _pressed(wiring: Wiring, item: inbox.Item, doer: Doer) -> Kept:
    """Return the kept database whose card was pressed, or whose request's."""
    request = RequestId(str(item.payload["request"]))
    card_shows(wiring, doer, request, kinds=("request", "kept"))
    with wiring.ledger.read() as tx:
        kept = rows.find(tx, request)
    if kept is None:
        raise Conflict(f"Request {request} keeps no database.", code="unknown-kept")
    return kept


VERBS: dict[str, Callable[[Wiring, inbox.Item, Doer], Message | None]] = {
    actions.KEPT_EXTEND: _extend,
    actions.KEPT_REMOVE: _remove,
    actions.UNDO: _undo,
}
