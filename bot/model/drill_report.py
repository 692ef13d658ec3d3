"""A drill's report as a page that people can keep. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from bot.model.drills import Point, Proof

_MARKS = {True: "[x]", False: "[ ] **no**", None: "[ ] not judged"}


def as_markdown(proof: Proof, at: datetime) -> str:
    """Return the checklist with its answers, the times phase by phase, and what was restored."""
    outcome = "passed" if proof.ok else "failed"
    made = (
        f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC, from the repository {proof.repository}; "
        f"{proof.bytes:,} bytes of files and {proof.wal_bytes:,} of WAL in {proof.seconds:.1f} s."
    )
    lines = [
        f"# Drill of {proof.backup}: {outcome}",
        "",
        made,
        "",
        *(_line(point) for point in proof.points),
        "",
        *(f"- {name}: {seconds:.1f} s" for name, seconds in proof.phases),
    ]
    if proof.warnings:
        lines += ["", *(f"> {_plain(text)}" for text in proof.warnings)]
    return "\n".join(lines) + "\n"


def _line(point: Point) -> str:
    return f"- {_MARKS[point.ok]} {point.question.value}: {_plain(point.detail)}"


def _plain(text: str) -> str:
    """Return text on one line; names of tables may contain anything."""
    return " ".join(text.split()).replace("`", "'")
