"""Plans and outcomes as lines for people."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import Any

from bot.commands.output import say, table, when
from bot.model.bring_back import bring_back_line
from bot.model.destinations import Beside, Destination, EmptyTables, InPlace, destination_text
from bot.model.dumps import Part
from bot.model.plans import Facts, Recovery, Steps
from bot.model.requests import Request
from bot.model.restores import Restoration, Undoing
from bot.model.targets import ResolvedTarget
from bot.model.typed import shell_word
from bot.slack.text import count, size, span

_PARTS = {Part.FULL: "whole", Part.SCHEMA_ONLY: "definitions alone", Part.DATA_ONLY: "rows alone"}


def say_plan(request: Request) -> None:
    """Print what would be done and what was true when it was planned."""
    plan = request.plan
    assert plan is not None
    steps, facts = plan.steps, plan.facts
    if isinstance(steps.work, Recovery):
        say(f"Request {request.id}: bring {request.cluster} back beside the live one.")
        say(f"  target       {facts.target_text or request.target_text}")
        _say_stop(steps.work.target)
    elif isinstance(steps.work, Undoing):
        say(f"Request {request.id}: give {request.cluster} the database back that request {steps.work.of} replaced.")
    else:
        say(f"Request {request.id}: restore {request.cluster} from a dump; {_touched(steps)}.")
        say(f"  wanted       {request.target_text}")
        _say_restored(steps.work, facts)
    wal = f" and {size(facts.wal_bytes)} of WAL" if facts.wal_bytes else ""
    free = f"{size(facts.disk_free)} free" if facts.disk_free is not None else "what is free cannot be seen from here"
    if facts.made_at:
        say(f"  planned      {when(facts.made_at)}; what follows is as of then")
    if steps.chain:
        say(f"  backup       {', '.join(link.backup for link in steps.chain)} from {steps.repository}")
        say(f"  to fetch     {size(facts.bytes_to_fetch)}{wal}")
    say(f"  into         {destination_text(steps.destination)}{_port(steps.destination)}")
    say(f"  disk         {size(facts.disk_needed)} needed, {free}")
    say(f"  takes about  {span(facts.estimate_s) if facts.estimate_s is not None else 'not known'}  {facts.basis}")
    if isinstance(steps.work, Recovery):
        say(f"  lives        {span(steps.work.lifetime_s)}, then it is stopped; its data stays until removed")
    _say_in_place(steps, facts)
    say(f"  overwrites   {', '.join(steps.overwrites) or 'nothing'}")
    for warning in facts.warnings:
        say(f"  note         {warning}")


def _touched(steps: Steps) -> str:
    match steps.destination:
        case InPlace():
            return "in place"
        case EmptyTables():
            return "nothing is overwritten"
        case _:
            return "nothing that exists is touched"


def _say_in_place(steps: Steps, facts: Facts) -> None:
    if not isinstance(steps.destination, InPlace) or isinstance(steps.work, Recovery):
        return
    say(f"  kept as      {steps.destination.kept}")
    if facts.lost is not None:
        say(f"  gives up     what was written since {when(datetime.fromisoformat(facts.lost.since))}")
        say(f"  ends         {facts.lost.connections} sessions of now")
    hooks = steps.work.hooks
    for word, commands in (("before", hooks.before), ("after", hooks.after)):
        for command in commands:
            say(f"  {word:<12} {shlex.join(command)}")
    if hooks.health_url:
        say(f"  then asks    {hooks.health_url}")


def _say_stop(target: ResolvedTarget) -> None:
    say(f"               stop before {target.lsn} on timeline {target.timeline}")
    if target.last_commit:
        say(f"               last commit kept: transaction {target.last_commit.xid}, {when(target.last_commit.at)}")
    else:
        say("               last commit kept: none after the base backup: its own state comes back")
    if target.next_end:
        say(f"               first one left out: transaction {target.next_end.xid}, {when(target.next_end.at)}")


def _say_restored(work: Restoration, facts: Facts) -> None:
    rows = f", {count(facts.rows, 'row')}" if facts.rows is not None and work.part is not Part.SCHEMA_ONLY else ""
    what = [count(len(work.tables), "table")] if work.tables else []
    if not what or work.part is not Part.FULL:
        what.append(_PARTS[work.part])
    say(f"  database     {work.database}: {', '.join(what)}{rows}")
    for one in work.tables:
        say(f"  table        {one.full_name}")


def _port(destination: Destination) -> str:
    return f", 127.0.0.1:{destination.port}" if isinstance(destination, Beside) and destination.port else ""


def say_outcome(outcome: dict[str, Any]) -> None:
    """Print what a recovery or a restore achieved and how to reach what it brought."""
    target, seconds = outcome.get("target", {}), span(outcome.get("seconds", 0))
    if kept := outcome.get("kept"):
        say_swapped(outcome, str(kept), seconds)
        return
    if target:
        say(f"Recovered to {target.get('lsn')} on timeline {target.get('timeline')} in {seconds}.")
    else:
        chosen = outcome.get("chosen_tables")
        tables = f"{count(len(chosen), 'table')} of " if chosen else ""
        say(f"Restored {tables}{outcome.get('from_database')} from {outcome.get('backup')} in {seconds}.")
    _say_checks(outcome)
    for sentence in (*outcome.get("left_out", ()), *outcome.get("warnings", ()), *outcome.get("elsewhere", ())):
        say(f"  note   {sentence}")
    if directory := outcome.get("directory"):
        say(f"  data   {directory}")
    elif schema := outcome.get("schema"):
        say(f"  into   the schema {schema} of {outcome.get('database')}")
    say(f"  psql   psql {shell_word(str(outcome.get('dsn')))}")
    if host := outcome.get("host"):
        say(f"  where  on {host} as {outcome.get('user')}")
        say(f"  table  {bring_back_line(str(outcome.get('dsn')), outcome)}")
    if expires := outcome.get("expires_at"):
        say(f"  until  {when(datetime.fromisoformat(str(expires)))}")


def say_swapped(outcome: dict[str, Any], kept: str, seconds: str) -> None:
    """Print what a restore in place or an undo did: which database serves, what is kept, what was said around it."""
    origin = outcome.get("backup") or "what was kept"
    say(f"The database {outcome.get('database')} is now {origin}, in {seconds}.")
    _say_checks(outcome)
    for hook in outcome.get("hooks", ()):
        say(f"  {hook.get('when', ''):<6} {hook.get('command')}: {hook.get('trouble') or 'done'}")
    for sentence in (*outcome.get("warnings", ()), *outcome.get("elsewhere", ())):
        say(f"  note   {sentence}")
    say(f"  kept   {kept} until {when(datetime.fromisoformat(str(outcome.get('kept_until'))))}")
    say(f"  back   pitstop kept undo {outcome.get('request')}")


def _say_checks(outcome: dict[str, Any]) -> None:
    words = {True: "ok", False: "FAILED"}
    rows = [
        (words.get(c.get("ok"), ""), str(c.get("name", "")), str(c.get("detail", "")))
        for c in outcome.get("checks") or []
    ]
    if rows:
        table(("", "check", ""), rows, empty="")
