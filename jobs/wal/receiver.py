"""The receiving thread: one connection to the server at a time, from its WAL into the spool."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from bot.errors import Failed, PitstopError, Unavailable
from bot.host.files import free_bytes
from bot.host.spool import Spool
from bot.model.wal import Fork, Lsn, parse_history, segment_number, segment_start
from bot.postgres.connect import connect
from bot.postgres.replication import ReplicationConnection
from bot.postgres.wal_stream import Keepalive, StreamEnded, StreamMessage, WalData, WalStream
from jobs.wal.position import Gap, Held, Position, after_gap, start_position
from jobs.wal.progress import Progress
from jobs.wal.slots import SlotNames, ensure_slot
from jobs.wal.spool import SegmentWriter, histories, put_history

log = structlog.get_logger("pitstop.wal")

_READ_S = 0.5
_STATUS_EVERY_S = 1.0
_SILENCE_S = 60.0
_KEEP_FREE_BYTES = 1 << 30
_KEEP_FREE_SHARE = 20


class Receiver:
    """Receives one cluster's WAL. `session` is one connection's life; call it again after it ended or failed."""

    def __init__(
        self,
        dsn: str,
        slots: SlotNames,
        spool: Spool,
        progress: Progress,
        *,
        system_id: str,
        segment_bytes: int,
        held: Callable[[], Held],
        stopping: Callable[[], bool],
        keep_free_bytes: int | None = None,
    ) -> None:
        self._dsn = dsn
        self._slots = slots
        self._spool = spool
        self._progress = progress
        self._system_id = system_id
        self._segment_bytes = segment_bytes
        self._held = held
        self._stopping = stopping
        self._keep_free_bytes = keep_free_bytes or _keep_free(spool, segment_bytes)
        self._dropped: Position | None = None

    def session(self) -> None:
        """Connect, find the place to go on from, and receive until asked to stop or the server ends the stream.

        Raises:
            Unavailable: the server or the spool's disk is away; try again later.
            Conflict: another receiver streams on the slot.
            Failed: `other-cluster`, the server is not the one it was.
            Usage: a right or a setting is missing.
        """
        with ReplicationConnection.open(self._dsn, application_name=self._slots.stream) as conn:
            system_id, timeline, _ = conn.identify()
            self._expect(system_id)
            self._found()
            forks = self._fetch_histories(conn, timeline)
            position = self._position(timeline, forks)
            self._progress.problem("server", None)
            self._follow(conn, position)

    def _found(self) -> None:
        """Say once that the server is back, after it was said that it is away."""
        since = self._progress.found_server()
        if since is not None:
            log.info("server answers again", slot=self._slots.stream, away_since=since.isoformat())

    def _expect(self, system_id: str) -> None:
        if system_id != self._system_id:
            raise Failed(
                f"The server is another cluster now: system identifier {system_id}, not {self._system_id}.",
                hint="Was it initialised anew or upgraded? The receiver starts afresh when it is restarted.",
                code="other-cluster",
            )

    def _fetch_histories(self, conn: ReplicationConnection, timeline: int) -> tuple[Fork, ...]:
        """Keep the history file of the server's timeline and of its ancestors; return the ancestors, oldest first."""
        if timeline == 1:
            return ()
        known = histories(self._spool)
        if timeline not in known:
            _, known[timeline] = conn.timeline_history(timeline)
            put_history(self._spool, timeline, known[timeline])
        forks = parse_history(known[timeline].decode())
        for fork in forks:
            if fork.timeline > 1 and fork.timeline not in known:
                self._fetch_ancestor(conn, fork.timeline)
        return forks

    def _fetch_ancestor(self, conn: ReplicationConnection, timeline: int) -> None:
        try:
            _, data = conn.timeline_history(timeline)
        except Failed:
            return  # the server no longer has it; the child's file names the same forks
        put_history(self._spool, timeline, data)

    def _position(self, timeline: int, forks: tuple[Fork, ...]) -> Position:
        """Make sure both slots are there and decide where to start; a hole that cannot be filled is recorded."""
        with connect(self._dsn, application_name=self._slots.stream) as sql:
            kept, _ = ensure_slot(sql, self._slots.durable, self._dsn)
            ensure_slot(sql, self._slots.stream, self._dsn)
        kept_from = kept.restart_lsn or Lsn(0)
        wanted = start_position(
            held=self._held(),
            kept_from=kept_from,
            server_timeline=timeline,
            forks=forks,
            segment_bytes=self._segment_bytes,
        )
        if self._dropped != wanted:
            return wanted
        found = after_gap(kept_from=kept_from, server_timeline=timeline, forks=forks, segment_bytes=self._segment_bytes)
        self._progress.gap(Gap(wanted.timeline, wanted.start, found.start))
        self._progress.restart_counting(found.timeline, found.start)
        return found

    def _follow(self, conn: ReplicationConnection, position: Position) -> None:
        """Stream from `position`, and on into each next timeline."""
        timeline, start, counted_from = position.timeline, position.start, position.counted_from
        while True:
            self._progress.streaming(timeline, start, counted_from)
            try:
                ended = self._stream(conn, timeline, start)
            except Failed as error:
                if error.reason_code == "wal-removed":
                    self._dropped = position
                raise
            if ended is None or ended.next_timeline is None or ended.next_start is None:
                return
            timeline = ended.next_timeline
            self._fetch_histories(conn, timeline)
            number = segment_number(ended.next_start, self._segment_bytes)
            start = counted_from = segment_start(number, self._segment_bytes)

    def _stream(self, conn: ReplicationConnection, timeline: int, start: Lsn) -> StreamEnded | None:
        """Receive one timeline into the spool; None when asked to stop."""
        stream = WalStream(conn, timeline=timeline, start=start, slot=self._slots.stream)
        writer = SegmentWriter(self._spool, self._segment_bytes, timeline, start)
        try:
            ended = self._receive(stream, writer)
            writer.flush()
            self._progress.flushed(writer.flushed, completed=True)
            if ended is None:
                stream.send_status(written=writer.position, flushed=writer.flushed)
                stream.stop()
            return ended
        finally:
            writer.close()

    def _receive(self, stream: WalStream, writer: SegmentWriter) -> StreamEnded | None:
        heard_at = asked_at = time.monotonic()
        while not self._stopping():
            if not self._has_room():
                self._pause(stream, writer)
                heard_at = time.monotonic()
                continue
            messages = stream.read(_READ_S)
            now = time.monotonic()
            if messages:
                heard_at = now
            elif now - heard_at > _SILENCE_S:
                raise Unavailable("The server has been silent for a minute.", code="server-silent")
            wrote, asked, ended = self._take(messages, writer)
            if ended is not None:
                return ended
            due = now - asked_at >= _STATUS_EVERY_S
            if wrote or asked or due:
                stream.send_status(written=writer.position, flushed=writer.flushed, reply=due)
                asked_at = now if due else asked_at
        return None

    def _take(self, messages: list[StreamMessage], writer: SegmentWriter) -> tuple[bool, bool, StreamEnded | None]:
        """Write a batch and sync it once. Return whether WAL came, whether the server wants an answer, and the end."""
        completed, wrote, asked, ended = 0, False, False, None
        for message in messages:
            if isinstance(message, WalData):
                completed += writer.write(message.start, message.data)
                wrote = True
            elif isinstance(message, Keepalive):
                asked = asked or message.reply_requested
            else:
                ended = message
                continue
            self._progress.server_at(message.server_end, message.sent_at)
        if wrote:
            self._progress.received(writer.position)
            self._progress.flushed(writer.flush(), completed=completed > 0)
        return wrote, asked, ended

    def _has_room(self) -> bool:
        room = free_bytes(self._spool.wal) > self._keep_free_bytes
        self._progress.problem("spool", None if room else self._full())
        return room

    def _full(self) -> str:
        return f"The spool's disk has less than {self._keep_free_bytes >> 20} MiB left; receiving waits, the slot holds the WAL."

    def _pause(self, stream: WalStream, writer: SegmentWriter) -> None:
        """Keep the connection alive without reading on."""
        stream.send_status(written=writer.position, flushed=writer.flushed)
        deadline = time.monotonic() + _STATUS_EVERY_S
        while time.monotonic() < deadline and not self._stopping():
            time.sleep(0.1)


def heals(error: PitstopError) -> bool:
    """Say whether trying again later may help without anybody doing anything."""
    return isinstance(error, Unavailable) or error.reason_code in {"slot-in-use", "wal-removed", "slot-lost"}


def _keep_free(spool: Spool, segment_bytes: int) -> int:
    """Return how much of the spool's disk is left to others: 1 GiB, or a twentieth of a small disk, and two segments."""
    return max(2 * segment_bytes, min(_KEEP_FREE_BYTES, free_bytes(spool.directory) // _KEEP_FREE_SHARE))
