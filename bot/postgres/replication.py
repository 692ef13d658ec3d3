"""A replication connection over `psycopg.pq`: never blocks in libpq, so that other threads run while it waits.

psycopg's blocking calls hold the interpreter's lock; here every call is the non-blocking one, followed by a poll on the socket.
Protocol: https://www.postgresql.org/docs/18/protocol-replication.html
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType

import psycopg
from psycopg import pq

from bot.errors import PitstopError, Unavailable, Usage
from bot.model.wal import Lsn
from bot.postgres.connect import connection_error, make_dsn, quote_ident, require_supported, server_place
from bot.postgres.server_errors import command_error
from bot.postgres.wire import ConnectionEnded, Fields, WireCommand, WireResult, is_local

_IDLE_S = 0.5
_BATCH = 16
"""Messages of libpq's at a time: each is a copy, of 32 KiB in a base backup."""
_DATA = frozenset(
    {
        pq.ExecStatus.COPY_OUT,
        pq.ExecStatus.COPY_BOTH,
        pq.ExecStatus.COPY_IN,
        pq.ExecStatus.TUPLES_OK,
        pq.ExecStatus.COMMAND_OK,
    }
)


Result = pq.abc.PGresult | WireResult


@dataclass(frozen=True, slots=True)
class Notice:
    """One WARNING or NOTICE of the server. `function` is the server's C function, the same in every language."""

    severity: str
    message: str
    function: str


class ReplicationConnection:
    """A connection that speaks the streaming replication protocol. Not thread-safe.

    `on_wait` is called at least every half second while waiting for the server; what it raises ends the wait.
    `notices` are the server's warnings so far.
    """

    def __init__(self, pgconn: pq.abc.PGconn, dsn: str, on_wait: Callable[[], None] | None = None) -> None:
        self._pgconn = pgconn
        self._dsn = dsn
        self._on_wait = on_wait
        self._poll = select.poll()
        self._socket = pgconn.socket
        self._poll.register(self._socket, select.POLLIN)
        self._woken = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll_or_woken = select.poll()
        for fd in (self._socket, self._woken):
            self._poll_or_woken.register(fd, select.POLLIN)
        self._wire: WireCommand | None = None
        self.notices: list[Notice] = []
        pgconn.notice_handler = self._noticed
        pgconn.nonblocking = 1

    @classmethod
    def open(
        cls,
        dsn: str,
        *,
        application_name: str = "pitstop",
        timeout_s: float = 10,
        on_wait: Callable[[], None] | None = None,
    ) -> ReplicationConnection:
        """Connect.

        Raises:
            Unavailable: the server does not answer.
            Usage: the DSN, the role's rights, pg_hba, no WAL sender is left, or the server is too old; the hint has the line
                to put right.
        """
        conninfo = make_dsn(
            dsn, replication="true", dbname="replication", application_name=application_name, options=""
        )
        try:
            pgconn = pq.PGconn.connect_start(conninfo.encode())
            _finish_connecting(pgconn, time.monotonic() + timeout_s, on_wait)
        except psycopg.Error as error:
            raise connection_error(str(error), dsn, sqlstate=error.sqlstate) from None
        if pgconn.status != pq.ConnStatus.OK:
            message = pgconn.get_error_message()
            pgconn.finish()
            raise connection_error(message, dsn)
        try:
            require_supported(pgconn.server_version, dsn)
        except Usage:
            pgconn.finish()
            raise
        return cls(pgconn, dsn, on_wait)

    @property
    def server_version(self) -> int:
        """The server's version number, as in 150018."""
        return self._pgconn.server_version

    @property
    def major(self) -> int:
        """The server's major version."""
        return self.server_version // 10000

    def command(self, sql: str, *, timeout_s: float = 60) -> list[tuple[str | None, ...]]:
        """Run one replication command and return the rows of its last result set as text.

        Raises:
            Unavailable: the server went away, or did not answer in time.
            PitstopError: it turned the command down; the code and the hint say why.
        """
        rows: list[tuple[str | None, ...]] = []
        for result in self.results(sql, timeout_s=timeout_s):
            if result.status == pq.ExecStatus.TUPLES_OK:
                rows = rows_of(result)
        return rows

    def identify(self) -> tuple[str, int, Lsn]:
        """Return (system identifier, timeline, flushed LSN)."""
        [(system, timeline, lsn, *_)] = self.command("IDENTIFY_SYSTEM")
        return str(system), int(timeline or 0), Lsn.parse(lsn or "")

    def setting(self, name: str) -> str:
        """Return one server setting, in the form SHOW gives it."""
        [(value,)] = self.command(f"SHOW {name}")
        return value or ""

    def segment_bytes(self) -> int:
        """Return the size of the server's WAL segments."""
        number = self.setting("wal_segment_size")
        units = {"kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
        return int(number[:-2]) * units[number[-2:]]

    def create_slot(self, name: str, *, temporary: bool = False) -> None:
        """Create a physical slot that keeps WAL from the last checkpoint on; a temporary one ends with the connection."""
        kind = "TEMPORARY " if temporary else ""
        self.command(f"CREATE_REPLICATION_SLOT {quote_ident(name)} {kind}PHYSICAL RESERVE_WAL")

    def read_slot(self, name: str) -> tuple[Lsn, int] | None:
        """Return (restart LSN, timeline) of a physical slot; None when it is missing or keeps nothing. 15 and later."""
        [(kind, lsn, timeline)] = self.command(f"READ_REPLICATION_SLOT {quote_ident(name)}")
        return (Lsn.parse(lsn), int(timeline or 0)) if kind and lsn else None

    def timeline_history(self, timeline: int) -> tuple[str, bytes]:
        """Return (file name, content) of a timeline's history file."""
        [result] = list(self.results(f"TIMELINE_HISTORY {timeline}"))
        return (result.get_value(0, 0) or b"").decode(), result.get_value(0, 1) or b""

    def results(self, sql: str, *, timeout_s: float | None = 60) -> Iterator[pq.abc.PGresult]:
        """Send a command and yield its result sets as they arrive; a COPY must be read before the next is asked for."""
        with self._translated():
            self._pgconn.send_query(sql.encode())
        self.flush()
        while (result := self.next_result(timeout_s)) is not None:
            yield result

    def bulk_results(self, sql: str) -> Iterator[Result]:
        """Do what `results` does for a command that answers with gigabytes: on a Unix socket they are read past libpq.

        Read the copies of its answer with `copy_batches`; nothing else may use the connection until the last result was taken.
        """
        if not is_local(self._socket):
            yield from self.results(sql, timeout_s=None)
            return
        self._wire = wire = WireCommand(self._socket, self._noticed_on_wire, self._idle)
        try:
            with self._translated():
                yield from wire.results(sql)
        except Unavailable:
            # A server that ends the connection says why just before.
            if wire.error is None:
                raise
        finally:
            self._wire = None
            wire.close()
        if wire.error is not None:
            raise command_error(wire.error.get("C", ""), wire.error.get("M", ""), self._dsn)

    def next_result(self, timeout_s: float | None = 60) -> pq.abc.PGresult | None:
        """Return the next result of the running command, or None after the last.

        Raises:
            PitstopError: the server ended the command with an error.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._translated():
            while self._pgconn.is_busy():
                self.wait(deadline)
                self._pgconn.consume_input()
            result = self._pgconn.get_result()
        if result is not None and result.status not in _DATA:
            refused = self._refused(result)
            self._skip_rest(deadline)
            raise refused
        return result

    def _skip_rest(self, deadline: float | None) -> None:
        """Take in what follows an error, to the server's last word: it may arrive later, and is no part of the next answer."""
        with suppress(psycopg.Error, Unavailable):  # the error itself is the one to tell
            while True:
                while self._pgconn.is_busy():
                    self.wait(deadline)
                    self._pgconn.consume_input()
                if self._pgconn.get_result() is None:
                    return

    def copy_data(self) -> Iterator[memoryview | bytes]:
        """Yield the messages of the running COPY until it ends; waits for as long as the server takes."""
        for batch in self.copy_batches():
            yield from batch

    def copy_batches(self) -> Iterator[Sequence[memoryview | bytes]]:
        """Do what `copy_data` does, with as many messages at a time as have arrived; valid until the next are asked for."""
        if self._wire is not None:
            with self._translated():
                yield from self._wire.copy_batches()
            return
        while True:
            batch = list[memoryview | bytes]()
            while message := self.copy_message():
                batch.append(message)
                if len(batch) >= _BATCH:
                    break
            if batch:
                yield batch
            if message is None:
                return
            if not message:
                self.wait(None)
                with self._translated():
                    self._pgconn.consume_input()

    def copy_alike(self, start: bytes, size: int, into: memoryview) -> int:
        """Copy what follows `start` in the COPY's next messages into `into`, `size` bytes of each, without a copy in between.

        As many as have arrived and fit, until one is different; returns how many bytes that is. 0 where libpq is in between.
        """
        if self._wire is None:
            return 0
        head = b"d" + (4 + len(start) + size).to_bytes(4, "big") + start
        with self._translated():
            return self._wire.copy_alike(head, size, into)

    def copy_message(self) -> memoryview | bytes | None:
        """Return the next buffered message of the running COPY; empty when nothing is buffered, None when it has ended."""
        with self._translated():
            size, data = self._pgconn.get_copy_data(1)
        if size > 0:
            return data
        return b"" if size == 0 else None

    def receive(self, timeout_s: float) -> bool:
        """Wait up to `timeout_s` for the server and take in what it sent; say whether there was something."""
        if all(fd != self._socket for fd, _ in self._poll_or_woken.poll(timeout_s * 1000)):
            return False
        with self._translated():
            self._pgconn.consume_input()
        return True

    def send_copy(self, message: bytes) -> None:
        """Send one message into the running COPY."""
        with self._translated():
            self._pgconn.put_copy_data(message)
        self.flush()

    def end_copy(self) -> None:
        """Tell the server that nothing more comes from our side of the COPY."""
        with self._translated():
            self._pgconn.put_copy_end()
        self.flush()

    def flush(self) -> None:
        """Send what is buffered, taking in what arrives meanwhile so that neither side waits for the other."""
        with self._translated():
            while self._pgconn.flush():
                self._poll.modify(self._socket, select.POLLIN | select.POLLOUT)
                self._poll.poll(_IDLE_S * 1000)
                self._poll.modify(self._socket, select.POLLIN)
                self._pgconn.consume_input()
                self._idle()

    def wait(self, deadline: float | None) -> None:
        """Wait until the server has sent something.

        Raises:
            Unavailable: `deadline` (monotonic seconds) passed.
        """
        while not self._poll.poll(_IDLE_S * 1000):
            self._idle()
            if deadline is not None and time.monotonic() > deadline:
                raise Unavailable(
                    f"PostgreSQL at {server_place(self._dsn)} did not answer in time.",
                    hint="Is the server overloaded, or its network cut?",
                    code="server-timeout",
                )

    def wake(self) -> None:
        """From any other thread: let `receive` return at once, now and from now on, though the server has nothing to say."""
        os.eventfd_write(self._woken, 1)

    def close(self) -> None:
        """End the connection. Idempotent."""
        if self._wire is not None:
            # A command that was given up in the middle: its own handle of the socket would keep the server sending.
            self._wire.close()
        if self._pgconn.status != pq.ConnStatus.BAD:
            self._pgconn.finish()
        if self._woken >= 0:
            os.close(self._woken)
            self._woken = -1

    def __enter__(self) -> ReplicationConnection:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _idle(self) -> None:
        if self._on_wait is not None:
            self._on_wait()

    def _noticed(self, result: pq.abc.PGresult) -> None:
        field = pq.DiagnosticField
        self.notices.append(
            Notice(
                severity=_text(result.error_field(field.SEVERITY_NONLOCALIZED)),
                message=_text(result.error_field(field.MESSAGE_PRIMARY)),
                function=_text(result.error_field(field.SOURCE_FUNCTION)),
            )
        )

    def _noticed_on_wire(self, fields: Fields) -> None:
        self.notices.append(
            Notice(
                severity=fields.get("V", fields.get("S", "")),
                message=fields.get("M", ""),
                function=fields.get("R", ""),
            )
        )

    def _refused(self, result: pq.abc.PGresult) -> PitstopError:
        field = pq.DiagnosticField
        sqlstate = _text(result.error_field(field.SQLSTATE))
        message = _text(result.error_field(field.MESSAGE_PRIMARY)) or result.get_error_message()
        return command_error(sqlstate, message, self._dsn)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.Error, ConnectionEnded, OSError) as error:
            raise Unavailable(
                f"The connection to PostgreSQL at {server_place(self._dsn)} broke: {' '.join(str(error).split())}.",
                hint="Was the server stopped? Its log says why.",
                code="server-gone",
            ) from None


def rows_of(result: Result) -> list[tuple[str | None, ...]]:
    """Return a result set's rows as text."""
    if isinstance(result, WireResult):
        return result.rows
    return [
        tuple(
            None if (value := result.get_value(row, column)) is None else value.decode()
            for column in range(result.nfields)
        )
        for row in range(result.ntuples)
    ]


def _finish_connecting(pgconn: pq.abc.PGconn, deadline: float, on_wait: Callable[[], None] | None) -> None:
    """Drive a started connection to its end, good or bad; past `deadline` it is left as it is."""
    status = pq.PollingStatus.WRITING if pgconn.status != pq.ConnStatus.BAD else pq.PollingStatus.FAILED
    while status not in (pq.PollingStatus.OK, pq.PollingStatus.FAILED):
        ready = _ready(pgconn.socket, status)
        if ready:
            status = pq.PollingStatus(pgconn.connect_poll())
        elif time.monotonic() > deadline:
            raise psycopg.OperationalError("timeout expired")
        elif on_wait is not None:
            on_wait()


def _ready(fd: int, status: pq.PollingStatus) -> bool:
    # The socket may change between polls (several addresses), so it is registered anew each time.
    poll = select.poll()
    poll.register(fd, select.POLLIN if status == pq.PollingStatus.READING else select.POLLOUT)
    return bool(poll.poll(_IDLE_S * 1000))


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")
