"""One folder of objects behind one small interface; every store passes the same contract suite."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

Names = list[str]
Block = bytes | bytearray | memoryview
"""Some bytes of an object on its way in; views are of bytes."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object as a listing shows it: `size` in bytes as stored, `modified` aware UTC.

    `archived`: it has to be retrieved before it can be read (Glacier, Azure's archive tier), which takes hours.
    """

    path: str
    size: int
    modified: datetime
    archived: bool = False


class Store(Protocol):
    """Objects by path, written once, visible only when complete. Safe to use from several threads and processes.

    Paths are `layout.check_path`'s: components of `[A-Za-z0-9_][A-Za-z0-9._-]*` joined by `/`. Prefixes are whole
    components with or without a trailing slash; `""` is everything.
    Every method raises Unavailable when the storage cannot be reached, is full, or forbids it.
    """

    @property
    def reads_at_once(self) -> int:
        """Say how many small objects are best read at the same time: 1 where reading does not wait for a network."""
        ...

    @property
    def url(self) -> str:
        """Say where this store is, for people; no secrets."""
        ...

    def put(self, path: str, chunks: Iterable[Block]) -> int:
        """Write an object once, durably, and return its size in bytes.

        It is visible only when complete; when `chunks` raises, nothing is left behind. Each chunk is valid until the next is
        asked for: its memory is used again.

        Raises:
            Conflict: code `object-exists`, an object of that path is there; it is untouched.
        """
        ...

    def resume(self, path: str, chunks: Iterable[bytes]) -> int:
        """Write as `put` does what can be read again byte for byte: a copy of an object.

        Parts that an upload of the same content left here when its process was killed, or the storage went away, are not sent
        again: each is compared by its checksum. Where a store knows no parts it is the same as `put`.

        Raises:
            Conflict: as `put`.
        """
        ...

    def get(self, path: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield an object's bytes from `offset`, at most `length` of them (None: to the end), in blocks of 1 MiB at most.

        Raises:
            ObjectMissing: there is no such object; raised at the call, not at the first block.
        """
        ...

    def read(self, path: str) -> bytes:
        """Return a small object's bytes.

        Raises:
            ObjectMissing: there is no such object.
        """
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield every complete object below `prefix`, ordered by path."""
        ...

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the paths that `list` yields, in any order and as cheaply as the store can: nothing else is looked at."""
        ...

    def children(self, prefix: str) -> Names:
        """Return the next components below `prefix` that are objects or lead to one, ordered."""
        ...

    def exists(self, path: str) -> bool:
        """Say whether a complete object of that path is there."""
        ...

    def delete(self, path: str) -> None:
        """Remove an object; one that is not there is no error."""
        ...

    def sweep(self, older_than: datetime) -> int:
        """Remove what interrupted puts left behind, invisible to every other method; return how many. Never a live one."""
        ...
