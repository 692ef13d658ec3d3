"""The keeping thread: moves the kept slot, clears the spool of what repositories hold, and tells the ledger how things stand."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

import psycopg

from bot.errors import PitstopError, Unavailable
from bot.host.spool import Spool
from bot.ledger import Ledger, wal_status
from bot.ledger.wal_status import WalStatus
from bot.model.ids import ClusterName, SystemId
from bot.model.wal import Lsn, segment_name
from bot.postgres.connect import Connection, connect
from jobs.context import utc_now
from jobs.wal.progress import Progress, Snapshot
from jobs.wal.shipper import Shipper
from jobs.wal.slots import SlotNames, advance_slot, slot_error
from jobs.wal.spool import content

_TICK_S = 1.0
_TOUCH_EVERY_S = 60.0
_CONNECT_EVERY_S = 5.0


class Keeper:
    """Runs once a second in a thread of its own; nothing it waits for holds the receiver up."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        cluster: ClusterName,
        system_id: SystemId,
        segment_bytes: int,
        dsn: str,
        slots: SlotNames,
        spool: Spool,
        progress: Progress,
        shippers: Sequence[Shipper],
    ) -> None:
        self._ledger = ledger
        self._cluster = cluster
        self._system_id = system_id
        self._segment_bytes = segment_bytes
        self._dsn = dsn
        self._slots = slots
        self._spool = spool
        self._progress = progress
        self._shippers = tuple(shippers)
        self._sql: Connection | None = None
        self._connect_at = self._touched_at = float("-inf")
        self._advanced = Lsn(0)
        self._stop = threading.Event()
        self._outcome: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="keep", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float = 15) -> None:
        """Do everything once more, then end."""
        self._stop.set()
        self._thread.join(timeout_s)

    def check(self) -> None:
        """Raise what ended the thread, if anything unexpected did."""
        if self._outcome.done():
            self._outcome.result()

    def _run(self) -> None:
        try:
            while not self._stop.wait(_TICK_S):
                self.tick()
            self.tick()
            self._disconnect()
        except BaseException as error:  # noqa: BLE001 - the edge of a thread: the receiver raises it again in `check`
            self._outcome.set_exception(error)
        else:
            self._outcome.set_result(None)

    def tick(self) -> None:
        """Do once what is due. The ledger knows that a repository is used before anything is let go because that one has it."""
        now = self._progress.snapshot()
        self._tell(now)
        self._clear_spool(now)
        self._keep_slot(now)

    def _clear_spool(self, now: Snapshot) -> None:
        """Delete what every repository holds durably, and nothing else."""
        if not self._shippers:
            return
        found = content(self._spool, self._segment_bytes)
        for timeline, numbers in found.segments.items():
            for number in numbers:
                if all(shipper.holds(timeline, number) for shipper in self._shippers):
                    self._spool.remove(segment_name(timeline, number, self._segment_bytes))
        current = (now.timeline, int(now.received) // self._segment_bytes)
        for (timeline, number), size in found.partials.items():
            if (timeline, number) < current and self._everywhere(timeline, number, size):
                self._spool.partial_path(segment_name(timeline, number, self._segment_bytes)).unlink(missing_ok=True)

    def _everywhere(self, timeline: int, number: int, size: int) -> bool:
        """Say whether every repository holds a segment whole, or as much of it as the spool does."""
        return all(s.holds(timeline, number) or s.piece_end(timeline, number) >= size for s in self._shippers)

    def _keep_slot(self, now: Snapshot) -> None:
        """Let the server drop what a repository holds, on the timeline it is on."""
        durable = [d.lsn for d in now.durable.values() if d.timeline == now.timeline]
        if not durable:
            return
        due = time.monotonic() - self._touched_at >= _TOUCH_EVERY_S
        if max(durable) <= self._advanced and not due:
            return
        sql = self._connected()
        if sql is None:
            return
        try:
            advance_slot(sql, self._slots.durable, max(durable))
        except psycopg.Error as error:
            self._progress.problem("slot", slot_error(error, self._dsn).message)
            self._disconnect()
            return
        self._progress.problem("slot", None)
        self._advanced, self._touched_at = max(durable), time.monotonic()

    def _connected(self) -> Connection | None:
        if self._sql is not None and not self._sql.closed:
            return self._sql
        if time.monotonic() - self._connect_at < _CONNECT_EVERY_S:
            return None
        self._connect_at = time.monotonic()
        try:
            self._sql = connect(self._dsn, application_name=self._slots.durable)
        except PitstopError as error:
            self._progress.problem("slot", error.message)
            return None
        return self._sql

    def _disconnect(self) -> None:
        if self._sql is not None:
            self._sql.close()
            self._sql = None

    def _tell(self, now: Snapshot) -> None:
        if not now.durable and now.away_since is None:
            return
        at = utc_now()
        try:
            with self._ledger.transaction() as tx:
                if now.away_since is not None and not now.durable:
                    wal_status.put_away(tx, self._cluster, now.away_since)
                for name, durable in now.durable.items():
                    status = WalStatus(
                        cluster=self._cluster,
                        repository=name,
                        system_id=self._system_id,
                        timeline=durable.timeline,
                        received_lsn=now.received,
                        durable_lsn=durable.lsn,
                        server_lsn=max(now.server, now.received, durable.lsn),
                        window=now.windows.get(name, ()),
                        at=at,
                        covered_until=durable.at,
                        server_at=now.server_at,
                        away_since=now.away_since,
                    )
                    wal_status.put(tx, status, window_known=name in now.windows)
        except Unavailable as error:
            # Only the display is late; WAL goes on, and the next tick tells again.
            self._progress.problem("ledger", error.message)
            return
        self._progress.problem("ledger", None)
