"""The hourly WAL check: is everything the server wrote until now durable in each repository, without a hole?"""

from __future__ import annotations

import time
from typing import Any

from bot.config import ClusterConfig
from bot.errors import PitstopError
from bot.host.locks import is_locked
from bot.model.backups import BackupSummary
from bot.model.ids import SystemId
from bot.model.retained_wal import anchor
from bot.model.timelines import Lineage, Stretch, lineage
from bot.model.wal import Fork, Lsn, parse_history, segment_number, segment_start
from bot.model.window import is_usable
from bot.postgres.connect import connect
from bot.postgres.findings import Finding
from bot.postgres.replication import ReplicationConnection
from bot.repository.cluster import ClusterRepository
from jobs.context import JobContext
from jobs.histories import recall
from jobs.repositories import open_for_reading
from jobs.wal.slots import SlotState, read_slot, slot_names
from jobs.wal.spool import spool_of

_LOOK_EVERY_S = 1.0
_WAIT_S = 60.0
_TIGHT_BYTES = 1 << 30


def run(context: JobContext) -> dict[str, Any]:
    """Check the run's cluster; what is wrong is a result, not an error.

    Samples how far the server's WAL goes, then waits (a minute at most) until each repository holds it, without a hole since
    the base backup that the WAL window begins with (older ones keep their own WAL alone). Works on primaries, standbys and idle
    servers alike.

    Returns {"ok", "system_id", "timeline", "server_lsn", "findings": [{"level", "code", "sentence", "fix"}],
    "repositories": {name: {"durable_lsn", "ok", "holes": [[from, to], …]}}}; without "holes" nothing can be said of them.

    Raises:
        Unavailable: the server did not answer, so nothing was checked.
        Usage: a right is missing on the server.
    """
    context.phase("sample")
    cluster = context.config.cluster(context.run.cluster)
    system_id, timeline, lsn = _sample(cluster)
    findings = [*_receiver(context), *_slots(cluster, context.run.cluster)]
    repositories: dict[str, dict[str, Any]] = {}
    context.phase("compare")
    for name in context.config.cluster_repositories(context.run.cluster):
        durable, found, holes = _repository(context, name, SystemId(system_id), timeline, lsn)
        repositories[name] = {"durable_lsn": str(durable), "ok": all(f.level != "fail" for f in found)}
        if holes is not None:
            repositories[name]["holes"] = [[str(start), str(end)] for start, end in holes]
        findings += found
    return {
        "ok": all(finding.level != "fail" for finding in findings),
        "system_id": system_id,
        "timeline": timeline,
        "server_lsn": str(lsn),
        "findings": [finding.as_json() for finding in findings],
        "repositories": repositories,
    }


def _sample(cluster: ClusterConfig) -> tuple[str, int, Lsn]:
    """Return (system identifier, timeline, how far the WAL goes): what is written on a primary, what arrived on a standby."""
    with ReplicationConnection.open(cluster.stream) as conn:
        system_id, timeline, flushed = conn.identify()
    with connect(cluster.stream) as sql:
        row = sql.execute(
            "SELECT CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_lsn()::text END"
        ).fetchone()
    written = Lsn.parse(row[0]) if row and row[0] else flushed
    return system_id, timeline, max(flushed, written)


def _receiver(context: JobContext) -> list[Finding]:
    if is_locked(spool_of(context.config.spool, context.run.cluster).lock_path):
        return [Finding("ok", "receiver", "The WAL receiver runs.")]
    return [
        Finding(
            "fail",
            "receiver-down",
            "No WAL receiver runs: everything since it stopped would be lost with the server.",
            f"pitstop wal stream {context.run.cluster}",
        )
    ]


def _slots(cluster: ClusterConfig, name: str) -> list[Finding]:
    with connect(cluster.stream) as sql:
        states = {slot: read_slot(sql, slot) for slot in slot_pair(name)}
    return [slot_finding(slot, state) for slot, state in states.items()]


def slot_pair(cluster: str) -> tuple[str, str]:
    """Return the names of a cluster's two slots."""
    names = slot_names(cluster)
    return names.stream, names.durable


def slot_finding(name: str, state: SlotState | None) -> Finding:
    """Judge one slot. Pure."""
    if state is None:
        return Finding(
            "fail",
            "slot-missing",
            f"The slot {name} does not exist: the server may drop WAL we need.",
            "Start the WAL receiver; it creates it.",
        )
    if state.lost or state.restart_lsn is None:
        return Finding(
            "fail",
            "slot-lost",
            f"The server gave the slot {name} up: WAL may be missing.",
            "Take a new base backup, and raise max_slot_wal_keep_size.",
        )
    if state.safe_bytes is not None and state.safe_bytes < _TIGHT_BYTES:
        return Finding(
            "warn",
            "slot-tight",
            f"The server gives the slot {name} up after {state.safe_bytes >> 20} MiB more of WAL.",
            "Is the receiver or the repository stuck? `pitstop status`",
        )
    return Finding("ok", "slot", f"The slot {name} keeps WAL from {state.restart_lsn}.")


def _repository(
    context: JobContext, name: str, system_id: SystemId, timeline: int, lsn: Lsn
) -> tuple[Lsn, list[Finding], list[tuple[Lsn, Lsn]] | None]:
    """Return how far one repository is durable, its findings, and its holes where they could be looked for."""
    try:
        repository = open_for_reading(context.config, name, context.run.cluster, system_id)
        recall(context.ledger, repository)
        backups = [b for b in repository.backups() if is_usable(b)]
        line = _line(repository, timeline)
        deadline = time.monotonic() + _WAIT_S
        while True:
            ranges = repository.wal.ranges()
            stretches = line.stretches(ranges, repository.segment_bytes)
            durable = _durable(stretches, lsn)
            if durable >= lsn or time.monotonic() > deadline:
                break
            context.note(f"{name} holds WAL up to {durable} of {lsn}.")
            context.check_cancelled()
            context.wait_cancelled(_LOOK_EVERY_S)
    except PitstopError as error:
        return Lsn(0), [Finding("fail", error.reason_code, f"{name}: {error.message}", error.hint)], None
    since = context.now() - context.config.cluster(context.run.cluster).retention.wal
    window, older = in_window(backups, anchor(backups, line, ranges, since))
    findings = [durable_finding(name, durable, lsn), continuity_finding(name, window, stretches, durable)]
    findings += [own_wal_finding(name, backup) for backup in older if _own_holes(backup, stretches)]
    holes = {hole for backup in older for hole in _own_holes(backup, stretches)}
    return durable, findings, sorted({*holes, *holes_since(window, stretches, durable)})


def in_window(
    backups: list[BackupSummary], first: BackupSummary | None
) -> tuple[list[BackupSummary], list[BackupSummary]]:
    """Tell the backups of the window that begins with `first` from older ones, which keep their own WAL alone. Pure."""
    if first is None:
        return backups, []
    window = [backup for backup in backups if backup.start_lsn >= first.start_lsn]
    return window, [backup for backup in backups if backup.start_lsn < first.start_lsn]


def own_wal_finding(name: str, backup: BackupSummary) -> Finding:
    """Say that a backup from before the WAL window lacks WAL of its own. Pure."""
    return Finding(
        "fail",
        "wal-hole",
        f"{name} lacks WAL of the backup {backup.id} itself: it cannot be restored any more.",
        "Does another repository hold it? Take a new base backup: pitstop backup base CLUSTER",
    )


def _own_holes(backup: BackupSummary, stretches: list[Stretch]) -> list[tuple[Lsn, Lsn]]:
    if any(stretch.covers(backup.start_lsn, backup.end_lsn) for stretch in stretches):
        return []
    return [(backup.start_lsn, backup.end_lsn)]


def _line(repository: ClusterRepository, timeline: int) -> Lineage:
    forks: dict[int, tuple[Fork, ...]] = {
        number: parse_history(data.decode()) for number, data in repository.wal.histories().items()
    }
    return lineage(timeline, forks)


def _durable(stretches: list[Stretch], lsn: Lsn) -> Lsn:
    """Return how far the stretch that leads to `lsn`, or the last one, reaches."""
    return max((stretch.end for stretch in stretches if stretch.start <= lsn), default=Lsn(0))


def durable_finding(name: str, durable: Lsn, lsn: Lsn) -> Finding:
    """Judge whether a repository holds what the server had written. Pure."""
    if durable >= lsn:
        return Finding("ok", "wal-durable", f"{name} holds all WAL up to {lsn}.")
    return Finding(
        "fail",
        "wal-behind",
        f"{name} holds WAL up to {durable}, the server has {lsn}: {(lsn - durable) / (1 << 20):.1f} MiB are missing.",
        "Does the WAL receiver run, and can it write to the repository? `pitstop status`",
    )


def continuity_finding(name: str, backups: list[BackupSummary], stretches: list[Stretch], durable: Lsn) -> Finding:
    """Judge whether WAL is complete from the oldest of these base backups on; name the holes. Pure."""
    if not backups:
        return Finding("warn", "no-backup", f"{name} holds no base backup yet.", "pitstop backup base CLUSTER")
    oldest = _oldest(backups)
    holes = holes_since(backups, stretches, durable)
    if not holes:
        return Finding("ok", "wal-continuous", f"{name} holds all WAL since the backup {oldest.id}.")
    told = ", ".join(f"{start} to {end}" for start, end in holes[:3])
    return Finding(
        "fail",
        "wal-hole",
        f"{name} lacks WAL since the backup {oldest.id}: {told}; recovery cannot pass a hole.",
        "Take a new base backup: pitstop backup base CLUSTER",
    )


def holes_since(backups: list[BackupSummary], stretches: list[Stretch], durable: Lsn) -> list[tuple[Lsn, Lsn]]:
    """Return what is missing since the oldest base backup. Pure."""
    if not backups:
        return []
    oldest = _oldest(backups)
    return holes_after(oldest.start_lsn, stretches, durable, oldest.segment_bytes)


def _oldest(backups: list[BackupSummary]) -> BackupSummary:
    return min(backups, key=lambda backup: backup.start_lsn)


def holes_after(start: Lsn, stretches: list[Stretch], end: Lsn, segment_bytes: int) -> list[tuple[Lsn, Lsn]]:
    """Return what is missing between `start` and `end`, as (from, to). Pure."""
    holes, reached = [], segment_start(segment_number(start, segment_bytes), segment_bytes)
    for stretch in stretches:
        if stretch.start > reached and stretch.end > start:
            holes.append((reached, stretch.start))
        reached = max(reached, stretch.end)
    if reached < end:
        holes.append((reached, end))
    return holes
