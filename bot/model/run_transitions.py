"""How a run goes on: pure functions from one frozen run to the next; a run that ended never changes again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from bot.errors import Conflict
from bot.model.runs import Phase, Run, RunState


class RunNotQueued(Conflict):
    """The run was started before, or ended."""

    code = "run-not-queued"


class RunEnded(Conflict):
    """The run ended; nothing more happens in it."""

    code = "run-ended"


def start_run(run: Run, at: datetime) -> Run:
    """QUEUED → RUNNING."""
    if run.state is not RunState.QUEUED:
        raise RunNotQueued(f"Run {run.id} is {run.state.value}.", hint="`pitstop status`")
    return _moved(run, RunState.RUNNING, started_at=at, progress_at=at)


def advance(
    run: Run, *, at: datetime, phases: Sequence[Phase], bytes_done: int, bytes_total: int | None, note: str
) -> Run:
    """Note how far a running run is."""
    if run.state is not RunState.RUNNING:
        raise RunEnded(f"Run {run.id} is {run.state.value}.", hint="`pitstop status`")
    return _moved(
        run,
        RunState.RUNNING,
        progress_at=at,
        phases=tuple(phases),
        bytes_done=bytes_done,
        bytes_total=bytes_total,
        note=note,
    )


def finish_run(run: Run, result: dict[str, Any], at: datetime) -> Run:
    """RUNNING → SUCCEEDED with its result (JSON)."""
    if run.state is not RunState.RUNNING:
        raise RunEnded(f"Run {run.id} is {run.state.value}.", hint="`pitstop status`")
    return _ended(run, RunState.SUCCEEDED, at, result=result)


def fail_run(run: Run, error: dict[str, Any], at: datetime) -> Run:
    """QUEUED or RUNNING → FAILED with an error's `as_json()`."""
    return _ended(_going(run), RunState.FAILED, at, error=error)


def interrupt_run(run: Run, at: datetime, why: str) -> Run:
    """QUEUED or RUNNING → INTERRUPTED: its process is gone."""
    error = {"code": "interrupted", "message": why or "Its process ended without a word.", "hint": ""}
    return _ended(_going(run), RunState.INTERRUPTED, at, error=error)


def cancel_run(run: Run, at: datetime, why: str) -> Run:
    """QUEUED or RUNNING → CANCELLED: it was asked to stop."""
    error = {"code": "cancelled", "message": why or "It was asked to stop.", "hint": ""}
    return _ended(_going(run), RunState.CANCELLED, at, error=error)


def _going(run: Run) -> Run:
    if run.state.ended:
        raise RunEnded(f"Run {run.id} is {run.state.value}.", hint="`pitstop status`")
    return run


def _ended(run: Run, state: RunState, at: datetime, **changes: Any) -> Run:
    phases = tuple(_closed(phase, at) for phase in run.phases)
    return _moved(run, state, finished_at=at, phases=phases, **changes)


def _closed(phase: Phase, at: datetime) -> Phase:
    return phase if phase.seconds is not None else replace(phase, seconds=(at - phase.started_at).total_seconds())


def _moved(run: Run, state: RunState, **changes: Any) -> Run:
    return replace(run, state=state, version=run.version + 1, **changes)
