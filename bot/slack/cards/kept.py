"""The card of a kept database: what it was, how big it is, when it goes, and what can be pressed before that."""

from __future__ import annotations

from bot.model.kept import Kept, KeptState
from bot.slack.blocks import Button, Card, Message
from bot.slack.cards import actions
from bot.slack.text import code, moment, named, size

_TITLES = {
    KeptState.KEPT: "🗑️ A kept database of {} will be removed",
    KeptState.BACK: "↩️ A kept database of {} is in service again",
    KeptState.REMOVED: "🗑️ A kept database of {} is removed",
}


def kept_card(kept: Kept) -> Message:
    """Render a kept database. Pure."""
    card = Card(_TITLES[kept.state].format(kept.cluster), key=f"kept.{kept.id}.{kept.version}")
    card.lines(*kept_lines(kept), f"*Replaced for* {named(kept.owner)} at {moment(kept.kept_at)}")
    return card.note(f"Request `{kept.id}`").buttons(*kept_buttons(kept)).message()


def kept_lines(kept: Kept | None) -> list[str]:
    """Say what is kept and until when."""
    if kept is None:
        return []
    was = f"{code(kept.name, 120)}, which was {code(kept.database, 120)}"
    match kept.state:
        case KeptState.KEPT:
            return [
                f"*Kept* {was}: {size(kept.size_bytes)} on the server's disk, closed to sessions, until {moment(kept.remove_at)}"
            ]
        case KeptState.BACK:
            return [f"*Back* {code(kept.database, 120)} is the database that was kept as {code(kept.name, 120)}"]
        case KeptState.REMOVED:
            return [f"*Removed* {was}; there is no way back to it but a backup"]


def kept_buttons(kept: Kept | None) -> list[Button | None]:
    """Return what can be done with a kept database."""
    if kept is None or kept.state is not KeptState.KEPT:
        return []
    return [actions.undo(kept.id), actions.keep_longer(kept.id), actions.remove_kept(kept.id)]
