"""Slack's speed limits as one value: when the next post or edit may go out. Pure: the time is passed in (seconds, monotonic).

Sources: https://docs.slack.dev/apis/web-api/rate-limits (a message a second per channel; chat.update is Tier 3, 50 a minute).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

POST_GAP_S = 1.05
PROGRESS_GAP_S = 5.0
DECISION_GAP_S = 1.05
EDITS_PER_MINUTE = 48
EDITS_KEPT_FOR_DECISIONS = 12


@dataclass(slots=True)
class Pace:
    """What was sent when. Posts: one a second per channel. Edits: 48 a minute, the last 12 of them for decisions."""

    _posts: dict[str, float] = field(default_factory=dict)
    _edits: deque[float] = field(default_factory=deque)
    _blocked: dict[str, float] = field(default_factory=dict)

    def may_post(self, channel: str, now: float) -> bool:
        """Say whether a message may be posted to a channel now."""
        return now >= self._blocked.get("chat.postMessage", 0) and now - self._posts.get(channel, -1e9) >= POST_GAP_S

    def may_edit(self, now: float, *, urgent: bool) -> bool:
        """Say whether a message may be edited now."""
        while self._edits and now - self._edits[0] >= 60:
            self._edits.popleft()
        room = EDITS_PER_MINUTE - (0 if urgent else EDITS_KEPT_FOR_DECISIONS)
        return now >= self._blocked.get("chat.update", 0) and len(self._edits) < room

    def posted(self, channel: str, now: float) -> None:
        """Note a post, answered or not."""
        self._posts[channel] = now

    def edited(self, now: float) -> None:
        """Note an edit, answered or not."""
        self._edits.append(now)

    def blocked(self, method: str, until: float) -> None:
        """Note that Slack asked to wait with a method (429 blocks one method, not the others)."""
        self._blocked[method] = max(self._blocked.get(method, 0), until)
