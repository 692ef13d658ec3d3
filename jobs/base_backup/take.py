"""The BASE_BACKUP job, phase by phase."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from bot.config import ClusterConfig
from bot.errors import Corruption, Usage
from bot.host.locks import is_locked
from bot.model.backups import BackupSummary
from bot.model.ids import SystemId, backup_id
from bot.postgres.base_backup import Damage, stream_base_backup
from bot.postgres.replication import ReplicationConnection
from bot.postgres.server_facts import ServerFacts, server_facts
from bot.repository.backup_writer import BackupWriter
from jobs.base_backup.copying import Copied, copy_into
from jobs.base_backup.own_wal import OwnWal
from jobs.base_backup.wal_durable import wait_until_durable
from jobs.context import JobContext
from jobs.live import announce, being_written
from jobs.places import Places, open_places
from jobs.runbook import renew_runbook
from jobs.wal.spool import spool_of

_UNFINISHED_AFTER = timedelta(hours=6)


def run(context: JobContext) -> dict[str, Any]:
    """Back the run's cluster up into its first repository, or the one named in the run's `repository` argument; or into all.

    1. Prepare: connect, read what a restore will need, open the repository, and keep WAL on the server if no receiver does.
    2. Copy: data directory and tablespaces, compressed and encrypted while they arrive.
    3. WAL: wait until everything from the backup's start to its end is durable in the same repository.
    4. Finish: the manifest, last.

    Returns {"id", "kind", "cluster", "repository", "repositories", "not_in", "bytes_read", "bytes_stored", "seconds", "timeline",
    "start_lsn", "end_lsn", "warnings"}.

    Raises:
        Usage: a right or a setting is missing on the server; the hint has the line to put right.
        Unavailable: server or repository is away, or WAL did not become durable.
        Corruption: `damaged-pages`, the backup was kept, marked damaged; file and block are named.
    """
    context.phase("prepare")
    with _Backup(context) as backup:
        summary = backup.take()
    return backup.result(summary)


class _Backup:
    """One backup being taken; as a context manager it ends its connections."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._cluster: ClusterConfig = context.config.cluster(context.run.cluster)
        self._started_at = context.now()
        self._id = backup_id("base", at=self._started_at, entropy=os.urandom(2))
        self._conn = ReplicationConnection.open(
            self._cluster.stream, application_name="pitstop base backup", on_wait=context.check_cancelled
        )
        self._own_wal: OwnWal | None = None
        self._copied: Copied | None = None
        self._places: Places | None = None

    def __enter__(self) -> _Backup:
        return self

    def __exit__(self, *_: object) -> None:
        if self._own_wal is not None:
            self._own_wal.close()
        self._conn.close()

    def take(self) -> BackupSummary:
        """Take the backup; see `run`."""
        system_id, _, _ = self._conn.identify()
        facts = _facts(self._cluster)
        self._places = places = self._open(system_id, facts.segment_bytes)
        announce(self._context, self._id)
        live = being_written(self._context.ledger, self._context.run.cluster)
        before = self._started_at - _UNFINISHED_AFTER
        places.each(lambda repository: repository.delete_unfinished(before, live=live))
        if not self._receiver_runs():
            self._own_wal = OwnWal(self._cluster.stream, places, on_wait=self._context.check_cancelled)
        with places.cluster.begin(self._id, workers=self._cluster.workers or None) as writer:
            self._context.phase("checkpoint")
            events = stream_base_backup(
                self._conn, label=f"pitstop {self._id}", max_rate_kib=self._cluster.max_rate_kib
            )
            self._copied = copied = copy_into(writer, events, self._context, self._own_wal)
            self._context.phase("wal")
            places.each(
                lambda repository: wait_until_durable(
                    repository.wal, copied, self._context, own_wal=self._own_wal, receiver_runs=self._receiver_runs
                )
            )
            self._context.phase("finish")
            places.agree(self._id)
            self._context.check_cancelled()
            summary = self._commit(writer, facts, copied)
        places.publish(self._context)
        renew_runbook(self._context)
        self._judge(copied)
        return summary

    def result(self, summary: BackupSummary) -> dict[str, Any]:
        """Return what the run answers."""
        names = list(self._places.left) if self._places else []
        return {
            "id": summary.id,
            "kind": summary.kind,
            "cluster": summary.cluster,
            "repository": names[0],
            "repositories": names,
            "not_in": self._places.not_in if self._places else [],
            "bytes_read": summary.bytes_read,
            "bytes_stored": summary.bytes_stored,
            "seconds": round(summary.seconds, 3),
            "timeline": summary.timeline,
            "start_lsn": str(summary.start_lsn),
            "end_lsn": str(summary.end_lsn),
            "warnings": [
                *(self._copied.warnings if self._copied else []),
                *(self._places.warnings if self._places else []),
            ],
        }

    def _open(self, system_id: str, segment_bytes: int) -> Places:
        return open_places(self._context, SystemId(system_id), segment_bytes, major=self._conn.major)

    def _receiver_runs(self) -> bool:
        return is_locked(spool_of(self._context.config.spool, self._context.run.cluster).lock_path)

    def _commit(self, writer: BackupWriter, facts: ServerFacts, copied: Copied) -> BackupSummary:
        return writer.commit(
            {
                "server_facts": facts.as_json(),
                "warnings": list(copied.warnings),
                "damage": [_place(d) for d in copied.damage],
            },
            started_at=self._started_at,
            finished_at=self._context.now(),
            timeline=copied.timeline,
            start_lsn=copied.start_lsn,
            end_lsn=copied.end_lsn,
            server_version=facts.version_num,
            damaged=damage_sentence(copied.damage) if copied.damage else None,
        )

    def _judge(self, copied: Copied) -> None:
        if copied.damage:
            raise Corruption(
                f"The backup {self._id} was kept, marked damaged: {damage_sentence(copied.damage)}.",
                hint="Which table is it? SELECT pg_filenode_relation(0, FILE NUMBER); restore it from the last clean backup.",
                code="damaged-pages",
            )


def damage_sentence(damage: tuple[Damage, ...]) -> str:
    """Name the damaged pages, the first three by file and block; without any, the server's own words."""
    if not damage[0].file:
        return damage[0].message.rstrip(".")
    named = ", ".join(_place(page) for page in damage[:3])
    more = f" and {len(damage) - 3} more" if len(damage) > 3 else ""
    return f"page checksums are wrong in {named}{more}"


def _place(page: Damage) -> str:
    if not page.file:
        return page.message
    return f"{page.file} block {page.block}" if page.block is not None else page.file


def _facts(cluster: ClusterConfig) -> ServerFacts:
    """Read the server's facts as the observing role, or as the streaming one where only that can log in."""
    try:
        return server_facts(cluster.observe, cluster.data_directory)
    except Usage:
        if cluster.observe == cluster.stream:
            raise
        return server_facts(cluster.stream, cluster.data_directory)
