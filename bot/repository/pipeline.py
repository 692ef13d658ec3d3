"""Pieces in, volumes out: compressed by as many threads as there are cores, sealed and stored in order, memory bounded."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from bot.repository.codec import Buffer, Codec
from bot.repository.manifest import Volume
from bot.repository.stores import Store

VOLUMES_AT_ONCE = 3
"""One being filled, the others on their way to the disk or the network."""
_SPARE_PIECES = 3

SealOf = Callable[[str, Iterable[Buffer]], Iterator[memoryview]]
Frame = tuple[bytes, Buffer]
"""A frame's header and body; the body may be the piece itself."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A buffer lent by the pipeline, and how much of it is filled."""

    buffer: bytearray
    size: int


class Pipeline:
    """The threads behind one backup. One thread feeds it; the first failure of any other is raised there, again and again."""

    def __init__(self, store: Store, seal: SealOf, codec: Codec, piece_bytes: int, workers: int | None = None) -> None:
        self.store = store
        self.seal = seal
        self.codec = codec
        self.piece_bytes = piece_bytes
        self.bytes_stored = 0
        cores = workers or len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(cores, thread_name_prefix="compress")
        self._free: queue.SimpleQueue[bytearray | None] = queue.SimpleQueue()
        self._unmade = cores + _SPARE_PIECES
        self._lock = threading.Lock()
        self._volumes: list[VolumeThread] = []
        self._failure: BaseException | None = None

    def lend(self) -> bytearray:
        """Return a buffer of `piece_bytes`, waiting until one is free: this bounds the memory."""
        self.check()
        if self._unmade:
            self._unmade -= 1
            return bytearray(self.piece_bytes)
        buffer = self._free.get()
        if buffer is None:
            self._free.put(None)
            self.check()
            raise AssertionError("woken without a failure")
        return buffer

    def give_back(self, buffer: bytearray) -> None:
        """Take back a buffer nobody reads any more."""
        self._free.put(buffer)

    def volume(self, path: str, start: int) -> VolumeThread:
        """Start a volume at `path` that begins at byte `start` of its archive; waits while too many are unfinished."""
        self._volumes = [volume for volume in self._volumes if volume.is_alive()]
        if len(self._volumes) >= VOLUMES_AT_ONCE:
            self._volumes[0].join()
        self.check()
        volume = VolumeThread(self, path, start)
        with self._lock:
            self._volumes.append(volume)
        volume.start()
        return volume

    def compress(self, piece: Piece) -> Future[Frame]:
        """Start compressing a piece."""
        return self._pool.submit(self._frame, piece)

    def stored(self, size: int) -> None:
        """Count bytes that are durable."""
        with self._lock:
            self.bytes_stored += size

    def check(self) -> None:
        """Raise what stopped the pipeline, if anything did."""
        if self._failure is not None:
            raise self._failure

    def fail(self, error: BaseException) -> None:
        """Stop everything; the first error is the one that is told."""
        with self._lock:
            if self._failure is None:
                self._failure = error
            volumes = list(self._volumes)
        for volume in volumes:
            volume.stop()
        self._free.put(None)

    def close(self) -> None:
        """End all threads, and wait for them. Volumes still open are stopped and leave nothing."""
        for volume in self._volumes:
            volume.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for volume in self._volumes:
            volume.join()

    def _frame(self, piece: Piece) -> Frame:
        return self.codec.parts(memoryview(piece.buffer)[: piece.size])


class Stopped(Exception):
    """A volume was given up before its end."""


class VolumeThread(threading.Thread):
    """One volume on its way: takes pieces in order, seals their frames and stores them; `result()` is its entry."""

    def __init__(self, pipeline: Pipeline, path: str, start: int) -> None:
        # A daemon, so that a process whose main thread died does not wait for pieces that never come.
        super().__init__(name=f"volume {path}", daemon=True)
        self.path = path
        self.bytes_read = 0
        self._pipeline = pipeline
        self._start = start
        self._frames: list[int] = []
        self._queue: queue.SimpleQueue[tuple[Future[Frame], Piece] | bool] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._volume: Volume | None = None

    def add(self, piece: Piece) -> None:
        """Append a piece."""
        self.bytes_read += piece.size
        self._queue.put((self._pipeline.compress(piece), piece))

    def finish(self) -> None:
        """Say that no piece follows; does not wait."""
        self._queue.put(True)

    def stop(self) -> None:
        """Give the volume up, unless it is finished."""
        self._stopped.set()
        self._queue.put(False)

    def result(self) -> Volume:
        """Wait until the volume is durable, and return its entry for the manifest."""
        self.join()
        self._pipeline.check()
        assert self._volume is not None, "a finished volume has an entry or a failure"
        return self._volume

    def run(self) -> None:
        """Store the volume; what goes wrong stops the pipeline, which tells the feeding thread."""
        digest = hashlib.sha256()
        try:
            sealed = _hashed(self._pipeline.seal(self.path, self._contents()), digest.update)
            size = self._pipeline.store.put(self.path, sealed)
            self._volume = Volume(
                self.path, self._start, self.bytes_read, size, digest.hexdigest(), tuple(self._frames)
            )
            self._pipeline.stored(size)
        except BaseException as error:  # noqa: BLE001  the edge of a thread: raised again in the thread that feeds it
            self._pipeline.fail(error)

    def _contents(self) -> Iterator[Buffer]:
        while True:
            item = self._queue.get()
            if self._stopped.is_set() or item is False:
                raise Stopped(self.path)
            if item is True:
                return
            future, piece = item
            header, body = future.result()
            self._frames.append(len(header) + len(body))
            yield header
            yield body
            self._pipeline.give_back(piece.buffer)
            # While this waits for the next piece, nothing of this one is held.
            del item, future, piece, body


def _hashed(blocks: Iterable[memoryview], update: Callable[[memoryview], object]) -> Iterator[memoryview]:
    for block in blocks:
        update(block)
        yield block
