"""The edge of a handler: nothing escapes it, because Bolt loses the acknowledgement of a listener that raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog

from bot.errors import PitstopError
from bot.slack.blocks import Message
from handlers.payloads import Body, Doer, from_command, from_interaction
from handlers.replies import reply, reply_error
from handlers.wiring import Wiring

log = structlog.get_logger("pitstop.handlers")

Listener = Callable[[Any, Body], None]
WENT_WRONG = "Something went wrong inside Pitstop; it is in its log. Nothing was decided unless a card says so."


def edged(wiring: Wiring, listener: Listener) -> Listener:
    """Return a Bolt listener that acknowledges in any case, and tells the person what went wrong."""

    def guarded(ack: Any, body: Any) -> None:
        try:
            listener(ack, body)
        except Exception as error:  # noqa: BLE001 - the edge of a handler
            ack()
            tell(wiring, doer_of(body), error)

    return guarded


def errand(wiring: Wiring, doer: Doer, work: Callable[[], None]) -> None:
    """Do something that calls Slack or waits, after the acknowledgement and outside of Bolt's threads."""

    def guarded() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the edge of an errand
            tell(wiring, doer, error)

    wiring.errands.submit(guarded)


def tell(wiring: Wiring, doer: Doer, error: Exception) -> None:
    """Tell the person; what was not foreseen is logged in full and told in general."""
    if isinstance(error, PitstopError):
        reply_error(wiring.client, doer, error)
        return
    log.error("a handler failed", person=doer.person, exc_info=error)
    reply(wiring.client, doer, Message(WENT_WRONG))


def doer_of(body: Body) -> Doer:
    """Return who did it, whatever kind of payload it is."""
    return from_command(body) if "command" in body else from_interaction(body)
