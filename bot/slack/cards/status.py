"""What `/backup` answers: how safe each cluster is, its backups, and help. Shown to one person, so without buttons that decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.ledger.wal_status import WalStatus
from bot.model.backups import BackupSummary
from bot.model.copies import Lag
from bot.model.ids import ClusterName
from bot.model.old_backups import OldBackup
from bot.model.pauses import Pause
from bot.model.requests import Request
from bot.model.runs import Run
from bot.model.servers import Server
from bot.slack.blocks import Card, Message
from bot.slack.cards import run as run_cards
from bot.slack.text import code, count, entities, escape, moment, size, span

_MAX_CLUSTERS = 12
_MAX_BACKUPS = 15
_MAX_OLD = 10
_MAX_RANGES = 8


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """What is known about one cluster; `rpo` is the objective's target.

    `away` says why repositories are away, by their names; with `all_away` each one that holds backups is.
    """

    cluster: ClusterName
    backups: Sequence[BackupSummary]
    wal: Sequence[WalStatus]
    running: Sequence[Run] = ()
    last_failure: Run | None = None
    servers: Sequence[Server] = ()
    requests: Sequence[Request] = ()
    rpo: timedelta = timedelta(hours=1)
    pause: Pause | None = None
    shared_disk: bool = False
    lags: Sequence[Lag] = ()
    away: Mapping[str, str] = field(default_factory=dict)
    all_away: bool = False


def status_card(clusters: Sequence[ClusterStatus], *, now: datetime) -> Message:
    """Render how safe the clusters are. Pure; `now` is aware."""
    card = Card("Is everything recoverable?" if len(clusters) != 1 else f"Is {clusters[0].cluster} recoverable?")
    for status in clusters[:_MAX_CLUSTERS]:
        card.lines(f"*{escape(status.cluster, 80)}* {verdict(status, now)}", *_facts(status, now)).divider()
    if not clusters:
        card.lines("No cluster is configured.")
    name = entities(min((status.cluster for status in clusters), default="CLUSTER"))
    return card.note(f"`/backup now {name}` · `/backup list {name}` · `/pitr {name} TARGET` · `/backup help`").message()


def verdict(status: ClusterStatus, now: datetime) -> str:
    """Say in a few words whether a cluster could be brought back now."""
    sound = [backup for backup in status.backups if not backup.damaged and not backup.partial]
    if not sound:
        return "❌ cannot be restored: there is no sound backup"
    if status.all_away:
        return "❌ cannot be restored just now: every repository that holds its backups is away"
    if all(backup.kind == "dump" for backup in sound):
        return "⚠️ back to a dump only: there is no sound base backup"
    if not status.wal:
        return "⚠️ back to a backup only: WAL is not streaming"
    oldest_word = min(wal.at for wal in status.wal)
    if now - oldest_word > max(status.rpo, timedelta(minutes=2)):
        return f"⚠️ WAL was last heard of {span((now - oldest_word).total_seconds())} ago"
    away = [wal.away_since for wal in status.wal if wal.away_since]
    if away:
        return f"⚠️ server unreachable since {moment(min(away))}; recoverable to what was received until then"
    behind = max(max(int(wal.server_lsn) - int(wal.durable_lsn), 0) for wal in status.wal)
    return f"✅ recoverable; {size(behind)} of WAL not durable yet" if behind else "✅ recoverable to its last commit"


def _facts(status: ClusterStatus, now: datetime) -> list[str]:
    return [
        *([f"• ⏸️ The schedule is paused until {moment(status.pause.until)}"] if status.pause else []),
        *_backup_facts(status, now),
        *(_away_fact(name, why) for name, why in list(status.away.items())[:4]),
        *(_copies_fact(lag, now, away=lag.repository in status.away) for lag in status.lags[:4]),
        *(_wal_fact(wal, now) for wal in status.wal[:4]),
        *window_lines(status.wal),
        *(f"• {run_cards.title(run)} {_progress(run)}".rstrip() for run in status.running[:5]),
        *_trouble(status),
        *(f"• Request `{request.id}` is {request.state.value}" for request in status.requests[:5]),
        *(f"• A server beside holds {size(s.size_bytes)} until {moment(s.expires_at)}" for s in status.servers[:5]),
    ]


def _backup_facts(status: ClusterStatus, now: datetime) -> list[str]:
    dumps = [backup for backup in status.backups if backup.kind == "dump" and not backup.partial]
    bases = [backup for backup in status.backups if backup.kind != "dump"]
    if not bases:
        missing = f"• No base backup yet; make one with {code(f'/backup now {status.cluster}', 120)}"
        return [missing, *_last("dump", dumps, now)]
    return [*_last("backup", bases, now), *_last("dump", dumps, now)]


def _last(what: str, backups: Sequence[BackupSummary], now: datetime) -> list[str]:
    if not backups:
        return []
    last = max(backups, key=lambda backup: backup.finished_at)
    age = span((now - last.finished_at).total_seconds())
    damaged = f" ⚠️ damaged: {escape(last.damaged, 200)}" if last.damaged else ""
    many = count(len(backups), what)
    told = f"• Last {what} {age} ago: {code(last.id, 60)}, {size(last.bytes_stored)}; {many} in all{damaged}"
    return [told, _verified(what, backups, last, now)]


def _verified(what: str, backups: Sequence[BackupSummary], last: BackupSummary, now: datetime) -> str:
    """Say which is the newest that a drill proved."""
    proved = [backup for backup in backups if backup.verified_at and not backup.damaged]
    if not proved:
        return f"• No {what} was verified by a drill yet"
    newest = max(proved, key=lambda backup: backup.finished_at)
    assert newest.verified_at is not None
    which = "that one" if newest.id == last.id else code(newest.id, 60)
    return f"• Newest verified {what}: {which}, by a drill {span((now - newest.verified_at).total_seconds())} ago"


def _away_fact(repository: str, why: str) -> str:
    return f"• ⚠️ {code(repository, 60)} is away: {escape(why, 200)}; what it holds is as it was last seen"


def _copies_fact(lag: Lag, now: datetime, *, away: bool) -> str:
    where = code(lag.repository, 60)
    if not lag.backups:
        return f"• Every backup {'was' if away else 'is'} in {where}{' when it was last seen' if away else ''}"
    many = f"{count(len(lag.backups), 'backup')} ({size(lag.bytes_stored)})"
    return f"• ⚠️ {where} lacks {many} that another repository holds, for {span(lag.age(now).total_seconds())}"


def _wal_fact(wal: WalStatus, now: datetime) -> str:
    behind = max(int(wal.server_lsn) - int(wal.durable_lsn), 0)
    read = f"{size(behind)} behind the server as read {span((now - (wal.server_at or wal.at)).total_seconds())} ago"
    return f"• WAL durable in {code(wal.repository, 60)} to `{wal.durable_lsn}`, {read}"


def window_lines(wal: Sequence[WalStatus]) -> list[str]:
    """Say how far back one can go; ranges with holes between them."""
    ranges = [item for status in wal[:1] for item in status.window]
    lines = [
        f"• Back to any time from {_time(item.get('from'))} to {_time(item.get('to'))}"
        for item in ranges[-_MAX_RANGES:]
    ]
    if len(ranges) > _MAX_RANGES:
        lines.insert(0, f"• {len(ranges) - _MAX_RANGES} older ranges: `pitstop list`")
    return lines


def _time(text: str | None) -> str:
    try:
        return moment(datetime.fromisoformat(text or ""))
    except ValueError:
        return escape(text or "?", 40)


def _progress(run: Run) -> str:
    done = f", {size(run.bytes_done)}" if run.bytes_done else ""
    return f"({escape(run.phase, 60)}{done})" if run.phase else ""


def _trouble(status: ClusterStatus) -> list[str]:
    lines = []
    if run := status.last_failure:
        said = str((run.error or {}).get("message", "")) or run.state.value
        lines.append(
            f"• ❌ {escape(run.job.value, 40)} failed at {moment(run.finished_at or run.queued_at)}: {escape(said, 300)}"
        )
    if status.shared_disk:
        lines.append("• ⚠️ spool or repository share the database's disk (`shared_disk = true`)")
    return lines


def list_card(
    cluster: ClusterName,
    backups: Sequence[BackupSummary],
    wal: Sequence[WalStatus],
    *,
    now: datetime,
    old: Sequence[OldBackup] = (),
) -> Message:
    """Render a cluster's backups, newest first, its recovery window, and the `old` files of scripts, the oldest first. Pure."""
    card = Card(f"Backups of {cluster}")
    if not backups:
        card.lines(f"There is none yet. Make one with {code(f'/backup now {cluster}', 120)}.")
    card.lines(*(_backup_line(backup, now) for backup in backups[:_MAX_BACKUPS]))
    if len(backups) > _MAX_BACKUPS:
        card.lines(f"and {len(backups) - _MAX_BACKUPS} older ones: {code(f'pitstop list {cluster}', 120)}")
    card.divider().lines("*Recovery window*", *(window_lines(wal) or [_no_window(backups, wal)]))
    if old:
        card.divider().lines("*Old backups*, made by scripts", *_old_lines(cluster, old, now))
    return card.note(f"Go back with {code(f'/pitr {cluster} TARGET', 120)}").message()


def _old_lines(cluster: ClusterName, old: Sequence[OldBackup], now: datetime) -> list[str]:
    lines = [_old_line(one, now) for one in old[: -_MAX_OLD - 1 : -1]]
    if len(old) > _MAX_OLD:
        lines.append(f"and {len(old) - _MAX_OLD} older ones: {code(f'pitstop list {cluster}', 120)}")
    proving, restoring = code(f"/backup verify {cluster} FILE", 120), code(f"/restore {cluster} FILE into NAME", 120)
    return [*lines, f"Prove one with {proving}, restore it with {restoring}"]


def _old_line(one: OldBackup, now: datetime) -> str:
    age = span((now - one.changed_at).total_seconds())
    became = f"imported as {code(one.imported, 60)}" if one.imported else "not imported"
    proof = f" · ✅ verified {moment(one.verified_at)}" if one.verified_at else ""
    return f"{code(one.path.name, 120)} · {age} old · {size(one.bytes)} · {became}{proof}"


def _no_window(backups: Sequence[BackupSummary], wal: Sequence[WalStatus]) -> str:
    if not any(backup.kind != "dump" for backup in backups):
        return "• nothing can be recovered to a point in time yet: there is no base backup"
    return f"• not known yet{': it is being worked out' if wal else ': WAL has not been streamed'}"


def _backup_line(backup: BackupSummary, now: datetime) -> str:
    marks = [
        f"✅ verified {moment(backup.verified_at)}" if backup.verified_at else "",
        f"❌ damaged: {escape(backup.damaged, 200)}" if backup.damaged else "",
        "📌 pinned" if backup.pinned else "",
    ]
    age = span((now - backup.finished_at).total_seconds())
    facts = [
        f"{escape(backup.kind, 20)}{f' ({escape(backup.partial, 40)})' if backup.partial else ''}, {age} old",
        f"{size(backup.bytes_stored)} stored of {size(backup.bytes_read)}",
    ]
    return f"{code(backup.id, 60)} · " + " · ".join([*facts, *(mark for mark in marks if mark)])
