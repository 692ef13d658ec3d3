"""One tree of errors, split by who must act; each carries a stable code and a hint that is a question or a command."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar


class PitstopError(Exception):
    """An expected failure, told to a person in one sentence and one hint.

    Attributes:
        message: what happened, one sentence, no secrets.
        hint: what to do next, a question or a command; may be empty.
        code: stable, for scripts and the audit; the class's default unless given.
        exit_code: what the command line answers with.
        more: further keys of `as_json`, as the ledger kept them.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.reason_code = code or type(self).code
        self.more: dict[str, Any] = {}

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def as_json(self) -> dict[str, Any]:
        """Return the error as `--json` prints it and the ledger keeps it."""
        return {"code": self.reason_code, "message": self.message, "hint": self.hint, **self.more}


class Usage(PitstopError):
    """The person retypes: a word, a time or a setting that cannot be understood or does not exist."""

    code = "usage"
    exit_code = 2


class Unreachable(Usage):
    """A recovery target that cannot be reached; `nearest` are reachable times beside it, aware UTC, earliest first."""

    code = "unreachable"

    def __init__(
        self, message: str, *, hint: str = "", code: str | None = None, nearest: tuple[datetime, ...] = ()
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.nearest = nearest

    def as_json(self) -> dict[str, Any]:
        """Return the error with `nearest` as ISO times."""
        return {**super().as_json(), "nearest": [at.isoformat() for at in self.nearest]}


class Refused(PitstopError):
    """Policy or safety said no; the attempt is in the audit."""

    code = "refused"
    exit_code = 3


class Conflict(PitstopError):
    """Lost a race or something else holds what is needed; safe to look again and retry."""

    code = "conflict"
    exit_code = 1


class Unavailable(PitstopError):
    """Slack, storage or PostgreSQL is away; retried with a deadline."""

    code = "unavailable"
    exit_code = 1


class Failed(PitstopError):
    """The work was done as asked and did not succeed; nothing is damaged, somebody has to look."""

    code = "failed"
    exit_code = 1


class Corruption(PitstopError):
    """A hash, tag or gap says that data is damaged or missing; never retried."""

    code = "corruption"
    exit_code = 4
