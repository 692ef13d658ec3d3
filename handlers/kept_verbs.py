"""Kept databases from Slack: kept longer, or removed. From an item of the inbox to one verb of the desk."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from bot import desk
from bot.errors import Conflict
from bot.ledger import inbox
from bot.ledger import kept as rows
from bot.model.ids import RequestId
from bot.model.kept import Kept
from bot.slack.blocks import Message
from bot.slack.cards import actions
from handlers.facts import card_shows, policy_of, told_of
from handlers.payloads import Doer
from handlers.wiring import Wiring

LONGER = timedelta(days=7)


def _extend(wiring: Wiring, item: inbox.Item, doer: Doer) -> None:
    kept = _pressed(wiring, item, doer)
    told = told_of(wiring, doer, policy_of(wiring, kept.cluster))
    desk.extend_kept(
        wiring.ledger, key=item.key, request_id=kept.id, by=doer.who, at=wiring.now(), extension=LONGER, **told
    )


def _remove(wiring: Wiring, item: inbox.Item, doer: Doer) -> None:
    kept = _pressed(wiring, item, doer)
    told = told_of(wiring, doer, policy_of(wiring, kept.cluster))
    entropy = wiring.entropy(16)
    desk.remove_kept(
        wiring.ledger, key=item.key, request_id=kept.id, by=doer.who, at=wiring.now(), entropy=entropy, **told
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
}
