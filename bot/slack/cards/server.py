"""The card of a server beside, in its request's thread: how to look at it, its disk, until when, and what can be pressed."""

from __future__ import annotations

from bot.model.servers import Server, ServerState
from bot.slack.blocks import Card, Message
from bot.slack.cards.request import server_buttons
from bot.slack.cards.result import server_lines
from bot.slack.text import named

_TITLES = {
    ServerState.RUNNING: "🗄️ The copy of {} is running",
    ServerState.STOPPED: "🗄️ The copy of {} is stopped",
    ServerState.REMOVED: "🗄️ The copy of {} is removed",
}


def server_card(server: Server) -> Message:
    """Render a server beside. Pure."""
    card = Card(_TITLES[server.state].format(server.cluster), key=f"server.{server.id}.{server.version}")
    card.lines(f"*For* {named(server.owner)}", *server_lines(server))
    return card.note(f"Request `{server.id}`").buttons(*server_buttons(server)).message()
