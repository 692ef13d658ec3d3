"""`pitstop sync`: bring every repository of a cluster up to what the others hold."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bot.commands.output import AsJson, remark, say, show

_DAMAGE, _FAILED = 4, 1


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sync")(sync)


def sync(
    cluster: Annotated[
        str | None,
        typer.Argument(metavar="[CLUSTER]", help="One cluster (default: all that have several repositories)."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is lacking where; copy nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring each repository up to what the others hold.

    Backups are copied byte for byte, with their WAL and pins; what retention removed does not come back.

    Exit code 4: something is in no repository whole; 1: a repository could not be reached, or not everything could be copied.
    """
    from bot.commands.following import carry_through
    from bot.commands.surroundings import surroundings
    from bot.errors import Usage
    from bot.model.ids import ClusterName
    from bot.model.runs import Job
    from jobs.sync import preview

    here = surroundings()
    several = [ClusterName(name) for name in here.config.clusters if len(here.config.cluster_repositories(name)) > 1]
    names = [here.cluster(cluster, "sync")[0]] if cluster else several
    if not set(names) & set(several):
        raise Usage(
            f"{cluster or 'No cluster'} has {'only' if cluster else 'more than'} one repository.",
            hint="Name another one under [repositories], and in the cluster's `repositories`.",
            code="one-repository",
        )
    results = []
    for name in names:
        if dry_run:
            results.append(preview(here.config, here.ledger, name))
        else:
            results.append(carry_through(here, Job.SYNC, name, {}, quiet=as_json))
    document = results[0] if cluster else {"clusters": results, "ok": all(one["ok"] for one in results)}
    show(document, lambda: _say_all(results), as_json=as_json)
    if any(one["damaged"] for one in results):
        raise typer.Exit(_DAMAGE)
    if not all(one["ok"] for one in results):
        raise typer.Exit(_FAILED)


def _say_all(results: list[dict[str, Any]]) -> None:
    for result in results:
        _say(result)


def _say(result: dict[str, Any]) -> None:
    from bot.slack.text import count, size, span

    for one in result["repositories"]:
        say(f"{one['repository']}: {_came(one, dry_run=result['dry_run'])}")
        for backup in one["lacked"] if result["dry_run"] else []:
            say(f"  lacks       {backup['id']}  {size(backup['bytes_stored'])}")
        for backup in one["copied"]:
            say(
                f"  copied      {backup['id']}  from {backup['from']}, {size(backup['bytes'])} in {span(backup['seconds'])}"
            )
        for left in one["left"]:
            say(f"  not copied  {left['id']}  {left['reason']}")
        if one["behind"]["backups"] and (one["away"] or not result["dry_run"]):
            seen = ", as it was last seen" if one["away"] else ""
            say(f"  still lacks {count(one['behind']['backups'], 'backup')}, {size(one['behind']['bytes'])}{seen}")
    for damage in result["damaged"]:
        say(f"DAMAGED in {damage['repository']}, and nowhere whole: {damage['message']}")
    for problem in result["problems"]:
        remark(f"Problem: {problem}")


def _came(one: dict[str, Any], *, dry_run: bool) -> str:
    from bot.slack.text import count, size

    if one["away"]:
        return "could not be looked at"
    if dry_run:
        lacked = _lacked(one)
        return f"lacks {' and '.join(lacked)}; manifests, indexes and keys come besides" if lacked else "lacks nothing"
    if not one["objects"] and not one["problem"]:
        return "has all that the others hold"
    events = f", {count(int(one['events']), 'pin or other word', 'pins or other words')}" if one["events"] else ""
    return (
        f"{count(len(one['copied']), 'backup')}, {count(int(one['segments']), 'WAL segment')}{events}, "
        f"{size(int(one['bytes']))} in {count(int(one['objects']), 'object')}, manifests, indexes and keys included"
    )


def _lacked(one: dict[str, Any]) -> list[str]:
    """Return what a repository lacks, part by part; nothing where it has all. Pure."""
    from bot.slack.text import count, size

    stored = sum(int(backup["bytes_stored"]) for backup in one["lacked"])
    segments, besides = int(one["lacked_segments"]), int(one["lacked_besides"])
    parts = (
        (len(one["lacked"]), f"{count(len(one['lacked']), 'backup')} ({size(stored)})"),
        (segments, f"{count(segments, 'WAL segment')} ({size(int(one['lacked_segment_bytes']))})"),
        (besides, count(besides, "pin or other small thing", "pins or other small things")),
    )
    return [text for number, text in parts if number]
