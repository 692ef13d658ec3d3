"""From an item of the inbox to one verb of the desk, with facts about the person fetched just now."""

from __future__ import annotations

from bot.errors import Refused, Usage
from bot.ledger import inbox
from bot.slack.blocks import Message
from handlers import alert_verbs, backup_verbs, kept_verbs, rehearsal, request_verbs, restore
from handlers.facts import explained
from handlers.payloads import Doer
from handlers.wiring import Wiring


def carry_out(wiring: Wiring, item: inbox.Item) -> Message | None:
    """Do what an item says; return what to tell the person, or None when the card tells it. Idempotent by the item's key.

    Raises:
        SlackBusy: Slack could not be asked about the person; try again.
        Usage, Refused, Conflict: it will not be done; the attempt is audited.
    """
    doer = Doer.from_json(item.payload)
    verb = VERBS.get(item.kind)
    if verb is None:
        raise Usage(
            f"This version does not know {item.kind}.", hint="See `/backup help` or `/pitr help`.", code="unknown-kind"
        )
    try:
        return verb(wiring, item, doer)
    except Refused as error:
        raise explained(wiring, doer, error) from None


VERBS = {
    **request_verbs.VERBS,
    **backup_verbs.VERBS,
    **kept_verbs.VERBS,
    **alert_verbs.VERBS,
    **rehearsal.VERBS,
    **restore.VERBS,
}
"""The kinds of items there are, each with what carries it out."""
