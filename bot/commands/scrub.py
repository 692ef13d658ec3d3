"""`pitstop scrub`: read what is stored again now."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bot.commands.output import AsJson, remark, say, show

Cluster = Annotated[str, typer.Argument(metavar="CLUSTER", help="The cluster's name in the configuration.")]

_DAMAGE, _FAILED = 4, 1


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("scrub")(scrub)


def scrub(
    cluster: Cluster,
    everything: Annotated[bool, typer.Option("--all", help="Read everything, whatever the day's budget.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read what is stored of CLUSTER again, and say what is damaged.

    What was read longest ago comes first, within the day's budget. Exit code 4: something is damaged or missing; 1: a
    repository could not be read.
    """
    from bot.commands.following import carry_through
    from bot.commands.surroundings import surroundings
    from bot.model.runs import Job

    here = surroundings()
    name, _ = here.cluster(cluster, "scrub")
    args = {"all": True} if everything else {}
    result = carry_through(here, Job.SCRUB, name, args, quiet=as_json)
    show(result, lambda: _say(result), as_json=as_json)
    if not result["ok"]:
        raise typer.Exit(_DAMAGE if result["damaged"] else _FAILED)


def _say(result: dict[str, Any]) -> None:
    from bot.slack.text import count, size, span

    read = f"{count(result['objects'], 'object')} read, {size(int(result['bytes']))}"
    say(
        f"{read} of {count(result['stored_objects'], 'object')}, {size(int(result['stored_bytes']))}, in {span(result['seconds'])}."
    )
    for damage in result["damaged"]:
        say(f"DAMAGED in {damage['repository']}: {damage['message']}")
    for problem in result["problems"]:
        remark(f"Problem: {problem}")
    say(f"Everything was read or written within the last {span(result['coverage_age_s'])}.")
