"""Cards of drills: which backups were proved and how long it took; the whole checklist in the thread."""

from __future__ import annotations

from typing import Any

from bot.model.runs import Run, RunState
from bot.slack.blocks import Card, Message
from bot.slack.text import code, escape, size, span

_MARKS = {True: "✅", False: "❌", None: "▫️"}
_MAX_PROOFS = 4
_MAX_POINTS = 30
_MAX_PHASES = 20


def drill_failed(run: Run) -> bool:
    """Say whether a drill came to its end and found something wrong."""
    return run.state is RunState.SUCCEEDED and not (run.result or {}).get("ok", False)


def drill_result(result: dict[str, Any]) -> list[str]:
    """Return what the card says: each backup by its exact id, what was answered with no, and the times."""
    return [line for proof in _proofs(result) for line in _summary(proof)] + [
        f"⚠️ {escape(str(text), 300)}" for text in result.get("warnings", [])[:4]
    ]


def drill_checklist(run: Run) -> Message:
    """Render the checklist point by point, and the time phase by phase, for the thread. Pure."""
    card = Card(f"Checklist of the drill of {run.cluster}", key=f"{run.id}.{run.version}.checklist"[:200])
    for proof in _proofs(run.result or {}):
        shown = proof.get("points", [])
        card.lines(f"*{code(str(proof.get('backup', '?')), 60)}* from {code(str(proof.get('repository', '?')), 60)}")
        card.lines(*(_point(point) for point in shown[:_MAX_POINTS]))
        if len(shown) > _MAX_POINTS:
            card.lines(f"and {len(shown) - _MAX_POINTS} more: `pitstop verify --json`")
        phases = proof.get("phases", [])[:_MAX_PHASES]
        card.lines("*Times* " + ", ".join(f"{escape(p['name'], 60)} {span(p['seconds'])}" for p in phases)).divider()
    return card.message()


def _proofs(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [proof for proof in result.get("proofs", []) if isinstance(proof, dict)][:_MAX_PROOFS]


def _summary(proof: dict[str, Any]) -> list[str]:
    newest = {True: ", the newest", False: ", *not the newest*"}.get(proof.get("newest"), "")  # type: ignore[arg-type]
    mark = "✅ verified" if proof.get("verified") else "❌ *not verified*"
    lines = [f"{mark}: {code(str(proof.get('backup', '?')), 60)}{newest}"]
    points = [point for point in proof.get("points", []) if isinstance(point, dict)]
    lines += [_point(point) for point in points if point.get("ok") is False]
    open_ = sum(point.get("ok") is None for point in points)
    said = f"{sum(point.get('ok') is True for point in points)} of {len(points)} points passed"
    said += f", {open_} not judged" if open_ else ""
    if seconds := proof.get("seconds"):
        wal = size(int(proof.get("wal_bytes", 0)))
        said += f"; restored {size(int(proof.get('bytes', 0)))} and {wal} of WAL in {span(seconds)}"
    return [*lines, said]


def _point(point: dict[str, Any]) -> str:
    mark = _MARKS.get(point.get("ok"), "▫️")
    return f"{mark} *{escape(str(point.get('name', '')), 60)}* {escape(str(point.get('detail', '')), 400)}"
