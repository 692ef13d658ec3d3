"""An object on its way in parts: each part is sent, and sent again, by itself; a few at once, for the whole store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from bot.errors import PitstopError, Unavailable
from bot.repository.stores.patience import Patience

if TYPE_CHECKING:
    from bot.repository.stores.cloud import Cloud

AT_ONCE = 3
"""Parts in flight for a whole store: what bounds its memory."""
_SMALL_BYTES = 256 * 1024
_ABANDON_S = 10.0


class Workers:
    """The threads that send parts, shared by all puts of a store, and which uploads are theirs. Thread-safe."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._slots = threading.BoundedSemaphore(at_once)
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._live: set[str] = set()
        self._free: list[bytearray] = []
        self._whole = -1

    def lend(self, size: int) -> bytearray:
        """Return a buffer of `size` bytes, the same for all parts of a store; one given back before where there is one.

        Large ones, made anew each time, take up to twice their size of memory.
        """
        with self._lock:
            self._whole = size
            if self._free:
                return self._free.pop()
        return bytearray(size)

    def give_back(self, buffer: bytearray) -> None:
        """Keep a buffer for the next part, unless it was cut or there are enough."""
        with self._lock:
            if len(buffer) == self._whole and len(self._free) < self._at_once:
                self._free.append(buffer)

    def send(self, step: Callable[[], str], part: bytearray) -> Future[str]:
        """Do `step`, which sends `part`, in the background; blocks while enough are on their way."""
        self._slots.acquire()
        try:
            sent = self._started().submit(self._send, step, part)
        except BaseException:
            self._slots.release()
            raise
        sent.add_done_callback(lambda _: self._slots.release())
        return sent

    def is_live(self, upload: str) -> bool:
        """Say whether an upload is being written by this process."""
        with self._lock:
            return upload in self._live

    def note(self, upload: str) -> None:
        """Keep an upload from being swept."""
        with self._lock:
            self._live.add(upload)

    def forget(self, upload: str) -> None:
        """Say that an upload ended, one way or the other."""
        with self._lock:
            self._live.discard(upload)

    def close(self) -> None:
        """End the threads."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()

    def _send(self, step: Callable[[], str], part: bytearray) -> str:
        answer = step()
        self.give_back(part)
        return answer

    def _started(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._at_once, thread_name_prefix="upload")
            return self._pool


class Filling:
    """A part that is being filled, at most `size` bytes; small content takes a small buffer."""

    def __init__(self, workers: Workers, size: int) -> None:
        self._workers, self._size = workers, size
        self._small = bytearray()
        self._buffer: bytearray | None = None
        self._filled = 0

    @property
    def is_full(self) -> bool:
        """Say whether nothing more fits."""
        return self._filled == self._size

    def fill(self, content: memoryview) -> memoryview:
        """Take as much as fits, and return the rest."""
        step = content[: self._size - self._filled]
        end = self._filled + len(step)
        if self._buffer is None and end <= _SMALL_BYTES:
            self._small += step
        else:
            if self._buffer is None:
                self._buffer = self._workers.lend(self._size)
                self._buffer[: self._filled] = self._small
            self._buffer[self._filled : end] = step
        self._filled = end
        return content[len(step) :]

    def take(self) -> bytearray:
        """Return what was filled in, and begin anew."""
        part = self._small if self._buffer is None else self._buffer
        del part[self._filled :]
        self._small, self._buffer, self._filled = bytearray(), None, 0
        return part


class PutInParts:
    """One put, by one thread; begun with the first part. As a context manager it abandons what was not finished."""

    def __init__(
        self, cloud: Cloud, path: str, mark: str, patience: Patience, workers: Workers, *, again: bool = False
    ) -> None:
        """`again`: parts that an earlier put of the same content left are used, and left once more where the storage is away."""
        self._cloud, self._path, self._mark = cloud, path, mark
        self._patience, self._workers = patience, workers
        self._given_up = threading.Event()
        self._upload: str | None = None
        self._sent: list[Future[str]] = []
        self._finished = False
        self._again = again
        self._left: Mapping[int, object] = {}

    @property
    def begun(self) -> bool:
        """Say whether any part was sent."""
        return self._upload is not None

    def send(self, part: bytearray) -> None:
        """Send the next part; it belongs to the upload from now on.

        Raises:
            Unavailable: it cannot be begun, or a part before it was given up.
        """
        if self._upload is None:
            self._upload = self._taken_up(part) or self._patience.insist(
                lambda: self._cloud.begin(self._path, self._mark)
            )
            self._workers.note(self._upload)
        for sent in self._sent:
            if sent.done():
                sent.result()
        number = len(self._sent) + 1
        if number in self._left:
            known = self._cloud.kept(self._left[number], self._upload, number, part)
            if known is not None:
                there: Future[str] = Future()
                there.set_result(known)
                self._sent.append(there)
                self._workers.give_back(part)
                return
        self._sent.append(self._workers.send(self._unless_given_up(number, part), part))

    def _taken_up(self, first: bytearray) -> str | None:
        """Return an upload that an earlier put left, with its parts noted, if it begins with `first`; None where there is none."""
        if not self._again:
            return None
        found = self._patience.insist(lambda: self._cloud.left(self._path, self._mark))
        if found is None or self._workers.is_live(found.upload) or 1 not in found.parts:
            return None
        if self._cloud.kept(found.parts[1], found.upload, 1, first) is None:
            return None  # somebody else's, who may live
        self._left = found.parts
        return found.upload

    def finish(self) -> None:
        """Wait for the parts and make the object of them.

        Raises:
            Taken, ObjectMissing: as `Cloud.finish`.
            Unavailable: a part, or the finish, was given up.
        """
        assert self._upload is not None, "an upload without parts is a plain put"
        parts, upload = [sent.result() for sent in self._sent], self._upload
        self._patience.insist(lambda: self._cloud.finish(self._path, upload, parts, self._mark))
        self._finished = True

    def __enter__(self) -> PutInParts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._upload is None:
            return
        try:
            if not self._finished and not (self._again and isinstance(error, Unavailable)):
                self._abandon(self._upload, error)
            elif not self._finished:
                self._stop()
        finally:
            self._workers.forget(self._upload)

    def _unless_given_up(self, number: int, part: bytearray) -> Callable[[], str]:
        """Return what sends a part, again where that may help, until the whole put is given up."""
        upload, patience = self._upload, replace(self._patience, sleep=self._wait)
        assert upload is not None, "begun before the first part"

        def step() -> str:
            if self._given_up.is_set():
                raise Unavailable(f"The upload of {self._path} was given up.", code="storage-failed")
            return self._cloud.put_part(self._path, upload, number, part)

        return lambda: patience.insist(step)

    def _wait(self, seconds: float) -> None:
        self._given_up.wait(seconds)

    def _stop(self) -> None:
        """Wait until nothing is on its way any more."""
        self._given_up.set()
        for sent in self._sent:
            sent.cancel()
        for sent in self._sent:
            if not sent.cancelled():
                sent.exception()  # a part that arrives after the end would be kept and paid for

    def _abandon(self, upload: str, error: BaseException | None) -> None:
        self._stop()
        hasty = replace(self._patience, for_s=min(self._patience.for_s, _ABANDON_S))
        try:
            hasty.insist(lambda: self._cloud.abandon(self._path, upload))
        except PitstopError as second:
            # The first error is the one to tell; the parts are invisible, and a later sweep drops them.
            if error is not None:
                error.add_note(f"Also, the parts of {self._path} could not be dropped: {second.message}")
