"""The sender: takes cards that are out of date, renders them from the ledger, posts and edits.

At least once: a post whose answer is lost is made again. So a card goes out without buttons and gains them by an edit once its
timestamp is committed: the twin of a lost answer can never decide anything.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog
from slack_sdk import WebClient

from bot.errors import PitstopError, Unavailable
from bot.ledger import Ledger, attachments, cards
from bot.slack.blocks import Message
from bot.slack.client import SlackAnswered, SlackBusy, call
from bot.slack.files import File, share
from bot.slack.pacing import DECISION_GAP_S, PROGRESS_GAP_S, Pace
from bot.slack.subjects import Policies, parent_of, render

log = structlog.get_logger("pitstop.sender")

POLL_S = 0.25
_LOST = {"message_not_found", "cant_update_message", "edit_window_closed", "message_deleted"}
_MAX_BACKOFF_S = 60.0
_MAX_SILENCE_S = 6.0
"""How long at most between two calls while Slack does not answer at all: it is noticed within seconds that it is back."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a card goes: a channel id (or name, until Slack told its id), and the thread it belongs to."""

    channel: str
    thread_ts: str | None = None


class Sender:
    """Keeps every card equal to the rendering of its ledger row, as fast as Slack allows.

    `channels` maps `results`, `alerts` and `approvals` to channel ids; `policies` gives each cluster's policy; `oncall` is the id
    of whom alerts that page mention.
    """

    def __init__(
        self,
        ledger: Ledger,
        client: WebClient,
        channels: Mapping[str, str],
        policies: Policies,
        now: Callable[[], datetime],
        *,
        clock: Callable[[], float] = time.monotonic,
        oncall: str = "",
    ) -> None:
        self._ledger, self._client, self._now, self._clock = ledger, client, now, clock
        self._channels, self._policies, self._oncall = dict(channels), policies, oncall
        self._pace = Pace()
        self._not_before: dict[int, float] = {}
        self._edited_at: dict[int, float] = {}
        self._failures: dict[int, int] = {}
        self._silent = 0
        self._silent_until = 0.0
        self._dms: dict[str, str] = {}
        self._wake = threading.Event()

    def wake(self) -> None:
        """Look at once instead of after the next quarter of a second."""
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set; cards Slack would not take are tried again once at the start."""
        with self._ledger.transaction() as tx:
            cards.retry(tx)
        while not stop.is_set():
            if not self._step_or_wait():
                self._wake.wait(POLL_S)
                self._wake.clear()

    def drain(self, deadline_s: float = 30.0) -> None:
        """Send until nothing is out of date or the deadline has passed; for the end of a run and for tests."""
        end = self._clock() + deadline_s
        while self._clock() < end and self.pending():
            if not self._step_or_wait():
                time.sleep(0.02)

    def pending(self) -> bool:
        """Say whether a card is out of date that Slack may still take."""
        with self._ledger.read() as tx:
            return bool(cards.stale(tx, 1))

    def step(self) -> bool:
        """Send the first card that may go out now; say whether there was one."""
        if self._clock() < self._silent_until:
            return False
        with self._ledger.read() as tx:
            waiting = cards.stale(tx, 500)
        if (
            self._silent > 1
        ):  # whoever waited longest finds out whether Slack is back, so that no card can stand in its way
            waiting.sort(key=lambda card: self._not_before.get(card.id, 0.0))
        return any(self._try(card) for card in waiting)

    def _step_or_wait(self) -> bool:
        try:
            return self.step()
        except Unavailable as error:
            log.warning("ledger away, waiting", error=error.message)
            time.sleep(1.0)
            return False

    def _try(self, card: cards.Card) -> bool:
        """Send one card if its turn has come; an answer of Slack's that says no is dealt with here."""
        now = self._clock()
        if (self._silent < 2 and now < self._not_before.get(card.id, 0.0)) or not self._rested(card, now):
            return False
        try:
            slot = self._slot(card)
            if slot is None or not self._may(card, slot, now):
                return False
            self._send(card, slot)
            self._answered()
        except SlackBusy as busy:
            self._wait(card, busy)
        except SlackAnswered as refusal:
            self._answered()
            self._refused(card, refusal)
        except Unavailable:
            raise
        except PitstopError as error:
            self._give_up(card, error.message)
        return True

    def _rested(self, card: cards.Card, now: float) -> bool:
        """Say whether a card's last edit is long enough ago; the edit that arms it never waits."""
        if card.ts is None or not card.armed:
            return True
        return now - self._edited_at.get(card.id, -1e9) >= (DECISION_GAP_S if card.urgent else PROGRESS_GAP_S)

    def _may(self, card: cards.Card, slot: Slot, now: float) -> bool:
        if card.ts is None:
            return self._pace.may_post(slot.channel, now)
        return self._pace.may_edit(now, urgent=card.urgent)

    def _slot(self, card: cards.Card) -> Slot | None:
        """Return where a card goes, or None while that is not known yet (its thread has not begun)."""
        if card.channel and card.ts:
            return Slot(card.channel)
        if card.place.startswith("dm:"):
            return Slot(self._dm(card.place.removeprefix("dm:")))
        if card.place.startswith("thread:"):
            with self._ledger.read() as tx:
                parent = parent_of(tx, card.place)
            if parent is None:
                raise SlackAnswered("chat.postMessage", "thread_not_found")
            return Slot(parent.channel, parent.ts) if parent.channel and parent.ts else None
        channel = self._channels.get(card.place)
        if channel is None:
            raise SlackAnswered(
                "chat.postMessage", "channel_not_found", hint=f"No channel is configured for {card.place}."
            )
        return Slot(channel)

    def _dm(self, user: str) -> str:
        if user not in self._dms:
            answer = call(self._client, "conversations.open", users=user)
            self._dms[user] = str(answer["channel"]["id"])
        return self._dms[user]

    def _send(self, card: cards.Card, slot: Slot) -> None:
        if card.subject_kind == "file":
            self._share(card, slot)
            return
        link = self._link(card)
        with self._ledger.read() as tx:
            fresh = cards.get(tx, card.id)
            message = render(tx, fresh, self._policies, link=link, oncall=self._oncall) if fresh else None
        if fresh is None or message is None:
            self._give_up(card, f"nothing knows how to show a {card.subject_kind}")
        elif fresh.ts is None:
            self._post(fresh, slot, message)
        else:
            self._edit(fresh, slot, message)

    def _post(self, card: cards.Card, slot: Slot, message: Message) -> None:
        """Post without buttons, then commit where it went; only then may an edit give it its buttons."""
        with self._ledger.transaction() as tx:
            cards.attempted(tx, card.id, self._now())
        self._pace.posted(slot.channel, self._clock())
        answer = call(
            self._client,
            "chat.postMessage",
            channel=slot.channel,
            thread_ts=slot.thread_ts,
            text=message.text,
            blocks=message.inert.blocks,
            unfurl_links=False,
            unfurl_media=False,
        )
        channel, ts = str(answer["channel"]), str(answer["ts"])
        with self._ledger.transaction() as tx:
            cards.posted(
                tx, card.id, version=card.wanted, channel=channel, ts=ts, armed=not message.live, at=self._now()
            )
        self._pace.posted(channel, self._clock())
        self._failures.pop(card.id, None)

    def _edit(self, card: cards.Card, slot: Slot, message: Message) -> None:
        self._pace.edited(self._clock())
        call(self._client, "chat.update", channel=slot.channel, ts=card.ts, text=message.text, blocks=message.blocks)
        with self._ledger.transaction() as tx:
            cards.edited(tx, card.id, version=card.wanted, at=self._now())
        self._edited_at[card.id] = self._clock()
        self._failures.pop(card.id, None)

    def _share(self, card: cards.Card, slot: Slot) -> None:
        """Share a file; like a post whose answer is lost it may come twice, and is never edited."""
        with self._ledger.transaction() as tx:
            cards.attempted(tx, card.id, self._now())
            found = attachments.find(tx, card.subject)
        if found is None or found.content is None:
            self._give_up(card, "the file is gone")
            return
        self._pace.posted(slot.channel, self._clock())
        file = File(found.name, found.title, found.content, found.alt)
        share(self._client, [file], channel=slot.channel, thread_ts=slot.thread_ts, comment=found.alt)
        with self._ledger.transaction() as tx:
            cards.posted(tx, card.id, version=card.wanted, channel=slot.channel, ts="file", armed=True, at=self._now())
            attachments.shared(tx, card.subject)
        self._failures.pop(card.id, None)

    def _link(self, card: cards.Card) -> str:
        """Return the address of the request's card for a DM that points at it; without one the DM names the channel."""
        if card.subject_kind != "wake" or not card.place.startswith("dm:"):
            return ""
        with self._ledger.read() as tx:
            parent = cards.find(tx, "request", card.subject, "approvals")
        if parent is None or parent.ts is None:
            return ""
        try:
            answer = call(
                self._client, "chat.getPermalink", http_verb="GET", channel=parent.channel, message_ts=parent.ts
            )
        except (SlackAnswered, SlackBusy):
            return ""
        return str(answer.get("permalink", ""))

    def _wait(self, card: cards.Card, busy: SlackBusy) -> None:
        """Back off: as long as Slack says for the method, else doubling, per card and, call after call, for all of them."""
        now = self._clock()
        if not busy.maybe_done:
            self._answered()
            self._pace.blocked("chat.postMessage" if card.ts is None else "chat.update", now + busy.retry_after_s)
            return
        self._silent += 1
        if self._silent > 1:
            self._silent_until = now + min(0.25 * 2 ** min(self._silent, 8), _MAX_SILENCE_S)
        failures = self._failures[card.id] = self._failures.get(card.id, 0) + 1
        self._not_before[card.id] = now + min(0.25 * 2 ** min(failures, 8), _MAX_BACKOFF_S)
        log.warning("slack away", card=card.id, place=card.place, error=busy.message)

    def _answered(self) -> None:
        """Note that Slack is there. After several calls in a row without an answer, no card waits any longer for its turn."""
        if self._silent > 1:
            log.info("slack answers again", calls_without_answer=self._silent)
            self._not_before.clear()
        self._silent, self._silent_until = 0, 0.0

    def _refused(self, card: cards.Card, refusal: SlackAnswered) -> None:
        if card.ts and refusal.slack_error in _LOST:
            with self._ledger.transaction() as tx:
                cards.lost(tx, card.id)
            log.warning("a message is gone, posting it anew", card=card.id, error=refusal.slack_error)
        elif refusal.permanent:
            self._give_up(card, refusal.slack_error)
        else:
            self._not_before[card.id] = self._clock() + 30.0
            log.error("slack refuses the bot", error=refusal.message, hint=refusal.hint)

    def _give_up(self, card: cards.Card, why: str) -> None:
        """Mark a card as one Slack will never take; the monitor makes an alert of it."""
        log.error("a card cannot be delivered", card=card.id, subject=card.subject, place=card.place, why=why)
        with self._ledger.transaction() as tx:
            cards.failed(tx, card.id, why)
