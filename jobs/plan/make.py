"""Make a plan: steps that an approval is bound to, and the facts it stands on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from bot.config import Config
from bot.errors import Corruption
from bot.host.passing import passing_folder
from bot.ledger.database import Ledger
from bot.model.destinations import Beside
from bot.model.ids import BackupId, ClusterName
from bot.model.plans import ChainLink, Facts, Plan, Recovery, Steps
from bot.model.targets import Target
from bot.postgres.binaries import Binaries, find
from bot.postgres.resolve import Resolution, resolve
from bot.postgres.wal_reader import WalReader
from bot.repository.manifest import Manifest
from jobs.accounts import copy_account
from jobs.archived import with_retrieval
from jobs.plan.coverage import cover
from jobs.plan.estimate import estimate
from jobs.plan.fit import host_warnings, require_safe_replay
from jobs.plan.holdings import Holdings, open_holdings
from jobs.plan.place import destination as place_for
from jobs.plan.place import disk_needed, require_disk
from jobs.wal.source import WalSource


def make_plan(
    config: Config,
    ledger: Ledger | None,
    *,
    cluster: ClusterName,
    target: Target,
    target_text: str,
    destination: Mapping[str, Any],
    name: str,
    now: datetime,
    on_note: Callable[[str], None] = lambda _: None,
    only: BackupId | None = None,
) -> Plan:
    """Resolve `target`, look at repository and host, and return what would be done. Writes nothing but a scratch folder.

    `destination` is what was asked for: {"kind": "beside", "directory": path or None, "port": number or None}; without a
    directory it becomes `<restore.directory>/<name>` (`name`: the request's id, or any word for a dry run). `ledger` gives
    the live timeline and past durations where there is one. `only` is the one base backup that may be used: then it is restored
    as such (the verb `restore`). Slow: reads the WAL between backup and target.

    Raises:
        Unreachable: the target cannot be had; `nearest` says which times can.
        Usage, Refused: the directory is not empty or not allowed, the port is in use, the disk is too small.
        Unavailable: repository or spool cannot be read, or binaries are missing.
        Corruption: the WAL or the backup's manifest is damaged.
    """
    going_to = place_for(config, destination, name)
    on_note("Looking at the repository")
    holdings = open_holdings(config, ledger, cluster)
    if only is not None:
        kept = tuple(backup for backup in holdings.backups if backup.id == only)
        holdings = replace(holdings, backups=kept)
    resolution, binaries = _resolve(config, holdings, target, now, on_note)
    on_note("Checking this host")
    holdings = nearest(holdings, resolution)
    manifest = _manifest(holdings, resolution)
    verb = "pitr" if only is None else "restore"
    steps = _steps(config, holdings, resolution, manifest, going_to, verb)
    copy_account(config, manifest.body.get("server_facts", {}))  # refuse now what the executor would refuse
    facts = _facts(ledger, holdings, resolution, manifest, binaries, going_to, target_text)
    place = holdings.places[manifest.id]
    return Plan(steps, with_retrieval(facts, config.repositories[place.repository.name], place, manifest.id))


def _resolve(
    config: Config, holdings: Holdings, target: Target, now: datetime, on_note: Callable[[str], None]
) -> tuple[Resolution, Binaries]:
    coverage = cover(
        config.cluster(holdings.cluster), holdings, on_wait=lambda: on_note("Waiting for the newest WAL to arrive")
    )
    line = holdings.line(coverage.ranges)
    versions = [backup.server_version for backup in holdings.backups]
    binaries = find(max(versions) // 10000 if versions else None, extra=config.postgres.bin_directories)
    on_note("Reading the WAL")
    with passing_folder() as scratch:
        reader = WalReader(binaries, holdings.source, line, scratch, ranges=coverage.ranges)
        resolution = resolve(
            target, candidates=holdings.backups, wal=reader, now=now, complete_until=coverage.complete_until
        )
        require_safe_replay(reader, resolution.backup.start_lsn, resolution.target.lsn)
    return resolution, binaries


def nearest(holdings: Holdings, resolution: Resolution) -> Holdings:
    """Read the backup from the nearest repository that has it sound and its WAL up to the target; else from the nearest sound one.

    WAL that a repository lacks is read from the spool and the other repositories all the same.
    """
    backup, end = resolution.backup, resolution.target.lsn
    sound = [repository for summary, repository in holdings.copies.get(backup.id, ()) if not summary.damaged]
    if len(sound) < 2:
        return holdings
    for repository in sound:
        source = WalSource(holdings.spool, [repository.wal], holdings.segment_bytes)
        ranges = source.ranges()
        stretches = holdings.line(ranges).stretches(ranges, holdings.segment_bytes)
        if any(stretch.covers(backup.start_lsn, end) for stretch in stretches):
            return holdings.from_place(backup.id, repository)
    return holdings


def _manifest(holdings: Holdings, resolution: Resolution) -> Manifest:
    """Read the manifest of the chosen backup; it must be the one its summary speaks of."""
    summary = resolution.backup
    manifest = holdings.places[summary.id].manifest(summary.id)
    if manifest.sha256 != summary.manifest_sha256:
        raise Corruption(
            f"The manifest of {summary.id} is not the one its summary was made for.",
            hint=f"Is the repository sound? `pitstop list {holdings.cluster}` shows other backups.",
            code="manifest-differs",
        )
    return manifest


def _steps(
    config: Config, holdings: Holdings, resolution: Resolution, manifest: Manifest, going_to: Beside, verb: str
) -> Steps:
    cluster = config.cluster(holdings.cluster)
    return Steps(
        verb=verb,
        cluster=holdings.cluster,
        system_id=holdings.system_id,
        repository=holdings.places[manifest.id].repository.name,
        chain=(ChainLink(manifest.id, manifest.sha256),),
        work=Recovery(resolution.target, int(config.restore.lifetime.total_seconds())),
        destination=going_to,
        overwrites=(),
        checks=cluster.sql_checks,
        policy_version=cluster.policy.version,
    )


def _facts(
    ledger: Ledger | None,
    holdings: Holdings,
    resolution: Resolution,
    manifest: Manifest,
    binaries: Binaries,
    going_to: Beside,
    target_text: str,
) -> Facts:
    wal_bytes = resolution.target.lsn - resolution.backup.start_lsn
    needed = disk_needed(manifest.bytes_read, wal_bytes)
    guess = estimate(ledger, holdings.cluster, manifest.bytes_read + wal_bytes)
    warnings = host_warnings(manifest.body.get("server_facts", {}), binaries)
    return Facts(
        server_version=binaries.version_num,
        backup_bytes=manifest.bytes_read,
        bytes_to_fetch=manifest.bytes_stored,
        wal_bytes=wal_bytes,
        disk_needed=needed,
        disk_free=require_disk(Path(going_to.directory), needed),
        wal_complete=True,
        estimate_s=guess.seconds,
        basis=guess.basis,
        target_text=target_text,
        warnings=(*resolution.notes, *warnings, *holdings.passed_over(manifest.id), *holdings.away),
    )
