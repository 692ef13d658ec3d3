"""`pitstop status`: what is safe and what is going on, from the ledger alone."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.commands.output import AsJson, say, show, when

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bot.commands.surroundings import Surroundings
    from bot.config import Config
    from bot.ledger import Tx
    from bot.model.backups import BackupSummary
    from bot.model.ids import ClusterName
    from bot.model.runs import Run


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(status)


def status(
    cluster: Annotated[str | None, typer.Argument(metavar="[CLUSTER]", help="One cluster (default: all).")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how safe each cluster is, and what runs or waits."""
    from bot import __version__
    from bot.commands.surroundings import surroundings
    from bot.model.ids import ClusterName
    from bot.process.leader import leads
    from jobs.away import away

    here = surroundings()
    names = [here.cluster(cluster, "status")[0]] if cluster else [ClusterName(name) for name in here.config.clusters]
    led = leads(here.place.leader_lock)
    apart = away(here.config, here.ledger, names)
    with here.ledger.read() as tx:
        document = {
            "version": __version__,
            "leader": led,
            "clusters": {name: _cluster(here, tx, name, apart[name], led=led) for name in names},
            **_waiting(tx, set(names)),
        }
    show(document, lambda: _say(document), as_json=as_json)


def health(config: Config, path: Path) -> str:
    """Return what is wrong with the bot here: nobody leads, or its ledger does not answer; empty when nothing is."""
    from bot.errors import PitstopError
    from bot.ledger import Ledger, settings
    from bot.process.leader import leads
    from bot.process.place import Place

    if not leads(Place(config, path, ledger := Ledger(config.ledger)).leader_lock):
        return "no bot leads here"
    try:
        with ledger.read() as tx:
            settings.get(tx, "schema")
    except PitstopError as error:
        return error.message
    return ""


def _cluster(here: Surroundings, tx: Tx, name: ClusterName, apart: Mapping[str, str], *, led: bool) -> dict[str, Any]:
    from zoneinfo import ZoneInfo

    from bot.commands.rows import run_row
    from bot.commands.wal import wal_row
    from bot.host.locks import is_locked
    from bot.ledger import catalogue, pauses, runs, wal_status
    from bot.model.runs import Job
    from bot.model.schedule import next_slot
    from jobs.copies import behind, lag_row
    from jobs.wal.spool import spool_of

    config, backups = here.config.clusters[name], catalogue.list(tx, name)
    zone = ZoneInfo(config.timezone)
    proved = [backup for backup in backups if backup.verified_at and not backup.damaged and not backup.partial]
    attempts = {job: _attempt(runs.recent(tx, cluster=name, jobs=(job,))) for job in (Job.BASE_BACKUP, Job.DUMP)}
    return {
        "last_backup": _last([backup for backup in backups if backup.kind != "dump"]),
        "last_attempt": run_row(base) if (base := attempts[Job.BASE_BACKUP]) else None,
        "last_dump": _last([backup for backup in backups if backup.kind == "dump" and not backup.partial]),
        "last_dump_attempt": run_row(dump) if (dump := attempts[Job.DUMP]) else None,
        "newest_verified": {kind: _last([b for b in proved if b.kind == kind]) for kind in ("base", "dump")},
        "backups": len(backups),
        "copies": [lag_row(lag, here.now()) for lag in behind(here.config, tx, name, here.now())],
        "away": dict(apart),
        "wal": [wal_row(one) for one in wal_status.list(tx, name)],
        "receiver": is_locked(spool_of(here.config.spool, name).lock_path),
        "next": {
            job.value: next_slot(cron, zone, after=here.now()).at.isoformat()
            for job, cron in (here.config.crons(name) if led else ())
        },
        "paused_until": pause.until.isoformat() if (pause := pauses.current(tx, name, here.now())) else None,
        "shared_disk": config.shared_disk,
    }


def _attempt(newest_first: Sequence[Run]) -> Run | None:
    """Return the newest try; one that only failed for a name typed wrongly was none."""
    from bot.model.failures import misnamed

    return next((run for run in newest_first if not misnamed(run)), None)


def _last(backups: Sequence[BackupSummary]) -> dict[str, Any] | None:
    return max(backups, key=lambda backup: backup.finished_at).as_json() if backups else None


def _waiting(tx: Tx, names: set[ClusterName]) -> dict[str, Any]:
    from bot.commands.alerts import alert_row
    from bot.commands.rows import request_row, run_row, server_row
    from bot.ledger import alerts, requests, runs, servers
    from bot.model.alerts import AlertState

    standing = [alert for alert in alerts.list(tx) if alert.state is not AlertState.RESOLVED]
    return {
        "alerts": [alert_row(alert) for alert in standing if alert.concern.cluster in {*names, ""}],
        "runs": [run_row(run) for run in runs.unfinished(tx) if run.cluster in names],
        "requests": [request_row(r) for r in requests.recent(tx) if r.cluster in names and not r.state.ended],
        "servers": [server_row(s) for s in servers.list(tx) if s.cluster in names],
    }


def _say(document: dict[str, Any]) -> None:
    if not document["leader"]:
        say("No bot leads here: nothing runs by its schedule. Start one with `pitstop run`.")
    for alert in document["alerts"]:
        who = f" ({alert['state']}: {alert['by']})" if alert["by"] else ""
        say(f"{alert['severity']} {alert['id']}: {alert['sentence']}{who}")
    for name, cluster in document["clusters"].items():
        _say_cluster(name, cluster)
        _say_receiver(cluster, led=document["leader"])
    for run in document["runs"]:
        say(f"{run['cluster']}: {run['job']} {run['state']} {run['phase']} ({run['id']})")
    for request in document["requests"]:
        say(f"{request['cluster']}: request {request['id']} {request['state']}: {request['target_text']}")
    for server in document["servers"]:
        say(f"{server['cluster']}: server {server['id']} {server['state']} until {_time(server['expires_at'])}")


def _say_cluster(name: str, cluster: dict[str, Any]) -> None:
    say(name)
    _say_kind("backup", cluster["last_backup"], cluster["last_attempt"], f"none yet: `pitstop backup base {name}`")
    _say_kind("dump", cluster["last_dump"], cluster["last_dump_attempt"], f"none yet: `pitstop backup dump {name}`")
    for kind, newest in cluster["newest_verified"].items():
        if newest:
            say(f"  verified     {kind} {newest['id']}, by the drill of {_time(newest['verified_at'])}")
    if not any(cluster["newest_verified"].values()):
        say(f"  verified     none yet: `pitstop verify {name}`")
    for repository, why in cluster["away"].items():
        say(f"  repository   {repository} is away: {why}; what it holds is as it was last seen")
    _say_copies(cluster["copies"], cluster["away"], backups=cluster["backups"])
    for wal in cluster["wal"]:
        say(f"  WAL          durable to {wal['durable_lsn']} in {wal['repository']}, as of {_time(wal['at'])}")
    for line in window_lines(cluster["wal"]):
        say(f"  recoverable  {line}")
    if not cluster["wal"]:
        say("  WAL          none received yet")
    if away := [wal["server_unreachable_since"] for wal in cluster["wal"] if wal["server_unreachable_since"]]:
        say(f"  server       unreachable since {_time(min(away))}; nothing newer is known of it")
    if cluster["paused_until"]:
        say(f"  paused       until {_time(cluster['paused_until'])}; WAL goes on")
    for job, at in cluster["next"].items():
        say(f"  next         {job} {_time(at)}")
    if cluster["shared_disk"]:
        say("  note         spool or repository may share the database's disk (shared_disk = true)")


def window_lines(wal: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say how far back each repository goes; once, where all of them go equally far. Pure."""
    windows = {
        one["repository"]: [f"{_time(part['from'])} to {_time(part['to'])}" for part in one["recovery_window"]]
        for one in wal
    }
    if len({tuple(parts) for parts in windows.values()}) == 1:
        return next(iter(windows.values()))
    return [f"{part}, from {repository}" for repository, parts in windows.items() for part in parts]


def _say_copies(lags: Sequence[dict[str, Any]], away: Mapping[str, str], *, backups: int) -> None:
    from bot.slack.text import count, size, span

    if lags and not backups:
        say("  copies       none: there is no backup yet")
        return
    for lag in lags:
        if not lag["backups"]:
            had = "had every backup when it was last seen" if lag["repository"] in away else "has every backup"
            say(f"  copies       {lag['repository']} {had}")
            continue
        lacks = f"lacks {count(lag['backups'], 'backup')} ({size(lag['bytes'])})"
        say(f"  copies       {lag['repository']} {lacks}, behind for {span(lag['seconds'])}; `pitstop sync`")


def _say_receiver(cluster: dict[str, Any], *, led: bool) -> None:
    if not cluster["receiver"]:
        say("  receiver     does not run: WAL is not streamed")
    elif not led:
        say("  receiver     WAL is streamed by `pitstop wal stream`")


def _say_kind(what: str, last: dict[str, Any] | None, attempt: dict[str, Any] | None, otherwise: str) -> None:
    from bot.slack.text import size

    said = f"{last['id']}, {size(last['bytes_stored'])}, finished {_time(last['finished_at'])}" if last else otherwise
    say(f"  {f'last {what}':<12} {said}")
    if attempt and attempt["state"] in {"failed", "interrupted"}:
        reason = (attempt["error"] or {}).get("message", attempt["state"])
        failed = f"{attempt['state']}, {_time(attempt['finished_at'])}: {reason}"
        say(f"  last {'attempt' if what == 'backup' else 'dump try'} {failed}")


def _time(text: str | None) -> str:
    return when(datetime.fromisoformat(text)) if text else "-"
