"""What the executor and its supervisor say about a claimed request: verifying, succeeded, failed, interrupted, resumed, void."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bot.ledger.database import Ledger
from bot.model.ids import RequestId
from bot.model.requests import Request
from bot.model.runs import Run


def verifying(ledger: Ledger, request_id: RequestId, at: datetime) -> Request:
    """Say that recovery is done and checks run: RUNNING → VERIFYING."""
    raise NotImplementedError


def succeed(ledger: Ledger, request_id: RequestId, result: dict[str, Any], at: datetime) -> Request:
    """End well: VERIFYING → SUCCEEDED; `result` is JSON for people and scripts."""
    raise NotImplementedError


def fail(ledger: Ledger, request_id: RequestId, error: dict[str, Any], at: datetime) -> Request:
    """End badly: RUNNING, VERIFYING or INTERRUPTED → FAILED; `error` is an error's `as_json()`."""
    raise NotImplementedError


def interrupt(ledger: Ledger, request_id: RequestId, at: datetime, why: str = "") -> Request:
    """Say that the process died: PLANNING, RUNNING or VERIFYING → INTERRUPTED."""
    raise NotImplementedError


def resume(ledger: Ledger, request_id: RequestId, *, at: datetime, entropy: bytes) -> Run:
    """Take an interrupted request up again: back to the state it left, with a new queued run (plan or execute) and its locks."""
    raise NotImplementedError


def void(ledger: Ledger, request_id: RequestId, reasons: Sequence[str], at: datetime) -> Request:
    """Say that an approved request is no longer as planned, and why: APPROVED → VOID. `claim` does this by itself."""
    raise NotImplementedError
