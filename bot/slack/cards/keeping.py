"""What retention, scrub and sync say in the results channel: what went and why, how far back one can go, what is damaged."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bot.slack.text import code, count, escape, moment, size, span

_MAX_REMOVED = 20
_MAX_OTHERS = 8


def retention_result(result: dict[str, Any]) -> list[str]:
    """Return the card's lines. Pure."""
    removed = [one for one in result.get("removed", []) if isinstance(one, dict)]
    went = f"{count(len(removed), 'backup')} and {count(_segments(result), 'WAL segment')} went"
    lines = [f"{went}; {size(int(result.get('bytes_freed', 0)))} freed"]
    lines += [_line(one) for one in removed[:_MAX_REMOVED]]
    if len(removed) > _MAX_REMOVED:
        lines.append(f"and {len(removed) - _MAX_REMOVED} more: `pitstop expire CLUSTER --json`")
    for one in [one for one in result.get("repositories", []) if isinstance(one, dict)]:
        lines += _of_repository(one)
    lines += [f"⚠️ {escape(str(text), 300)}" for text in result.get("problems", [])[:_MAX_OTHERS]]
    return lines


def _line(one: dict[str, Any]) -> str:
    where = code(str(one.get("repository", "?")), 60)
    return f"• {code(str(one.get('id', '?')), 60)} in {where}: {escape(str(one.get('reason', '')), 200)}"


def _segments(result: dict[str, Any]) -> int:
    return sum(int(one.get("wal", {}).get("segments", 0)) for one in result.get("repositories", []))


def _of_repository(one: dict[str, Any]) -> list[str]:
    refused, left = one.get("refused", [])[:_MAX_OTHERS], one.get("leftovers", [])[:_MAX_OTHERS]
    lines = [f"⚠️ {code(str(r.get('id', '?')), 60)} stays: {escape(str(r.get('reason', '')), 300)}" for r in refused]
    lines += [
        f"• What was left of {code(str(r.get('id', '?')), 60)}: {escape(str(r.get('state', '')), 20)}, "
        f"{escape(str(r.get('reason', '')), 300)}"
        for r in left
    ]
    after = one.get("recovery_window", {}).get("after", [])
    if after:
        since, until = (moment(datetime.fromisoformat(str(after[-1][key]))) for key in ("from", "to"))
        older = f", and {count(len(after) - 1, 'older range')}" if len(after) > 1 else ""
        lines.append(f"{code(str(one.get('repository', '?')), 60)}: back to any time from {since} to {until}{older}")
    return lines


def scrub_result(result: dict[str, Any]) -> list[str]:
    """Return what a scrub's card says: how much was read, how old the oldest look is, and each damaged object. Pure."""
    damaged = [one for one in result.get("damaged", []) if isinstance(one, dict)]
    read, stored = (size(int(result.get(key, 0))) for key in ("bytes", "stored_bytes"))
    age = span(float(result.get("coverage_age_s", 0)))
    number = count(int(result.get("objects", 0)), "object")
    seen = f"{number} read, {read} of {stored}; nothing was left unread for longer than {age}"
    lines = [f"*{count(len(damaged), 'object')} damaged or missing*" if damaged else seen]
    lines += [
        f"❌ {code(str(d.get('repository', '?')), 60)}: {escape(str(d.get('message', '')), 300)}"
        for d in damaged[:_MAX_REMOVED]
    ]
    if len(damaged) > _MAX_REMOVED:
        lines.append(f"and {len(damaged) - _MAX_REMOVED} more: `pitstop scrub CLUSTER --json`")
    return lines + [f"⚠️ {escape(str(text), 300)}" for text in result.get("problems", [])[:_MAX_OTHERS]]


def sync_result(result: dict[str, Any]) -> list[str]:
    """Return what a sync's card says: what came to each repository, and what is nowhere whole. Pure."""
    damaged = [one for one in result.get("damaged", []) if isinstance(one, dict)]
    lines = []
    for one in [one for one in result.get("repositories", []) if isinstance(one, dict) and not one.get("away")]:
        came = f"{count(len(one.get('copied', [])), 'backup')}, {count(int(one.get('segments', 0)), 'WAL segment')}"
        where = code(str(one.get("repository", "?")), 60)
        lines.append(f"• {where}: {came}, {size(int(one.get('bytes', 0)))} copied")
    lines += [
        f"❌ {code(str(d.get('repository', '?')), 60)}, and nowhere whole: {escape(str(d.get('message', '')), 300)}"
        for d in damaged[:_MAX_REMOVED]
    ]
    return lines + [f"⚠️ {escape(str(text), 300)}" for text in result.get("problems", [])[:_MAX_OTHERS]]
