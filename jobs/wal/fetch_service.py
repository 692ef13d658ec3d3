"""Answers `pitstop wal fetch` over the spool's socket with what only the repositories hold, or with proof of absence."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from bot.errors import PitstopError
from bot.host.spool import Spool
from bot.model.wal import parse_history_name, parse_segment_name
from bot.repository.wal import WalArchive
from jobs.wal.source import WalSource

_TICK_S = 0.5
_TIMEOUT_S = 10


class FetchService:
    """One thread that answers one question at a time: a recovering server asks for one segment after the other.

    A question is a file's name and a newline; the answer `found <bytes>` and the bytes, `absent`, or `failed <why>`.
    """

    def __init__(self, spool: Spool, archives: Callable[[], Sequence[WalArchive]], segment_bytes: int) -> None:
        self._spool = spool
        self._archives = archives
        self._segment_bytes = segment_bytes
        self._stop = threading.Event()
        self._outcome: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="fetch", daemon=True)

    def start(self) -> None:
        """Begin to answer; the socket is private to this user."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self._stop.set()
        self._thread.join(_TIMEOUT_S)

    def check(self) -> None:
        """Raise what ended the thread, if anything unexpected did."""
        if self._outcome.done():
            self._outcome.result()

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:  # noqa: BLE001 - the edge of a thread: the receiver raises it again in `check`
            self._outcome.set_exception(error)
        else:
            self._outcome.set_result(None)

    def _serve(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            self._bind(listener)
            listener.settimeout(_TICK_S)
            while not self._stop.is_set():
                try:
                    link, _ = listener.accept()
                except TimeoutError:
                    continue
                with link:
                    self._answer(link)
        self._spool.socket_path.unlink(missing_ok=True)

    def _bind(self, listener: socket.socket) -> None:
        """Bind through the open folder, so that the path is short however deep the spool lies."""
        self._spool.socket_path.unlink(missing_ok=True)
        folder = os.open(self._spool.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            listener.bind(f"/proc/self/fd/{folder}/{self._spool.socket_path.name}")
        finally:
            os.close(folder)
        self._spool.socket_path.chmod(0o600)
        listener.listen(8)

    def _answer(self, link: socket.socket) -> None:
        link.settimeout(_TIMEOUT_S)
        try:
            with link.makefile("rb") as question:
                name = question.readline(200).decode().strip()
            head, body = self._look_up(name)
            link.sendall(head.encode() + b"\n" + body)
        except OSError:
            return  # the asker went away; it reports that itself

    def _look_up(self, name: str) -> tuple[str, bytes]:
        try:
            source = WalSource(self._spool, self._archives(), self._segment_bytes)
            timeline = parse_history_name(name)
            data = source.histories().get(timeline) if timeline is not None else self._segment(source, name)
        except (PitstopError, ValueError) as error:
            return f"failed {str(error).splitlines()[0]}", b""
        return ("absent", b"") if data is None else (f"found {len(data)}", data)

    def _segment(self, source: WalSource, name: str) -> bytes | None:
        """Return a segment, a partial one filled up with zeros; None only when its absence is proven.

        Raises:
            ValueError: the name is no segment's, or a later segment exists, so that this one is a hole.
            PitstopError: a place could not be asked, or the copies are damaged.
        """
        timeline, number = parse_segment_name(name, self._segment_bytes)
        data = source.prefix(timeline, number)
        if data is not None:
            return data.ljust(self._segment_bytes, b"\0")
        if not source.is_absent(timeline, number):
            raise ValueError(f"{name} is missing although later WAL exists")
        return None
