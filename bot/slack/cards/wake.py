"""The second call for a decision: by DM to each approver, and once more in the thread."""

from __future__ import annotations

from bot.model.requests import Request, State
from bot.model.transitions import MAX_REASON
from bot.slack.blocks import Card, Message
from bot.slack.cards.plan import target_line
from bot.slack.text import escape, mention_approver, moment, named


def wake_card(request: Request, *, place: str, approvers: tuple[str, ...] = (), link: str = "") -> Message:
    """Render the call for `dm:<user>` or the request's thread; without buttons: the plan is read on the card. Pure."""
    waiting = request.state is State.PENDING
    title = (
        f"🔔 A recovery of {request.cluster} waits for your decision"
        if waiting
        else f"A recovery of {request.cluster} was decided"
    )
    card = Card(title, key=f"wake.{request.id}.{request.version}")
    if not waiting:
        return (
            card.lines(f"It is {request.state.value} now; nothing is left to do here.")
            .note(f"Request `{request.id}`")
            .message()
        )
    if place.startswith("thread:"):
        asked = [found for entry in approvers[:10] if (found := mention_approver(entry))]
        card.lines(f"{', '.join(asked) or 'Approvers'}: nobody has decided yet.")
    card.lines(
        f"{named(request.requester)} ({escape(request.requester_name, 80)}) asks: {escape(request.reason, MAX_REASON)}",
        target_line(request.target, request.target_text),
        f"It lapses at {moment(request.expires_at)}." if request.expires_at else "",
    )
    if place.startswith("dm:"):
        card.lines(
            f"<{link}|Read the plan and decide>" if link else "Read the plan and decide in the approvals channel."
        )
    return card.note(f"Request `{request.id}`").message()
