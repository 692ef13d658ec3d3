"""`pitstop wal`: the receiver in the foreground, how far WAL is safe, and what archive_command and restore_command run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.commands.output import AsJson, say, show, table, when

if TYPE_CHECKING:
    from bot.ledger.wal_status import WalStatus

_PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Write-ahead log: stream, status, push, fetch.", rich_markup_mode=None)
    group.command("stream")(stream)
    group.command("status")(status)
    group.command("push", context_settings=_PASS_ON)(push)
    group.command("fetch", context_settings=_PASS_ON)(fetch)
    app.add_typer(group, name="wal")


def stream(
    cluster: Annotated[str, typer.Argument(metavar="CLUSTER", help="The cluster's name in the configuration.")],
) -> int:
    """Receive the WAL of CLUSTER until Ctrl-C. `pitstop run` does it by itself."""
    import signal

    from bot import __version__, desk
    from bot.commands.surroundings import surroundings
    from bot.job import main
    from bot.model.runs import Job

    here = surroundings()
    name, _ = here.cluster(cluster, "wal-stream")
    run = desk.queue_run(
        here.ledger,
        job=Job.WAL_STREAM,
        cluster=name,
        args={"version": __version__},
        by=here.me.key,
        at=here.now(),
        entropy=here.entropy(),
    )
    signal.signal(signal.SIGINT, lambda *_: signal.raise_signal(signal.SIGTERM))
    return main(run.id, here.place.config_path)


def status(
    cluster: Annotated[str | None, typer.Argument(metavar="[CLUSTER]", help="One cluster (default: all).")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how far the WAL of each cluster is received and durable."""
    from bot.commands.surroundings import surroundings
    from bot.ledger import wal_status
    from bot.model.ids import ClusterName

    here = surroundings()
    names = [here.cluster(cluster, "wal-status")[0]] if cluster else [ClusterName(n) for n in here.config.clusters]
    with here.ledger.read() as tx:
        found = [one for name in names for one in wal_status.list(tx, name)]
    head = ("cluster", "repository", "timeline", "server at", "read", "received", "durable", "as of")
    rows = [
        (
            s.cluster,
            s.repository,
            str(s.timeline),
            str(s.server_lsn),
            when(s.server_at),
            str(s.received_lsn),
            str(s.durable_lsn),
            when(s.at),
        )
        for s in found
    ]
    empty = "No WAL was received yet. `pitstop run` streams it, or `pitstop wal stream CLUSTER`."

    def lines() -> None:
        table(head, rows, empty=empty)
        for name in dict.fromkeys(s.cluster for s in found):
            if away := [s.away_since for s in found if s.cluster == name and s.away_since]:
                say(f"{name}: server unreachable since {when(min(away))}; nothing newer is known of it.")

    show({"wal": [wal_row(s) for s in found]}, lines, as_json=as_json)


def wal_row(status: WalStatus) -> dict[str, Any]:
    """Return a receiver's last word as JSON. Pure."""
    return {
        "cluster": status.cluster,
        "repository": status.repository,
        "system_id": status.system_id,
        "timeline": status.timeline,
        "received_lsn": str(status.received_lsn),
        "durable_lsn": str(status.durable_lsn),
        "server_lsn": str(status.server_lsn),
        "recovery_window": list(status.window),
        "at": status.at.isoformat(),
        "server_at": status.server_at.isoformat() if status.server_at else None,
        "server_unreachable_since": status.away_since.isoformat() if status.away_since else None,
    }


def push(context: typer.Context) -> int:
    """For archive_command. `pitstop wal push --spool DIR %p`; reads no configuration."""
    from bot.wal import main

    return main(["push", *context.args])


def fetch(context: typer.Context) -> int:
    """For restore_command. `pitstop wal fetch --spool DIR %f %p`; reads no configuration, has its own exit codes."""
    from bot.wal import main

    return main(["fetch", *context.args])
