"""One command's answer read off the socket itself: at a gigabyte a second libpq costs as much as reading the cluster does.

libpq connects and authenticates; then, on a Unix socket, where nothing is encrypted, a single command's messages are read here,
to the last, and libpq finds its connection as it left it. Over TCP everything stays with libpq.
Protocol: https://www.postgresql.org/docs/18/protocol-message-formats.html
"""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from psycopg import pq

_HEADER = struct.Struct(">ci")
_READ_BYTES = 512 * 1024
_ROOM_BYTES = 256 * 1024
"""Room for whatever a Unix socket holds at a time, which is less (net.core.wmem_default), so that one call takes it all."""
_AT_ONCE = 8
"""Messages read straight to their place at a time: more than a Unix socket holds of a base backup's, 32 KiB each."""
_IDLE_S = 0.5

Row = tuple[str | None, ...]


class ConnectionEnded(Exception):
    """The server closed the connection, or sent what is no message."""


@dataclass(frozen=True, slots=True)
class WireResult:
    """One result of a command: rows as text, none of a COPY that begins."""

    status: pq.ExecStatus
    rows: list[Row] = field(default_factory=list)


Fields = dict[str, str]
"""The fields of an error or a notice, by the protocol's letters: S severity, C SQLSTATE, M message, R the server's function."""


class WireCommand:
    """A command under way on a Unix socket. Not thread-safe.

    `on_notice` is told every notice; `on_wait` is called at least every half second while the server is silent.
    """

    def __init__(self, fd: int, on_notice: Callable[[Fields], None], on_wait: Callable[[], None]) -> None:
        self._socket = socket.socket(fileno=os.dup(fd))
        self._socket.setblocking(False)
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        self._on_notice = on_notice
        self._on_wait = on_wait
        self._buffer = bytearray(_READ_BYTES)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0
        self._error: Fields | None = None

    @property
    def error(self) -> Fields | None:
        """What the server refused the command with, known at its end."""
        return self._error

    def close(self) -> None:
        """Forget the socket; libpq's own stays open."""
        self._socket.close()

    def results(self, sql: str) -> Iterator[WireResult]:
        """Send the command and yield its results as they arrive; a COPY must be read before the next is asked for.

        Raises:
            ConnectionEnded: before the command was over.
            OSError: the socket broke.
        """
        body = sql.encode() + b"\0"
        self._socket.sendall(_HEADER.pack(b"Q", len(body) + 4) + body)
        rows: list[Row] | None = None
        while (message := self._next())[0] != b"Z":
            kind, content = message
            if kind == b"T":
                rows = []
            elif kind == b"D" and rows is not None:
                rows.append(_row(content))
            elif kind == b"C":
                yield WireResult(pq.ExecStatus.COMMAND_OK if rows is None else pq.ExecStatus.TUPLES_OK, rows or [])
                rows = None
            elif kind == b"H":
                yield WireResult(pq.ExecStatus.COPY_OUT)

    def copy_batches(self) -> Iterator[list[memoryview]]:
        """Yield the messages of the running COPY, as many at a time as have arrived, valid until the next are asked for.

        Raises as `results`.
        """
        while self._error is None:
            kind, content = self._next()
            if kind == b"d":
                yield [content, *self._arrived()]
            elif kind == b"c":
                return

    def copy_alike(self, head: bytes, size: int, into: memoryview) -> int:
        """Read the COPY's next messages straight into `into`: those that are `head` and `size` bytes, which alone are kept.

        Whole messages are taken, waiting for them, as many as fit or until another one comes; returns how many bytes that is.
        Whatever follows is for `copy_batches`, and so is everything when they are long. Raises as `results`.
        """
        one, whole, count = len(head), len(head) + size, len(into) // size
        if whole * _AT_ONCE > len(self._buffer):
            return 0
        got = self._alike_in_buffer(head, size, into)
        if self._start != self._end:
            return got // whole * size
        wanted = head * count
        heads = memoryview(bytearray(wanted))
        places = [
            part for n in range(count) for part in (heads[n * one : n * one + one], into[n * size : n * size + size])
        ]
        while got < count * whole:
            number, part = divmod(got, whole)
            free = places[2 * number : 2 * (number + _AT_ONCE)]
            if part:
                free[:2] = [free[0][part:], free[1][max(part - one, 0) :]]
            got += self._receive_into(free)
            # Of the last one's head there may be a part: a short, last message is nothing to wait behind.
            since, until = number * one, got // whole * one + min(got % whole, one)
            if heads[since:until] != wanted[since:until]:
                first = next(at for at in range(since, until) if heads[at] != wanted[at]) // one
                self._take_back(places[2 * first : 2 * (first + _AT_ONCE)], got - first * whole)
                return first * size
        return count * size

    def _alike_in_buffer(self, head: bytes, size: int, into: memoryview) -> int:
        """Take alike messages out of the buffer, the last perhaps in part; return how many bytes those are with their heads."""
        got = done = 0
        while done + size <= len(into) and self._view[self._start : min(self._start + len(head), self._end)] == head:
            start = self._start + len(head)
            part = min(size, self._end - start)
            into[done : done + part] = self._view[start : start + part]
            self._start = start + part
            got += len(head) + part
            done += part
            if part < size:
                break
        return got

    def _take_back(self, places: list[memoryview], length: int) -> None:
        """Put the first `length` bytes of these places, which are no alike messages, back in line in the empty buffer."""
        self._start, self._end = 0, length
        self._view[:length] = b"".join(places)[:length]

    def _receive_into(self, places: list[memoryview]) -> int:
        """Receive into several places, one after the other, waiting until there is something."""
        while True:
            try:
                size = self._socket.recvmsg_into(places)[0]
            except BlockingIOError:
                self._wait()
                continue
            if size == 0:
                raise ConnectionEnded("the server closed the connection")
            return size

    def _arrived(self) -> list[memoryview]:
        """Take the COPY's messages that are here already, up to the first of another kind or that is not here whole."""
        batch, view, start, end = list[memoryview](), self._view, self._start, self._end
        while end - start >= _HEADER.size:
            kind, length = _HEADER.unpack_from(view, start)
            after = start + 1 + length
            if kind != b"d" or after > end or length < 4:
                break
            batch.append(view[start + _HEADER.size : after])
            start = after
        self._start = start
        return batch

    def _next(self) -> tuple[bytes, memoryview]:
        """Return the next message; errors and notices are noted on the way."""
        while True:
            have = self._end - self._start
            if have >= _HEADER.size:
                kind, length = _HEADER.unpack_from(self._buffer, self._start)
                if length < 4:
                    raise ConnectionEnded("a message of the server has no length")
                whole = 1 + length
                if have >= whole:
                    content = self._view[self._start + _HEADER.size : self._start + whole]
                    self._start += whole
                    if kind == b"E":
                        self._error = _fields(content)
                    elif kind == b"N":
                        self._on_notice(_fields(content))
                    return kind, content
                if self._start + whole > len(self._buffer):
                    self._make_room(whole)
            self._receive()

    def _make_room(self, whole: int) -> None:
        """Move what is left to the front; a message longer than the buffer gets a longer one."""
        have = self._end - self._start
        rest = bytes(self._view[self._start : self._end])
        if whole > len(self._buffer):
            self._buffer = bytearray(whole)
            self._view = memoryview(self._buffer)
        self._view[:have] = rest
        self._start, self._end = 0, have

    def _receive(self) -> None:
        """Take in what the server sent, waiting until there is something."""
        if self._start == self._end:
            self._start = self._end = 0
        elif len(self._buffer) - self._end < _ROOM_BYTES:
            self._make_room(_HEADER.size)
        self._end += self._receive_into([self._view[self._end :]])

    def _wait(self) -> None:
        while not self._poll.poll(_IDLE_S * 1000):
            self._on_wait()


def is_local(fd: int) -> bool:
    """Say whether a connection's socket is a Unix socket, on which libpq encrypts nothing."""
    with socket.socket(fileno=os.dup(fd)) as probe:
        return probe.family == socket.AF_UNIX


def _row(content: memoryview) -> Row:
    count = int.from_bytes(content[:2], "big")
    values: list[str | None] = []
    at = 2
    for _ in range(count):
        size = int.from_bytes(content[at : at + 4], "big", signed=True)
        at += 4
        values.append(None if size < 0 else bytes(content[at : at + size]).decode())
        at += max(size, 0)
    return tuple(values)


def _fields(content: memoryview) -> Fields:
    parts = bytes(content).split(b"\0")
    return {chr(part[0]): part[1:].decode(errors="replace") for part in parts if part}
