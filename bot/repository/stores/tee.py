"""Several stores written to as one: each object goes to all of them at the same time, the slowest sets the pace.

One that fails past its own deadline, or takes nothing for long, is left out from then on, and the others go on without it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime

from bot.errors import Conflict, PitstopError, Unavailable
from bot.repository.stores import Block, Names, ObjectInfo, Store

CHUNKS_AHEAD = 4
"""How many chunks a faster store may be ahead of a slower one; with 1 MiB each, the memory of each object on its way."""
STALL_S = 600.0
_LOOK_S = 0.2
_GIVEN_UP_S = 30.0


class Tee:
    """A `Store` over several, by their repositories' names. Reads come from the first that is left. Thread-safe.

    Attributes:
        failures: the stores that were left out, and why.
    """

    def __init__(self, stores: Mapping[str, Store], *, stall_s: float = STALL_S) -> None:
        """`stall_s`: a store that takes no chunk for so long, and does not fail either, is left out."""
        self._left = dict(stores)
        self._stall_s = stall_s
        self._lock = threading.Lock()
        self.failures: dict[str, PitstopError] = {}

    @property
    def left(self) -> dict[str, Store]:
        """The stores that are written to, in their order; at least one, so that nothing is ever said to be absent by none.

        Raises:
            PitstopError: why the last one was left out.
        """
        with self._lock:
            self._require_one()
            return dict(self._left)

    @property
    def reads_at_once(self) -> int:
        """Return what suits the first of the stores that are left."""
        return self._first.reads_at_once

    @property
    def url(self) -> str:
        """Return the URLs of the stores that are left."""
        return " and ".join(store.url for store in self.left.values())

    def leave_out(self, name: str, error: PitstopError) -> None:
        """Write no more to a store; idempotent.

        Raises:
            PitstopError: `error`, where it was the last one.
        """
        with self._lock:
            if self._left.pop(name, None) is not None:
                self.failures[name] = error
            if not self._left:
                raise error

    def put(self, path: str, chunks: Iterable[Block]) -> int:
        """Write an object to all stores, durably; see `Store.put`. Fails only when none of them has it.

        Raises:
            Conflict: all have an object of that path.
        """
        branches = [_Branch(name, store, path) for name, store in self.left.items()]
        size = 0
        try:
            for chunk in chunks:
                size += len(chunk)
                # Taken whole: whoever yields it may use its buffer again while a slower store still writes.
                kept = chunk if isinstance(chunk, bytes) else bytes(chunk)
                for branch in branches:
                    self._offer(branch, kept)
            for branch in branches:
                self._offer(branch, None)
        except BaseException:
            for branch in branches:
                branch.give_up()
            for branch in branches:
                branch.wait(_GIVEN_UP_S, size)
            raise
        self._settle(branches, size)
        return size

    def resume(self, path: str, chunks: Iterable[bytes]) -> int:
        """Write as `put` does."""
        return self.put(path, chunks)

    def get(self, path: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield an object's bytes; see `Store.get`."""
        return self._first.get(path, offset, length)

    def read(self, path: str) -> bytes:
        """Return a small object's bytes."""
        return self._first.read(path)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield every complete object below `prefix`, ordered by path."""
        return self._first.list(prefix)

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the paths of the first store's objects below `prefix`."""
        return self._first.names(prefix)

    def children(self, prefix: str) -> Names:
        """Return the next components below `prefix`, in any of the stores, ordered."""
        return sorted({name for store in self.left.values() for name in store.children(prefix)})

    def exists(self, path: str) -> bool:
        """Say whether a complete object of that path is in any of the stores."""
        return any(store.exists(path) for store in self.left.values())

    def delete(self, path: str) -> None:
        """Remove an object from all stores."""
        for store in self.left.values():
            store.delete(path)

    def sweep(self, older_than: datetime) -> int:
        """Remove what interrupted puts left behind in any of the stores."""
        return sum(store.sweep(older_than) for store in self.left.values())

    def _require_one(self) -> None:
        if not self._left:
            raise next(reversed(self.failures.values()))

    @property
    def _first(self) -> Store:
        return next(iter(self.left.values()))

    def _offer(self, branch: _Branch, chunk: bytes | None) -> None:
        """Hand a chunk on (None: the end); one that takes nothing for `stall_s` is left out."""
        if branch.name in self.failures:
            branch.give_up()
        elif not branch.offer(chunk, self._stall_s):
            branch.give_up()
            self.leave_out(branch.name, _stalled(branch.name, branch.path, self._stall_s))

    def _settle(self, branches: Sequence[_Branch], size: int) -> None:
        """Wait for all, and leave out those that do not have the object now."""
        errors = {branch.name: branch.wait(self._stall_s, size) for branch in branches}
        failed = {name: error for name, error in errors.items() if error is not None and name not in self.failures}
        if failed and len(failed) == len(self.left) and all(isinstance(error, Conflict) for error in failed.values()):
            raise next(iter(failed.values()))
        for name, error in failed.items():
            self.leave_out(name, error)
        # Another object's put may have left out all of this one's stores meanwhile: then nobody has it.
        self._require_one()


class _Branch:
    """One store's part of one put: a thread of its own that takes the chunks from a short queue."""

    def __init__(self, name: str, store: Store, path: str) -> None:
        self.name, self.path = name, path
        self._store = store
        self._queue: queue.Queue[bytes | None] = queue.Queue(CHUNKS_AHEAD)
        self._given_up = threading.Event()
        self._outcome: Future[int] = Future()
        # A daemon, so that a store that hangs for ever does not keep the process.
        threading.Thread(target=self._run, name=f"put {name} {path}", daemon=True).start()

    def offer(self, chunk: bytes | None, timeout_s: float) -> bool:
        """Hand on a chunk; False where it was not taken for so long. Nothing is waited for where the put has ended already."""
        deadline = time.monotonic() + timeout_s
        while not self._outcome.done():
            try:
                self._queue.put(chunk, timeout=_LOOK_S)
            except queue.Full:
                if time.monotonic() > deadline:
                    return False
            else:
                return True
        return True

    def give_up(self) -> None:
        """End the put without an object."""
        self._given_up.set()

    def wait(self, timeout_s: float, size: int) -> PitstopError | None:
        """Return why the store does not have the object, of `size` bytes; None when it has."""
        try:
            written = self._outcome.result(timeout_s)
        except TimeoutError:
            self.give_up()
            return _stalled(self.name, self.path, timeout_s)
        except _GivenUp:
            return _stalled(self.name, self.path, timeout_s)
        except PitstopError as error:
            return error
        if written != size:
            return Unavailable(
                f"{self.name} stored {written} bytes of {self.path} instead of {size}.", code="storage-failed"
            )
        return None

    def _run(self) -> None:
        try:
            self._outcome.set_result(self._store.put(self.path, self._chunks()))
        except BaseException as error:  # noqa: BLE001  the edge of a thread: whoever waits for it is told
            self._outcome.set_exception(error)

    def _chunks(self) -> Iterator[bytes]:
        while True:
            if self._given_up.is_set():
                raise _GivenUp(self.path)
            try:
                chunk = self._queue.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
            if chunk is None:
                return
            yield chunk


class _GivenUp(Exception):
    """The object is not wanted any more."""


def _stalled(name: str, path: str, seconds: float) -> Unavailable:
    return Unavailable(
        f"{name} took nothing of {path} for {seconds:.0f} s.",
        hint="Is its disk or its network dead?",
        code="storage-stalled",
    )
