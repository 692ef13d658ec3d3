"""Messages: cards that Slack refused for good, and notices the fallback refused. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from bot.model.alerts import Concern, Severity


def undelivered(refused: Iterable[tuple[int, str, str]]) -> list[Concern]:
    """Say which places Slack takes no messages for; `refused` are (card, place, why) of cards it will never take, in order.

    One alert per place: `approvals`, `results`, `alerts`, somebody's direct messages.
    """
    found = list(refused)
    counts, why = Counter(place for _, place, _ in found), {place: word for _, place, word in found}
    newest = {place: card for card, place, _ in found}
    return [
        Concern(
            "undelivered",
            "",
            place,
            Severity.PAGE if place in {"alerts", "approvals"} else Severity.WARN,
            f"Slack refused {number} message{'s' * (number != 1)} for {place}: {why[place]}.",
            "Is the channel right, open, and Pitstop invited to it? Run `pitstop check`, then restart the bot to send again.",
            occurrence=str(newest[place]),
        )
        for place, number in sorted(counts.items())
    ]


def fallback_down(error: str) -> list[Concern]:
    """Say that the fallback took nothing: whoever should be woken outside Slack is not."""
    fix = "Are the addresses under [notify] right, and can this host reach them? `pitstop check`"
    return [Concern("fallback", "", "", Severity.WARN, error, fix)]
