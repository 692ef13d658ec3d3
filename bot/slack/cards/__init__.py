"""Cards: values of the ledger in, messages out. Pure; the sender gathers, the cards render."""

from bot.slack.cards.alert import alert_card, call_card
from bot.slack.cards.digest import digest_card, rehearsal_card
from bot.slack.cards.drill import drill_checklist
from bot.slack.cards.kept import kept_card
from bot.slack.cards.request import RequestView, request_card
from bot.slack.cards.run import run_card, run_progress
from bot.slack.cards.schedule import pause_card
from bot.slack.cards.server import server_card
from bot.slack.cards.wake import wake_card

__all__ = [
    "RequestView",
    "alert_card",
    "call_card",
    "digest_card",
    "rehearsal_card",
    "drill_checklist",
    "kept_card",
    "pause_card",
    "request_card",
    "run_card",
    "run_progress",
    "server_card",
    "wake_card",
]
