"""START_REPLICATION: WAL as it is written, and what we answer."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from psycopg import pq

from bot.errors import Failed
from bot.model.wal import Lsn
from bot.postgres.connect import quote_ident
from bot.postgres.replication import ReplicationConnection, rows_of

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_DATA_HEADER = struct.Struct("!cQQq")
_KEEPALIVE = struct.Struct("!cQqB")
_STATUS = struct.Struct("!cQQQqB")
BATCH_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class WalData:
    """WAL bytes from `start` on. `server_end` is how far the server's WAL goes, `sent_at` the server's clock."""

    start: Lsn
    server_end: Lsn
    sent_at: datetime
    data: memoryview

    @property
    def end(self) -> Lsn:
        """The LSN after the last byte."""
        return Lsn(self.start + len(self.data))


@dataclass(frozen=True, slots=True)
class Keepalive:
    """The server is there, its WAL goes up to `server_end`."""

    server_end: Lsn
    sent_at: datetime
    reply_requested: bool


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The server ended the stream: at the end of a timeline (what comes next is named), or because it stops (None)."""

    next_timeline: int | None
    next_start: Lsn | None


StreamMessage = WalData | Keepalive | StreamEnded


class WalStream:
    """A running START_REPLICATION. Not thread-safe."""

    def __init__(self, conn: ReplicationConnection, *, timeline: int, start: Lsn, slot: str | None = None) -> None:
        """Start streaming `timeline` from `start`, on a slot when one is named.

        Raises:
            PitstopError: the server refused (`wal-removed`, `slot-in-use`, `slot-lost`, …).
        """
        self._conn = conn
        self._ended: StreamEnded | None = None
        on_slot = f"SLOT {quote_ident(slot)} " if slot else ""
        result = next(conn.results(f"START_REPLICATION {on_slot}PHYSICAL {start} TIMELINE {timeline}"))
        if result.status == pq.ExecStatus.TUPLES_OK:
            # `start` is exactly where this timeline ends: there is nothing to copy.
            self._ended = self._next_timeline(result)

    def read(self, timeout_s: float) -> list[StreamMessage]:
        """Return what the server sent, waiting up to `timeout_s` for the first of it; at most about BATCH_BYTES at once."""
        if self._ended is not None:
            return [self._ended]
        messages: list[StreamMessage] = []
        if not self._take(messages):
            self._conn.receive(timeout_s)
            size = 0
            while size < BATCH_BYTES and self._ended is None:
                size += self._take(messages)
                if not self._conn.receive(0):
                    break
            self._take(messages)
        return messages

    def send_status(self, *, written: Lsn, flushed: Lsn, reply: bool = False) -> None:
        """Tell the server how far we are. The applied position stays unset: nothing is ever applied here."""
        clock = int((datetime.now(UTC) - _EPOCH) / timedelta(microseconds=1))
        self._conn.send_copy(_STATUS.pack(b"r", written, flushed, 0, clock, reply))

    def stop(self) -> None:
        """End the stream in order, so that the slot is free at once; what still arrives is dropped."""
        if self._ended is None:
            self._conn.end_copy()
            for _ in self._conn.copy_data():
                pass
            while self._conn.next_result(timeout_s=10) is not None:
                pass

    def _take(self, messages: list[StreamMessage]) -> int:
        """Move all buffered messages into `messages`; return their bytes."""
        size = 0
        while self._ended is None:
            message = self._conn.copy_message()
            if message is None:
                messages.append(self._finish())
            elif message:
                size += len(message)
                messages.append(parse_message(message))
            else:
                break
        return size

    def _finish(self) -> StreamEnded:
        """Answer the server's end of copy with ours and read what comes next."""
        result = self._conn.next_result()
        if result is not None and result.status in (pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_BOTH):
            self._conn.end_copy()
            result = self._conn.next_result()
        if result is not None and result.status == pq.ExecStatus.TUPLES_OK:
            self._ended = self._next_timeline(result)
        else:
            self._ended = StreamEnded(None, None)
            while result is not None:
                result = self._conn.next_result()
        return self._ended

    def _next_timeline(self, result: pq.abc.PGresult) -> StreamEnded:
        [(timeline, start, *_)] = rows_of(result)
        while self._conn.next_result() is not None:
            pass
        return StreamEnded(int(timeline or 0), Lsn.parse(start or ""))


def parse_message(message: memoryview | bytes) -> StreamMessage:
    """Read one CopyData message of a WAL stream. Pure.

    Raises:
        Failed: it is neither WAL data nor a keepalive.
    """
    view = memoryview(message)
    kind = bytes(view[:1])
    if kind == b"w" and len(view) >= _DATA_HEADER.size:
        _, start, server_end, clock = _DATA_HEADER.unpack_from(view)
        return WalData(Lsn(start), Lsn(server_end), _at(clock), view[_DATA_HEADER.size :])
    if kind == b"k" and len(view) == _KEEPALIVE.size:
        _, server_end, clock, reply = _KEEPALIVE.unpack_from(view)
        return Keepalive(Lsn(server_end), _at(clock), bool(reply))
    raise Failed(f"The server sent an unknown replication message {kind!r}.", code="replication-protocol")


def _at(clock_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=clock_us)
