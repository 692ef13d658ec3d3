"""Copy objects from one repository to another byte for byte, each checked on its way: a damaged one never arrives.

An object is checked against what the manifest says of it, or opened with its key while it passes. Either way the target's
write is given up when the check fails, so that nothing of it is ever visible.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from bot.errors import Conflict, PitstopError, Unavailable, Usage
from bot.repository import envelope, layout
from bot.repository.damage import ObjectDamaged, ObjectMissing
from bot.repository.keys.form import decode
from bot.repository.repository import Repository

OnBytes = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Item:
    """One object to copy: `size` (bytes as stored) and `sha256` (hex) where they are recorded; without the latter it is opened."""

    path: str
    size: int | None = None
    sha256: str | None = None


@dataclass
class Trouble:
    """What was wrong with sources: damaged or missing objects, as (repository, error); `away` also where a key is."""

    damaged: list[tuple[str, ObjectDamaged | ObjectMissing]] = field(default_factory=list)
    away: list[tuple[str, PitstopError]] = field(default_factory=list)


class NowhereWhole(Exception):
    """No repository gave an object whole. `damaged` and `away` of its trouble say why; for `jobs.sync` alone."""

    def __init__(self, path: str, trouble: Trouble) -> None:
        super().__init__(path)
        self.path = path
        self.trouble = trouble


def copy_object(
    sources: Sequence[Repository], target: Repository, item: Item, trouble: Trouble, on_bytes: OnBytes = lambda _: None
) -> int:
    """Copy one object from the first of `sources` that gives it whole; return the bytes written, 0 where it was there.

    What was wrong with the sources before that one is added to `trouble`. `on_bytes` is called with each block's length, and
    may raise to stop.

    Raises:
        NowhereWhole: none gave it.
        Unavailable: the target is away, or full.
    """
    met = Trouble()
    for source in sources:
        reading = _Reading(source, item, on_bytes)
        try:
            written = _put(target, item.path, reading)
        except (ObjectDamaged, ObjectMissing) as error:
            met.damaged.append((source.name, error))
        except (Unavailable, Usage) as error:
            if reading.failed is None:
                raise
            met.away.append((source.name, error))
        else:
            trouble.damaged += met.damaged
            trouble.away += met.away
            return written
    trouble.damaged += met.damaged
    raise NowhereWhole(item.path, met)


def copy_key(source: Repository, target: Repository, key_id: str) -> None:
    """Bring one data key in all its wrapped forms, and prove that it opens in `target`. Idempotent.

    Raises:
        Usage: the wrapping keys configured here do not open it.
        ObjectDamaged: a wrapped form is damaged. Unavailable: a repository, or a key service, is away.
    """
    folder = layout.key_folder(key_id)
    there = set(target.store.children(folder))
    for name in source.store.children(folder):
        path = f"{folder}/{name}"
        if name not in there:
            body = source.store.read(path)
            decode(body, path)
            try:
                target.store.put(path, [body])
            except Conflict:
                continue  # another process brought it
    target.keys.prove(key_id)


def is_same(source: Repository, target: Repository, path: str) -> bool:
    """Say whether both hold the same object: its header carries a random salt, so that no two writes are alike. Reads 64 bytes.

    Raises:
        ObjectMissing, Unavailable: one of them does not have it, or is away.
    """
    size = envelope.HEADER_BYTES
    return b"".join(source.store.get(path, 0, size)) == b"".join(target.store.get(path, 0, size))


class _Reading:
    """An object's bytes on their way; `failed` is what its source raised because it, or its key, was away."""

    def __init__(self, source: Repository, item: Item, on_bytes: OnBytes) -> None:
        self._source, self._item, self._on_bytes = source, item, on_bytes
        self.failed: PitstopError | None = None

    def blocks(self) -> Iterator[bytes]:
        """Yield the object's bytes; where anything is wrong with them this ends in an error, and nothing was written."""
        check = self._summed if self._item.sha256 else self._opened
        try:
            yield from check(self._read())
        except (Unavailable, Usage) as error:
            self.failed = error
            raise

    def _read(self) -> Iterator[bytes]:
        for block in self._source.store.get(self._item.path):
            self._on_bytes(len(block))
            yield block

    def _summed(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        digest, size = hashlib.sha256(), 0
        for block in blocks:
            digest.update(block)
            size += len(block)
            yield block
        if digest.hexdigest() != self._item.sha256 or size != (self._item.size or size):
            raise ObjectDamaged(self._item.path, "it is not the object that the manifest names: size or SHA-256 differ")

    def _opened(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        passed: deque[bytes] = deque()

        def watched() -> Iterator[bytes]:
            for block in blocks:
                passed.append(block)
                yield block

        for _ in envelope.unseal(watched(), path=self._item.path, key_of=self._source.keys.key):
            while passed:
                yield passed.popleft()
        while passed:
            yield passed.popleft()


def _put(target: Repository, path: str, reading: _Reading) -> int:
    try:
        return target.store.resume(path, reading.blocks())
    except Conflict:
        return 0
