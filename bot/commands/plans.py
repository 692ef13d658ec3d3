"""Plans and outcomes as lines for people."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bot.commands.output import say, table, when
from bot.model.requests import Request
from bot.model.typed import shell_word
from bot.slack.text import size, span


def say_plan(request: Request) -> None:
    """Print what would be done and what was true when it was planned."""
    plan = request.plan
    assert plan is not None
    steps, facts = plan.steps, plan.facts
    target = steps.target
    say(f"Request {request.id}: bring {request.cluster} back beside the live one.")
    say(f"  target       {facts.target_text or request.target_text}")
    say(f"               stop before {target.lsn} on timeline {target.timeline}")
    if target.last_commit:
        say(f"               last commit kept: transaction {target.last_commit.xid}, {when(target.last_commit.at)}")
    if target.next_end:
        say(f"               first one left out: transaction {target.next_end.xid}, {when(target.next_end.at)}")
    say(f"  backup       {', '.join(link.backup for link in steps.chain)} from {steps.repository}")
    say(f"  to fetch     {size(facts.bytes_to_fetch)} and {size(facts.wal_bytes)} of WAL")
    say(f"  into         {steps.destination.directory}{_port(steps.destination.port)}")
    say(f"  disk         {size(facts.disk_needed)} needed, {size(facts.disk_free)} free")
    say(f"  takes about  {span(facts.estimate_s) if facts.estimate_s is not None else 'not known yet'}  {facts.basis}")
    say(f"  lives        {span(steps.lifetime_s)}, then it is stopped; its data stays until removed")
    say(f"  overwrites   {', '.join(steps.overwrites) or 'nothing'}")
    for warning in facts.warnings:
        say(f"  note         {warning}")


def _port(port: int | None) -> str:
    return f", 127.0.0.1:{port}" if port else ""


def say_outcome(outcome: dict[str, Any]) -> None:
    """Print what a recovery achieved and how to reach the server."""
    target = outcome.get("target", {})
    say(f"Recovered to {target.get('lsn')} on timeline {target.get('timeline')} in {span(outcome.get('seconds', 0))}.")
    checks = outcome.get("checks") or []
    if checks:
        rows = [("ok" if c.get("ok") else "FAILED", str(c.get("name", "")), str(c.get("detail", ""))) for c in checks]
        table(("", "check", ""), rows, empty="")
    say(f"  data   {outcome.get('directory')}")
    say(f"  psql   psql {shell_word(str(outcome.get('dsn')))}")
    if expires := outcome.get("expires_at"):
        say(f"  until  {when(datetime.fromisoformat(str(expires)))}")
