"""The backup's own WAL, fetched by the job itself when no receiver runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future

from bot.model.wal import DEFAULT_SEGMENT_BYTES, Lsn, segment_number, segment_start
from bot.postgres.replication import ReplicationConnection
from bot.postgres.wal_stream import StreamEnded, WalData, WalStream
from jobs.places import Places

_READ_S = 0.5


class OwnWal:
    """Keeps WAL on the server with a temporary slot from now on, and streams it into the repositories while the backup runs.

    The slot ends with the connection, however this process ends: nothing is left behind on the server.
    """

    def __init__(self, dsn: str, places: Places, on_wait: Callable[[], None]) -> None:
        """Connect and create the slot.

        Raises:
            Usage: no WAL sender or slot is left; the hint has the line to put right.
        """
        self._places = places
        self._segment_bytes = places.cluster.segment_bytes or DEFAULT_SEGMENT_BYTES
        self._on_wait = on_wait
        self._stop = threading.Event()
        self._until: Lsn | None = None
        self._thread: threading.Thread | None = None
        self._outcome: Future[None] = Future()
        # Last: a server that lets us wait for it makes `_waiting` be called.
        self._conn = ReplicationConnection.open(dsn, application_name="pitstop backup wal", on_wait=self._waiting)
        self._slot = f"pitstop_backup_{os.urandom(4).hex()}"
        self._conn.create_slot(self._slot, temporary=True)

    def follow(self, timeline: int, start: Lsn) -> None:
        """Begin to stream, from the first byte of the segment that holds `start`."""
        floor = segment_start(segment_number(start, self._segment_bytes), self._segment_bytes)
        self._thread = threading.Thread(target=self._run, args=(timeline, floor), name="own-wal", daemon=True)
        self._thread.start()

    def finish(self, end: Lsn, *, timeout_s: float) -> bool:
        """Return once WAL up to `end` is durable in the repository; False when it is not yet after `timeout_s`.

        Raises:
            PitstopError: what stopped the stream.
        """
        assert self._thread is not None
        self._until = end
        self._thread.join(timeout_s)
        if self._outcome.done():
            self._outcome.result()
        return self._outcome.done()

    def close(self) -> None:
        """Stop and end the connection, and the slot with it."""
        self._stop.set()
        if self._thread is not None:
            # Nobody waits for what the server has further to say.
            self._conn.wake()
            self._thread.join(10)
        self._conn.close()

    def _run(self, timeline: int, start: Lsn) -> None:
        try:
            self._receive(timeline, start)
        except BaseException as error:  # noqa: BLE001 - the edge of a thread: `finish` raises it again
            self._outcome.set_exception(error)
        else:
            self._outcome.set_result(None)

    def _receive(self, timeline: int, start: Lsn) -> None:
        stream = WalStream(self._conn, timeline=timeline, start=start, slot=self._slot)
        segment, position, durable = bytearray(), start, start
        while not self._stop.is_set():
            for message in stream.read(_READ_S):
                if isinstance(message, StreamEnded):
                    self._put_rest(timeline, segment, position)
                    return
                if isinstance(message, WalData):
                    segment += message.data
                    position = message.end
                while len(segment) >= self._segment_bytes:
                    number = int(durable) // self._segment_bytes
                    with memoryview(segment) as received, received[: self._segment_bytes] as whole:
                        self._put_segment(timeline, number, whole)
                    del segment[: self._segment_bytes]
                    durable = Lsn(durable + self._segment_bytes)
            stream.send_status(written=position, flushed=durable)
            if self._until is not None and position >= self._until:
                self._put_rest(timeline, segment, position)
                return

    def _put_rest(self, timeline: int, segment: bytearray, position: Lsn) -> None:
        if segment:
            number = (int(position) - len(segment)) // self._segment_bytes
            self._places.each(lambda repository: repository.wal.put_piece(timeline, number, 0, segment))

    def _put_segment(self, timeline: int, number: int, whole: memoryview) -> None:
        self._places.each(lambda repository: repository.wal.put_segment(timeline, number, whole))

    def _waiting(self) -> None:
        if not self._stop.is_set():
            self._on_wait()
