"""Files written to their disk while others are still being made, so that little is left to wait for at the end."""

from __future__ import annotations

import contextlib
import os
import queue
import threading

_THREADS = 2
_WAITING = 8
"""Descriptors that wait their turn; with more than that the disk is behind, and asking it for each file would not speed it up."""


class Flusher:
    """Threads that make written files durable in the background. As a context manager it ends them.

    By itself the kernel begins to write back only once a tenth of the memory is dirty, and a disk empties its own cache only when
    it is told to: whoever writes gigabytes and syncs at the end waits for all of it there. Proves nothing about a file that
    was passed over: the end still needs its `syncfs`.
    """

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(_WAITING)
        self._error: OSError | None = None
        self._threads = [threading.Thread(target=self._run, name=f"flush-{n}", daemon=True) for n in range(_THREADS)]
        for thread in self._threads:
            thread.start()

    def wrote(self, fd: int) -> None:
        """Have what is written to an open file so far made durable, unless the disk is behind; does not wait.

        Raises:
            OSError: of an earlier file: the disk reported an error.
        """
        self._check()
        if self._room.acquire(blocking=False):
            try:
                # Its own descriptor: the caller may close theirs at once.
                self._waiting.put(os.dup(fd))
            except BaseException:
                self._room.release()
                raise

    def finish(self) -> None:
        """Wait for all files that were handed over.

        Raises:
            OSError: the disk reported an error.
        """
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()
        self._check()

    def __enter__(self) -> Flusher:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # was told by `finish`, or something worse is being told
            self.finish()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (fd := self._waiting.get()) is not None:
            try:
                os.fdatasync(fd)
            except OSError as error:
                self._error = self._error or error
            finally:
                os.close(fd)
                self._room.release()
