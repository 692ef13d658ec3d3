"""A store in somebody's cloud: what S3 and Azure have in common, over the few calls in which they differ."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import chain
from typing import Literal, Protocol

from bot.errors import Conflict, PitstopError, Unavailable
from bot.repository.damage import ObjectMissing
from bot.repository.layout import check_path
from bot.repository.stores import Block, Names, ObjectInfo
from bot.repository.stores.patience import Again, Patience, Tries
from bot.repository.stores.place import Place
from bot.repository.stores.recent import Recent
from bot.repository.stores.uploads import Filling, PutInParts, Workers

BLOCK_BYTES = 1024 * 1024
AGAIN = "again-"
"""How the mark of a put begins that goes on where an earlier one was interrupted."""
_TOLD_BY_BYTES = 64
PART_BYTES = 5 * 1024 * 1024
"""The smallest part that S3 takes; what is in memory at a time are one of each object on its way, and those being sent."""
READS_AT_ONCE = 8
Sleep = Literal["asleep", "waking", "awake"]


class Taken(Exception):
    """An object of that name is there already; for `CloudStore` alone."""


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of an object without reading it: `size` in bytes, `modified` aware UTC, `mark` of the put that wrote it."""

    size: int
    modified: datetime
    mark: str


@dataclass(frozen=True, slots=True)
class Page:
    """One answer to a listing: objects, the folders below the prefix (with a delimiter), and where the next page begins."""

    objects: list[ObjectInfo]
    folders: list[str]
    after: str | None


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An upload in parts that was begun and neither finished nor abandoned."""

    path: str
    upload: str


@dataclass(frozen=True, slots=True)
class Left:
    """What an interrupted upload left: its id, and its parts by number, as the cloud's `kept` understands them."""

    upload: str
    parts: Mapping[int, object]


class Body(Protocol):
    """The answer to a read, open: `size` is the whole object's, `version` names its content."""

    size: int
    version: str

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`; none at the end. Raises Again when it breaks off."""
        ...

    def close(self) -> None:
        """Give the connection back; idempotent."""
        ...


class Cloud(Protocol):
    """The calls in which clouds differ. Paths are the store's, without the prefix in the bucket.

    Each call is one request or a few, tried once: it raises Again when another try may help, Unavailable when not.

    Attributes:
        url: where it is, without secrets.
        look_first: ask for an object before writing it, since the server may not know a conditional write.
        consistent: a listing shows at once what was written.
        tags: objects carry tags that lifecycle rules ask for.
    """

    url: str
    look_first: bool
    consistent: bool
    tags: bool

    def put(self, path: str, content: bytearray, mark: str) -> None:
        """Write a whole object. Raises Taken."""
        ...

    def begin(self, path: str, mark: str) -> str:
        """Begin an upload in parts; return its id."""
        ...

    def put_part(self, path: str, upload: str, number: int, content: bytearray) -> str:
        """Send part `number`, counted from 1, and return what `finish` has to know of it."""
        ...

    def left(self, path: str, mark: str) -> Left | None:
        """Return the upload of `path` in parts that is furthest, of those that the put `mark` may go on with; None: no such."""
        ...

    def kept(self, part: object, upload: str, number: int, content: bytearray) -> str | None:
        """Return what `finish` has to know of a part that is there, if it is exactly `content`; no request."""
        ...

    def finish(self, path: str, upload: str, parts: list[str], mark: str) -> None:
        """Make the object of its parts. Raises Taken, and ObjectMissing when there is no such upload (any more)."""
        ...

    def abandon(self, path: str, upload: str) -> None:
        """Drop an upload in parts; one that is not there is no error."""
        ...

    def open(self, path: str, offset: int, length: int | None, version: str | None) -> Body:
        """Begin to read. Raises ObjectMissing, or ObjectDamaged when `version` is given and is not what is there."""
        ...

    def head(self, path: str) -> Head | None:
        """Return what is known of an object, or None when there is none."""
        ...

    def page(self, folder: str, after: str | None, *, deep: bool) -> Page:
        """Return one page, in order, of what is below `folder` (`""`, or ending in a slash); not `deep`: its next components."""
        ...

    def delete(self, path: str) -> None:
        """Remove an object; one that is not there is no error."""
        ...

    def unfinished(self, before: datetime) -> Iterator[Unfinished]:
        """Yield uploads in parts that were begun, and last added to, before a time."""
        ...

    def overwrites(self, path: str) -> bool:
        """Say whether a conditional write replaces the object at `path`, which must be a probe's."""
        ...

    def leave_window(self, path: str) -> None:
        """Mark a volume or WAL segment as needed by no backup one can restore, so that the lifecycle may age it."""
        ...

    def enter_window(self, path: str) -> None:
        """Take that mark off again."""
        ...

    def asleep(self, path: str) -> Sleep:
        """Say of an archived object whether it can be read now, or its retrieval is on its way. Raises ObjectMissing."""
        ...

    def retrieve(self, path: str) -> None:
        """Ask for an archived object to be made readable."""
        ...

    def place(self, patience: Patience) -> Place:
        """Return the bucket or container; what is asked of it is asked again with this patience."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class CloudStore:
    """Objects in a bucket or container, see `Store`. Thread-safe; memory is bounded by a few parts of 5 MiB.

    A part or a range that fails is tried again by itself. Each object carries the random mark of the put that wrote it, so
    that a write whose answer was lost is recognised as our own when it is tried again.
    """

    def __init__(
        self,
        cloud: Cloud,
        patience: Patience,
        *,
        part_bytes: int = PART_BYTES,
        live_for: timedelta = timedelta(days=1),
    ) -> None:
        """`live_for`: an upload in parts that was added to within it may be somebody's, and is never swept."""
        self.cloud = cloud
        self._patience = patience
        self._part_bytes = part_bytes
        self._live_for = live_for
        self._workers = Workers()
        self._recent = Recent()

    reads_at_once = READS_AT_ONCE

    @property
    def url(self) -> str:
        """Return the URL of bucket and prefix."""
        return self.cloud.url

    def put(self, path: str, chunks: Iterable[Block]) -> int:
        """Write an object once; see `Store.put`. Content of more than one part goes out in parts."""
        return self._put(path, chunks, secrets.token_hex(16), again=False)

    def resume(self, path: str, chunks: Iterable[bytes]) -> int:
        """Write what can be read again byte for byte; see `Store.resume`.

        Its mark comes from its path and its first bytes, in which every sealed object differs from every other.
        """
        blocks = iter(chunks)
        first = next(blocks, b"")
        told = blake2b(path.encode() + b"\0" + bytes(first[:_TOLD_BY_BYTES]), digest_size=12)
        return self._put(path, chain([first], blocks), f"{AGAIN}{told.hexdigest()}", again=True)

    def _put(self, path: str, chunks: Iterable[Block], mark: str, *, again: bool) -> int:
        check_path(path)
        if (again or self.cloud.look_first) and self.exists(path):
            raise _taken(path)  # a copy that an earlier attempt finished would have the very mark of this one
        size, part = 0, Filling(self._workers, self._part_bytes)
        with PutInParts(self.cloud, path, mark, self._patience, self._workers, again=again) as upload:
            for chunk in chunks:
                size += len(chunk)
                rest = memoryview(chunk)
                while rest:
                    if part.is_full:
                        upload.send(part.take())
                    rest = part.fill(rest)
            last = part.take()
            self._complete(path, mark, last, upload)
            if not upload.begun:
                self._workers.give_back(last)
        self._recent.put(path)
        return size

    def _complete(self, path: str, mark: str, last: bytearray, upload: PutInParts) -> None:
        try:
            if upload.begun:
                upload.send(last)
                upload.finish()
            else:
                self._patience.insist(lambda: self.cloud.put(path, last, mark))
        except (Taken, ObjectMissing):
            # Taken by ourselves: an earlier try was carried out, and only its answer was lost.
            found = self._head(path)
            if found is None:
                raise _lost(path) from None
            if found.mark != mark:
                raise _taken(path) from None

    def get(self, path: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield an object's bytes; see `Store.get`."""
        check_path(path)
        if length == 0:
            if not self.exists(path):
                raise ObjectMissing(path)
            return iter(())
        return _Reading(self.cloud, self._patience, path, offset, length)

    def read(self, path: str) -> bytes:
        """Return a small object's bytes."""
        return b"".join(self.get(path))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield every complete object below `prefix`, ordered by path; one request for a thousand."""
        folder = _folder(prefix)
        listed = (info for page in self._pages(folder, deep=True) for info in page.objects if _is_object(info.path))
        if self.cloud.consistent:
            return listed
        return self._recent.corrected(folder, listed, self._info)

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the paths of every complete object below `prefix`; a listing costs the same."""
        return (info.path for info in self.list(prefix))

    def children(self, prefix: str) -> Names:
        """Return the next components below `prefix` that are objects or lead to one, ordered."""
        folder = _folder(prefix)
        found = set()
        for page in self._pages(folder, deep=False):
            found |= {info.path for info in page.objects} | {name.rstrip("/") for name in page.folders}
        names = {path[len(folder) :] for path in found if _is_object(path)}
        if not self.cloud.consistent:
            names = self._recent.corrected_names(folder, names, self._leads_somewhere)
        return sorted(names)

    def exists(self, path: str) -> bool:
        """Say whether a complete object of that path is there."""
        check_path(path)
        return self._head(path) is not None

    def delete(self, path: str) -> None:
        """Remove an object."""
        check_path(path)
        self._patience.insist(lambda: self.cloud.delete(path))
        self._recent.deleted(path)

    def sweep(self, older_than: datetime) -> int:
        """Abandon uploads in parts that nobody added to since `older_than`, nor within the last day."""
        before = min(older_than, datetime.now(UTC) - self._live_for)
        found = self._patience.insist(lambda: list(self.cloud.unfinished(before)))
        dead = [one for one in found if not self._workers.is_live(one.upload)]
        for one in dead:
            self._patience.insist(lambda one=one: self.cloud.abandon(one.path, one.upload))  # type: ignore[misc]
        return len(dead)

    def retrieve(self, path: str) -> None:
        """Ask for an archived object (`ObjectInfo.archived`) to be made readable; it takes hours. Asking again changes nothing.

        Raises:
            ObjectMissing.
        """
        check_path(path)
        self._patience.insist(lambda: self.cloud.retrieve(path))

    def leave_window(self, path: str) -> None:
        """Mark a volume or WAL segment as needed by no backup one can restore: the bucket's lifecycle may age it from now on.

        Raises:
            ValueError: it is a record (a key, a manifest, a map …), which no rule of the storage may touch.
            ObjectMissing.
        """
        check_path(path)
        self._patience.insist(lambda: self.cloud.leave_window(path))

    def enter_window(self, path: str) -> None:
        """Take that mark off again: the lifecycle leaves the object alone from now on.

        Raises:
            ObjectMissing.
        """
        check_path(path)
        self._patience.insist(lambda: self.cloud.enter_window(path))

    def asleep(self, path: str) -> Sleep:
        """Say of an object that a listing marks as archived whether it can be read all the same, or will be soon.

        Raises:
            ObjectMissing.
        """
        check_path(path)
        return self._patience.insist(lambda: self.cloud.asleep(path))

    def overwrites(self, path: str) -> bool:
        """Say whether the server ignores the condition of a write, and replaced the probe at `path`."""
        check_path(path)
        return self._patience.insist(lambda: self.cloud.overwrites(path))

    def place(self) -> Place:
        """Return the bucket or container it lies in."""
        return self.cloud.place(self._patience)

    def close(self) -> None:
        """End threads and connections; the store is not used afterwards."""
        self._workers.close()
        self.cloud.close()

    def _head(self, path: str) -> Head | None:
        return self._patience.insist(lambda: self.cloud.head(path))

    def _info(self, path: str) -> ObjectInfo | None:
        head = self._head(path)
        return ObjectInfo(path, head.size, head.modified) if head else None

    def _leads_somewhere(self, path: str) -> bool:
        return self._head(path) is not None or next(iter(self.list(path)), None) is not None

    def _pages(self, folder: str, *, deep: bool) -> Iterator[Page]:
        after: str | None = None
        while True:
            page = self._patience.insist(lambda after=after: self.cloud.page(folder, after, deep=deep))  # type: ignore[misc]
            yield page
            after = page.after
            if after is None:
                return


class _Reading:
    """Blocks of an object. Where the answer breaks off, the rest is asked for anew: the same object's, or it is an error."""

    def __init__(self, cloud: Cloud, patience: Patience, path: str, offset: int, length: int | None) -> None:
        self._body: Body | None = None
        self._cloud, self._patience, self._path = cloud, patience, path
        self._tries = Tries(patience)
        self._offset = offset
        body = patience.insist(lambda: cloud.open(path, offset, length, None))
        self._body, self._version = body, body.version
        there = max(0, body.size - offset)
        self._left = there if length is None else min(length, there)

    def __iter__(self) -> _Reading:
        return self

    def __next__(self) -> bytes:
        while self._left:
            try:
                block = self._read()
            except Again as error:
                self.close()
                self._tries.failed(error)
                continue
            self._tries.succeeded()
            self._offset += len(block)
            self._left -= len(block)
            return block
        self.close()
        raise StopIteration

    def _read(self) -> bytes:
        if self._body is None:
            self._body = self._cloud.open(self._path, self._offset, self._left, self._version)
        block = self._body.read(min(BLOCK_BYTES, self._left))
        if not block:
            raise Again(f"The answer to reading {self._path} ended {self._left} bytes early.", code="storage-truncated")
        return block

    def close(self) -> None:
        """Give the connection back; idempotent."""
        if self._body is not None:
            body, self._body = self._body, None
            body.close()

    def __del__(self) -> None:
        with contextlib.suppress(PitstopError):
            self.close()


def _folder(prefix: str) -> str:
    prefix = prefix.rstrip("/")
    return f"{check_path(prefix)}/" if prefix else ""


def _is_object(path: str) -> bool:
    """Say whether a name in the bucket may be one of ours; consoles leave `folder/` behind, for instance."""
    try:
        check_path(path)
    except PitstopError:
        return False
    return True


def _taken(path: str) -> Conflict:
    return Conflict(
        f"There is an object {path} already; it was not touched.",
        hint="Objects are written once. Is another process writing the same?",
        code="object-exists",
    )


def _lost(path: str) -> Unavailable:
    return Unavailable(
        f"The upload of {path} vanished before it was finished.",
        hint="Does a lifecycle rule or another program abort uploads, or delete objects, in this bucket?",
        code="storage-upload-lost",
    )
