"""`pitstop schedule`, `pitstop pause` and `pitstop resume`: what runs when, and holding it back for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.commands.output import AsJson, say, show, table, when

if TYPE_CHECKING:
    from bot.commands.surroundings import Surroundings
    from bot.ledger import Tx
    from bot.model.ids import ClusterName
    from bot.model.pauses import Pause
    from bot.model.timetable import Line

Cluster = Annotated[str, typer.Argument(metavar="CLUSTER", help="The cluster's name in the configuration.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("schedule")(schedule)
    app.command("pause")(pause)
    app.command("resume")(resume)


def schedule(
    cluster: Annotated[str | None, typer.Argument(metavar="[CLUSTER]", help="One cluster (default: all).")] = None,
    as_json: AsJson = False,
) -> None:
    """Show each scheduled job: when it comes next, and its last run."""
    from bot.commands.surroundings import surroundings
    from bot.model.ids import ClusterName

    here = surroundings()
    names = [here.cluster(cluster, "schedule")[0]] if cluster else [ClusterName(name) for name in here.config.clusters]
    with here.ledger.read() as tx:
        found = {name: _timetable(here, tx, name) for name in names}
    document = {
        "clusters": {
            name: {
                "timezone": here.config.clusters[name].timezone,
                "paused_until": held.until.isoformat() if held else None,
                "jobs": [line.as_json() for line in lines],
            }
            for name, (lines, held) in found.items()
        }
    }
    show(document, lambda: _say_schedule(here, found), as_json=as_json)


def _timetable(here: Surroundings, tx: Tx, name: ClusterName) -> tuple[list[Line], Pause | None]:
    from zoneinfo import ZoneInfo

    from bot.ledger import pauses, runs
    from bot.model.timetable import timetable

    config, now = here.config.clusters[name], here.now()
    held = pauses.current(tx, name, now)
    zone = ZoneInfo(config.timezone)
    return timetable(here.config.crons(name), zone, last=runs.newest(tx, name), pause=held, now=now), held


def _say_schedule(here: Surroundings, found: dict[ClusterName, tuple[list[Line], Pause | None]]) -> None:
    for name, (lines, held) in found.items():
        paused = f", paused until {when(held.until)}" if held else ""
        say(f"{name}, in {here.config.clusters[name].timezone}{paused}")
        rows = [
            (line.job.value, line.cron, when(line.next_at) + (" (paused)" if line.paused else ""), _last(line))
            for line in lines
        ]
        table(("job", "cron", "next", "last"), rows, empty="Nothing is scheduled.")


def _last(line: Line) -> str:
    return f"{line.last.state.value} {when(line.last.finished_at or line.last.queued_at)}" if line.last else "never"


def pause(
    cluster: Cluster,
    span: Annotated[str, typer.Argument(metavar="SPAN", help="How long: 90m, 2h, 1d12h; at most 7 days.")],
    as_json: AsJson = False,
) -> None:
    """Hold CLUSTER's scheduled backups and drills back for a while.

    WAL is streamed and checked all the time; what was missed is caught up once.
    """
    from bot import desk
    from bot.commands.asking import caller_on
    from bot.commands.surroundings import surroundings
    from bot.model.pauses import read_span

    here = surroundings()
    name, _ = here.cluster(cluster, "schedule.pause")
    with here.attempt("schedule.pause", cluster):
        length = read_span(span)
    held = desk.pause(here.ledger, caller_on(here, name, "schedule.pause"), name, span=length)
    show(
        _row(held),
        lambda: say(f"The schedule of {name} is paused until {when(held.until)}; WAL goes on."),
        as_json=as_json,
    )


def resume(cluster: Cluster, as_json: AsJson = False) -> None:
    """End the pause of CLUSTER's schedule; what was due is caught up."""
    from bot import desk
    from bot.commands.asking import caller_on
    from bot.commands.surroundings import surroundings

    here = surroundings()
    name, _ = here.cluster(cluster, "schedule.resume")
    held = desk.resume_schedule(here.ledger, caller_on(here, name, "schedule.resume"), name)
    show(
        _row(held), lambda: say(f"The schedule of {name} goes on; what was missed is caught up once."), as_json=as_json
    )


def _row(held: Pause) -> dict[str, Any]:
    ended = held.ended_at.isoformat() if held.ended_at else None
    return {"cluster": held.cluster, "until": held.until.isoformat(), "ended_at": ended, "by": held.by.key}
