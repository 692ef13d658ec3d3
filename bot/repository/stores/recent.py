"""What this process wrote and deleted of late, to correct listings of servers that show it only after a while."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

from bot.repository.stores import Names, ObjectInfo

REMEMBERED = 10_000
FOR_S = 900.0


class Recent:
    """The latest puts and deletes. Thread-safe; forgets after 15 minutes or 10,000 of them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._changes: OrderedDict[str, tuple[bool, float]] = OrderedDict()

    def put(self, path: str) -> None:
        """Note that an object was written."""
        self._note(path, there=True)

    def deleted(self, path: str) -> None:
        """Note that an object was deleted."""
        self._note(path, there=False)

    def corrected(
        self, folder: str, listed: Iterable[ObjectInfo], ask: Callable[[str], ObjectInfo | None]
    ) -> Iterator[ObjectInfo]:
        """Yield a listing, in order, with what it lacks and without what it should not show; `ask` decides in each case."""
        written, gone = self._below(folder)
        missing = iter(written)
        expected = next(missing, None)
        for info in listed:
            while expected is not None and expected < info.path:
                yield from _some(ask(expected))
                expected = next(missing, None)
            if expected == info.path:
                expected = next(missing, None)
            if info.path in gone:
                yield from _some(ask(info.path))
            else:
                yield info
        while expected is not None:
            yield from _some(ask(expected))
            expected = next(missing, None)

    def corrected_names(self, folder: str, names: set[str], there: Callable[[str], bool]) -> set[str]:
        """Return the next components below `folder`: those listed, corrected as `corrected` does."""
        written, gone = self._below(folder)
        wanted = {path[len(folder) :].split("/")[0] for path in written}
        doubtful = {path[len(folder) :].split("/")[0] for path in gone} & names
        doubtful -= wanted
        return {name for name in names | wanted if name not in (wanted - names) | doubtful or there(folder + name)}

    def _note(self, path: str, *, there: bool) -> None:
        now = self._clock()
        with self._lock:
            self._changes.pop(path, None)
            self._changes[path] = there, now
            while self._changes:
                _, at = next(iter(self._changes.values()))
                if len(self._changes) <= REMEMBERED and now - at <= FOR_S:
                    return
                self._changes.popitem(last=False)

    def _below(self, folder: str) -> tuple[Names, set[str]]:
        """Return the paths below `folder` written of late, ordered, and those deleted."""
        bound = self._clock() - FOR_S
        with self._lock:
            changes = [
                (path, there) for path, (there, at) in self._changes.items() if at >= bound and path.startswith(folder)
            ]
        return sorted(path for path, there in changes if there), {path for path, there in changes if not there}


def _some(info: ObjectInfo | None) -> Iterable[ObjectInfo]:
    return [] if info is None else [info]
