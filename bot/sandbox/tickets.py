"""Short-lived permissions: triggers, response URLs, socket tickets; time is passed in."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from bot.sandbox import limits
from bot.sandbox.refusals import SlackError


@dataclass(frozen=True, slots=True)
class Trigger:
    """The right to open one modal for `user`; `view_id` is the modal it came from."""

    user: str
    made_at: float
    view_id: str | None = None


@dataclass(slots=True)
class ResponseUrl:
    """The right to answer an interaction a few times; `original_ts` is the message it started from."""

    user: str
    channel: str
    made_at: float
    original_ts: str | None = None
    thread_ts: str | None = None
    uses: int = 0


@dataclass(slots=True)
class Tickets:
    """All permissions given out; used ones are remembered so that the reason for a refusal is the right one."""

    triggers: dict[str, Trigger] = field(default_factory=dict)
    spent: set[str] = field(default_factory=set)
    response_urls: dict[str, ResponseUrl] = field(default_factory=dict)
    sockets: set[str] = field(default_factory=set)

    def trigger(self, user: str, now: float, view_id: str | None = None) -> str:
        """Give out a trigger."""
        made = f"{int(now * 1000)}.{secrets.randbelow(10**10)}.{secrets.token_hex(16)}"
        self.triggers[made] = Trigger(user, now, view_id)
        return made

    def use_trigger(self, trigger_id: str, now: float) -> Trigger:
        """Spend a trigger.

        Raises:
            SlackError: `invalid_trigger_id`, `trigger_exchanged` or `trigger_expired`.
        """
        if trigger_id in self.spent:
            raise SlackError("trigger_exchanged")
        trigger = self.triggers.get(trigger_id)
        if trigger is None:
            raise SlackError("invalid_trigger_id")
        if now - trigger.made_at > limits.TRIGGER_S:
            raise SlackError("trigger_expired")
        self.spent.add(trigger_id)
        return trigger

    def response_url(self, ticket: ResponseUrl) -> str:
        """Give out the secret last part of a response URL."""
        secret = secrets.token_urlsafe(24)
        self.response_urls[secret] = ticket
        return secret

    def use_response_url(self, secret: str, now: float) -> ResponseUrl:
        """Count one use of a response URL.

        Raises:
            SlackError: `used_url` for an unknown, expired or used up URL.
        """
        ticket = self.response_urls.get(secret)
        if ticket is None or now - ticket.made_at > limits.RESPONSE_URL_S or ticket.uses >= limits.RESPONSE_URL_USES:
            raise SlackError("used_url")
        ticket.uses += 1
        return ticket

    def socket(self) -> str:
        """Give out a ticket for one Socket Mode connection."""
        ticket = secrets.token_urlsafe(24)
        self.sockets.add(ticket)
        return ticket

    def use_socket(self, ticket: str) -> bool:
        """Spend a socket ticket; False when it was never given out or is spent."""
        known = ticket in self.sockets
        self.sockets.discard(ticket)
        return known
