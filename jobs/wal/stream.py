"""The WAL_STREAM job: receive, ship and keep until asked to stop."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import structlog

from bot.errors import Conflict, PitstopError, Unavailable
from bot.host.locks import FileLock
from bot.host.spool import Spool, SpoolIdentity
from bot.model.ids import SystemId
from bot.postgres.replication import ReplicationConnection
from bot.repository.cluster import ClusterRepository
from bot.repository.wal import WalArchive
from jobs.context import JobContext
from jobs.repositories import open_for_writing
from jobs.wal.fetch_service import FetchService
from jobs.wal.keeper import Keeper
from jobs.wal.position import Held
from jobs.wal.progress import Progress, Snapshot
from jobs.wal.receiver import Receiver, heals
from jobs.wal.shipper import Shipper
from jobs.wal.slots import slot_names
from jobs.wal.spool import content, spool_of

log = structlog.get_logger("pitstop.wal")

_BACK_OFF_S = (0.5, 1.0, 2.0, 5.0, 10.0)
_PIECE_SHARE = 0.5
"""Pieces go out at half of `wal_durable_within`, so that the other half is left for the upload itself."""


def run(context: JobContext) -> dict[str, Any]:
    """Receive the WAL of the run's cluster until asked to stop.

    Raises:
        Conflict: `receiver-running`, another process receives into this spool.
        Usage: a right or a setting is missing on the server; the hint has the line to put right.
        Failed: the server is another cluster now.
    """
    spool = spool_of(context.config.spool, context.run.cluster)
    spool.create()
    with _sole(spool):
        identity = _identity(context, spool)
        if identity is None:
            return {}
        aside = spool.claim(identity)
        return _Stream(context, spool, identity).run(aside)


class _Stream:
    """The threads of one receiver."""

    def __init__(self, context: JobContext, spool: Spool, identity: SpoolIdentity) -> None:
        self._context = context
        self._spool = spool
        self._identity = identity
        self._progress = Progress()
        cluster = context.config.cluster(context.run.cluster)
        slots = slot_names(context.run.cluster)
        every_s = cluster.wal_durable_within.total_seconds() * _PIECE_SHARE
        trusted = spool.same_boot()
        self._shippers = [
            Shipper(
                name,
                partial(self._open, name),
                spool,
                self._progress,
                system_id=identity.system_id,
                segment_bytes=identity.segment_bytes,
                every_s=every_s,
                trust_inherited=trusted,
                wal_kept_for=cluster.retention.wal,
            )
            for name in context.config.cluster_repositories(context.run.cluster)
        ]
        for shipper in self._shippers:
            shipper.beside(other for other in self._shippers if other is not shipper)
        self._keeper = Keeper(
            ledger=context.ledger,
            cluster=context.run.cluster,
            system_id=SystemId(identity.system_id),
            segment_bytes=identity.segment_bytes,
            dsn=cluster.stream,
            slots=slots,
            spool=spool,
            progress=self._progress,
            shippers=self._shippers,
        )
        self._receiver = Receiver(
            cluster.stream,
            slots,
            spool,
            self._progress,
            system_id=identity.system_id,
            segment_bytes=identity.segment_bytes,
            held=self._held,
            stopping=self._stopping,
        )
        self._service = FetchService(spool, self._archives, identity.segment_bytes)

    def _open(self, repository: str, begun: bool) -> ClusterRepository:
        return open_for_writing(
            self._context.config,
            self._context.ledger,
            repository,
            self._context.run.cluster,
            SystemId(self._identity.system_id),
            self._identity.segment_bytes,
            begun=begun,
        )

    def run(self, aside: Path | None) -> dict[str, Any]:
        """Start the threads, receive until asked to stop, and ship what is left."""
        if aside is not None:
            self._progress.problem("spool-aside", f"WAL of the cluster that was here before is kept in {aside}.")
        for shipper in self._shippers:
            shipper.start()
        self._keeper.start()
        self._service.start()
        try:
            for shipper in self._shippers:
                shipper.wait_ready(10)
            self._receive()
        finally:
            self._service.stop()
            for shipper in self._shippers:
                shipper.stop()
            self._keeper.stop()
        return _result(self._progress.snapshot())

    def _receive(self) -> None:
        failures = 0
        while not self._context.cancelled():
            before = self._progress.snapshot().received
            try:
                self._receiver.session()
            except PitstopError as error:
                if not heals(error):
                    raise
                self._progress.problem("server", error.message)
                self._lost(error)
                self._context.note(error.message)
            self._check_threads()
            failures = 0 if self._progress.snapshot().received > before else failures + 1
            if failures:
                self._context.wait_cancelled(_BACK_OFF_S[min(failures, len(_BACK_OFF_S)) - 1])

    def _lost(self, error: PitstopError) -> None:
        """Note, and say once, that the server does not answer; a full spool or a taken slot is not that."""
        away = isinstance(error, Unavailable) and error.reason_code != "spool-disk"
        if away and self._progress.lost_server(self._context.now()):
            log.warning("server does not answer", cluster=self._context.run.cluster, reason=error.message)

    def _stopping(self) -> bool:
        """Say whether to stop; called between batches, so it is also where threads are looked after and progress is told."""
        self._check_threads()
        now = self._progress.snapshot()
        self._context.progress(now.bytes_received)
        self._context.note(sentence(now))
        return self._context.cancelled()

    def _check_threads(self) -> None:
        for shipper in self._shippers:
            shipper.check()
        self._keeper.check()
        self._service.check()

    def _held(self) -> Held:
        spooled = content(self._spool, self._identity.segment_bytes)
        whole = {timeline: set(numbers) for timeline, numbers in spooled.segments.items()}
        begun: dict[int, set[int]] = {}
        for timeline, number in [*spooled.partials, *(key for shipper in self._shippers for key in shipper.begun())]:
            begun.setdefault(timeline, set()).add(number)
        for shipper in self._shippers:
            for timeline, numbers in shipper.held().items():
                whole.setdefault(timeline, set()).update(numbers)
        return Held(whole, begun)

    def _archives(self) -> list[WalArchive]:
        return [shipper.archive() for shipper in self._shippers]


def sentence(now: Snapshot) -> str:
    """Say how a receiver stands in one sentence. Pure."""
    if now.problems:
        return " ".join(now.problems[subject] for subject in sorted(now.problems))
    if now.gaps:
        gap = now.gaps[-1]
        return f"WAL from {gap.start} to {gap.end} on timeline {gap.timeline} is lost; take a new base backup."
    return f"Receiving timeline {now.timeline}."


def _sole(spool: Spool) -> FileLock:
    """Take the spool's lock for life.

    Raises:
        Conflict: somebody has it.
    """
    lock = FileLock(spool.lock_path)
    if not lock.acquire():
        raise Conflict(
            f"Another receiver writes into {spool.directory}.",
            hint="Is `pitstop run` or another `pitstop wal stream` running?",
            code="receiver-running",
        )
    return lock


def _identity(context: JobContext, spool: Spool) -> SpoolIdentity | None:
    """Learn whose WAL this will be: from the server, or from the spool while the server is away; None when cancelled."""
    cluster = context.config.cluster(context.run.cluster)
    failures = 0
    while not context.cancelled():
        try:
            with ReplicationConnection.open(cluster.stream) as conn:
                system_id, _, _ = conn.identify()
                return SpoolIdentity(system_id, conn.segment_bytes())
        except PitstopError as error:
            known = spool.identity()
            if not heals(error):
                raise
            if known is not None:
                return known
            context.note(error.message)
        failures += 1
        context.wait_cancelled(_BACK_OFF_S[min(failures, len(_BACK_OFF_S)) - 1])
    return None


def _result(now: Snapshot) -> dict[str, Any]:
    return {
        "timeline": now.timeline,
        "received_lsn": str(now.received),
        "durable_lsn": {name: str(durable.lsn) for name, durable in now.durable.items()},
        "gaps": [gap.as_json() for gap in now.gaps],
        "problems": now.problems,
    }
