"""How the workspace says no: to the app as the Web API does, and to people as Slack's own client does."""

from __future__ import annotations

from typing import Any


class SlackError(Exception):
    """A Web API answer with `ok: false`; `detail` is merged into it."""

    def __init__(self, code: str, **detail: Any) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail

    def as_json(self) -> dict[str, Any]:
        """Return the answer's body."""
        return {"ok": False, "error": self.code, **self.detail}


class InvalidBlocks(SlackError):
    """Blocks, a view or an ack that break a rule; `problems` carry JSON pointers."""

    def __init__(self, problems: list[str], code: str = "invalid_blocks") -> None:
        told = [f"[ERROR] {problem}" for problem in problems]
        super().__init__(code, errors=problems, response_metadata={"messages": told})
        self.problems = problems


class RateLimited(Exception):
    """HTTP 429; try again in `retry_after_s` whole seconds."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"retry after {retry_after_s} s")
        self.retry_after_s = retry_after_s


class NotPossible(Exception):
    """What a person cannot do here; `code` is stable, the message is for the person."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
