"""A store in a directory: each object a file, written beside under a hidden name, made durable, then linked into place."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from bot.errors import Conflict, Unavailable
from bot.host.files import fsync_dir
from bot.repository.damage import ObjectMissing
from bot.repository.layout import check_path
from bot.repository.stores import Block, Names, ObjectInfo

BLOCK_BYTES = 1024 * 1024
_HIDDEN = "."
_SUFFIX = ".tmp"
_ATTEMPTS = 20
_AT_A_TIME = 1000


class FilesStore:
    """Objects as files (0600) in folders (0700) below `root`. Several processes may share it, also over a network file system
    that has hard links. Names beginning with a dot are never objects.

    A disk that is unmounted under it is noticed: nothing is then written into the empty mount point, and nothing said to be
    absent. Open the store anew once the disk is back.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._durable: set[Path] = set()
        self._lock = threading.Lock()
        self._root_identity = _identity(root)

    reads_at_once = 1

    @property
    def url(self) -> str:
        """Return `file:///…`."""
        return f"file://{self.root}"

    def put(self, path: str, chunks: Iterable[Block]) -> int:
        """Write an object once; see `Store.put`. One that fails leaves no empty folder either."""
        target = self._file(path)
        try:
            return self._write(target, path, chunks)
        except BaseException:
            with contextlib.suppress(OSError):
                self._prune(target.parent)
            raise

    def resume(self, path: str, chunks: Iterable[bytes]) -> int:
        """Write as `put` does: what an interrupted write left is swept, since a disk is quicker than comparing with it."""
        return self.put(path, chunks)

    def get(self, path: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield an object's bytes; see `Store.get`."""
        with _translated(self._file(path), "read"):
            try:
                fd = os.open(self._file(path), os.O_RDONLY | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                self._check_root()
                raise ObjectMissing(path) from None
        reading = _Reading(fd, self._file(path), offset, length)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            reading.close()
            raise ObjectMissing(path)
        return reading

    def read(self, path: str) -> bytes:
        """Return a small object's bytes."""
        return b"".join(self.get(path))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield every complete object below `prefix`, ordered by path."""
        prefix = prefix.rstrip("/")
        folder = self._file(prefix) if prefix else self.root
        yield from _walk(folder, f"{prefix}/" if prefix else "")
        self._check_root()

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the paths of every complete object below `prefix`, in any order; no file is looked at, only folders."""
        prefix = prefix.rstrip("/")
        for some in _names(str(self._file(prefix) if prefix else self.root), f"{prefix}/" if prefix else ""):
            yield from some
        self._check_root()

    def children(self, prefix: str) -> Names:
        """Return the next components below `prefix` that are objects or lead to one, ordered."""
        prefix = prefix.rstrip("/")
        found = _entries(self._file(prefix) if prefix else self.root)
        names = sorted(e.name for e in found if not e.is_dir() or _leads_somewhere(e.path))
        self._check_root()
        return names

    def exists(self, path: str) -> bool:
        """Say whether a complete object of that path is there."""
        with _translated(self._file(path), "looked at"):
            try:
                return stat.S_ISREG(self._file(path).stat().st_mode)
            except (FileNotFoundError, NotADirectoryError):
                self._check_root()
                return False

    def delete(self, path: str) -> None:
        """Remove an object, and the folders it leaves empty."""
        target = self._file(path)
        with _translated(target, "deleted"):
            try:
                # Opened first: once the name is gone, somebody else may remove the folder as well.
                with _folder(target.parent) as folder:
                    target.unlink()
                    os.fsync(folder)
            except (FileNotFoundError, NotADirectoryError):
                return
            self._prune(target.parent)

    def sweep(self, older_than: datetime) -> int:
        """Remove what interrupted writes left behind: not written to since `older_than`, and locked by nobody."""
        removed = [
            Path(folder)
            for folder, _, names in os.walk(self.root)
            for name in names
            if name.startswith(_HIDDEN) and name.endswith(_SUFFIX) and _remove_leftover(Path(folder, name), older_than)
        ]
        for folder in removed:
            with _translated(folder, "deleted"):
                self._prune(folder)
        return len(removed)

    def _write(self, target: Path, path: str, chunks: Iterable[Block]) -> int:
        self._check_root()
        if self.exists(path):
            raise self._taken(target, path)
        with _translated(target, "written"):
            fd, temporary = self._temporary(target)
        try:
            size = 0
            for chunk in chunks:
                with _translated(target, "written"):
                    size += _write(fd, chunk)
            with _translated(target, "written"):
                os.fsync(fd)
                self._link(temporary, target, path)
        finally:
            # Unlinked before the lock goes with the descriptor, so that nobody takes it for a leftover.
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
            os.close(fd)
        return size

    def _file(self, path: str) -> Path:
        return self.root / check_path(path)

    def _check_root(self) -> None:
        """Make sure that the repository's folder is the one it was when this store was opened.

        Raises:
            Unavailable: `repository-gone`.
        """
        found = _identity(self.root)
        if found is None or found != self._root_identity:
            raise Unavailable(
                f"The repository's folder {self.root} is {'gone' if found is None else 'another one than it was'}.",
                hint="Is its disk mounted? Nothing is written until it is back.",
                code="repository-gone",
            )

    def _temporary(self, target: Path) -> tuple[int, Path]:
        """Open a hidden file beside `target`, locked for as long as it is written; a folder pruned meanwhile is made again."""
        temporary = target.with_name(f"{_HIDDEN}{target.name[:100]}.{secrets.token_hex(8)}{_SUFFIX}")
        for _ in range(_ATTEMPTS):
            try:
                self._make_folder(target.parent)
                fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except FileNotFoundError:
                self._check_root()
                # Another process removed the last object of the branch; any of its folders may be gone.
                with self._lock:
                    self._durable.difference_update([target.parent, *target.parent.parents])
                continue
            fcntl.flock(fd, fcntl.LOCK_EX)
            return fd, temporary
        raise FileNotFoundError(errno.ENOENT, "its folder keeps vanishing", str(target.parent))

    def _link(self, temporary: Path, target: Path, path: str) -> None:
        """Give the finished file its name, durably, never replacing one: a link fails where the name is taken."""
        with _folder(target.parent) as folder:
            try:
                os.link(temporary, target)
            except FileExistsError:
                raise self._taken(target, path) from None
            os.fsync(folder)

    def _taken(self, target: Path, path: str) -> Conflict:
        """Refuse to write `path` again, after making sure that the one which is there stays: its writer may have died
        between the link and the fsync, and callers take `object-exists` for durable."""
        with _translated(target, "written"):
            fsync_dir(target.parent)
        return Conflict(
            f"There is an object {path} already; it was not touched.",
            hint="Objects are written once. Is another process writing the same?",
            code="object-exists",
        )

    def _make_folder(self, folder: Path) -> None:
        """Make a folder below the root and its name durable, and those above it."""
        with self._lock:
            if folder in self._durable:
                return
        if folder == self.root:
            return
        self._make_folder(folder.parent)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        fsync_dir(folder.parent)
        with self._lock:
            self._durable.add(folder)

    def _prune(self, folder: Path) -> None:
        while folder != self.root:
            with self._lock:
                self._durable.discard(folder)
            try:
                folder.rmdir()
            except OSError as error:
                if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.EBUSY}:
                    return
                raise
            folder = folder.parent


class _Reading:
    """Blocks of an open file; the descriptor is closed at the end, on an error, or when nobody reads on."""

    def __init__(self, fd: int, file: Path, offset: int, length: int | None) -> None:
        self._fd, self._file, self._offset = fd, file, offset
        self._left = length if length is not None else 1 << 62

    def __iter__(self) -> _Reading:
        return self

    def __next__(self) -> bytes:
        if self._fd < 0:
            raise StopIteration
        with _translated(self._file, "read"):
            block = os.pread(self._fd, min(BLOCK_BYTES, self._left), self._offset)
        if not block:
            self.close()
            raise StopIteration
        self._offset += len(block)
        self._left -= len(block)
        return block

    def close(self) -> None:
        """Close the file; idempotent."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def __del__(self) -> None:
        self.close()


def _identity(folder: Path) -> tuple[int, int] | None:
    """Return what tells a folder, and the file system mounted on it, from another; None when there is none."""
    try:
        found = folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None


@contextlib.contextmanager
def _folder(path: Path) -> Iterator[int]:
    """Open a folder, to make names in it durable even if it is removed meanwhile."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _write(fd: int, chunk: Block) -> int:
    view = memoryview(chunk)
    while view:
        view = view[os.write(fd, view) :]
    return len(chunk)


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    """Return a folder's visible entries; nothing for one that is not there."""
    with _translated(Path(folder), "listed"):
        try:
            with os.scandir(folder) as found:
                return [entry for entry in found if not entry.name.startswith(_HIDDEN)]
        except (FileNotFoundError, NotADirectoryError):
            return []


def _walk(folder: Path | str, prefix: str) -> Iterator[ObjectInfo]:
    # A folder sorts by its name with the slash, so that the paths come out in order.
    # Written for a hundred thousand files in a folder: nothing is made for each but what is yielded.
    entries = sorted(_entries(folder), key=lambda e: e.name + "/" if e.is_dir() else e.name)
    for entry in entries:
        if entry.is_dir():
            yield from _walk(entry.path, f"{prefix}{entry.name}/")
            continue
        try:
            found = entry.stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _unavailable(Path(entry.path), "listed", error) from error
        yield ObjectInfo(prefix + entry.name, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))


def _names(folder: str, prefix: str) -> Iterator[list[str]]:
    """Yield the paths of the files below a folder, some at a time, those in it first; entries are taken as they come."""
    folders = []
    try:
        with os.scandir(folder) as found:
            while some := list(islice(found, _AT_A_TIME)):
                below = [entry for entry in some if entry.is_dir()]
                inside = set(some).difference(below) if below else some
                yield [prefix + entry.name for entry in inside if not entry.name.startswith(_HIDDEN)]
                folders += [entry for entry in below if not entry.name.startswith(_HIDDEN)]
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise _unavailable(Path(folder), "listed", error) from error
    for entry in folders:
        yield from _names(entry.path, f"{prefix}{entry.name}/")


def _leads_somewhere(folder: str) -> bool:
    """Say whether there is a file in a folder or below it, looking no further than the first."""
    return any(_names(folder, ""))


def _remove_leftover(path: Path, older_than: datetime) -> bool:
    with _translated(path, "deleted"):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        try:
            if os.fstat(fd).st_mtime >= older_than.timestamp():
                return False
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
    return True


@contextlib.contextmanager
def _translated(file: Path, doing: str) -> Iterator[None]:
    """Say an operating system's error in our words: which file or folder cannot be written, read, listed or deleted."""
    try:
        yield
    except OSError as error:
        raise _unavailable(file, doing, error) from error


_RIGHTS = {"written": "write there", "deleted": "delete there", "listed": "list that folder"}


def _unavailable(file: Path, doing: str, error: OSError) -> Unavailable:
    what = f"The repository's {'folder' if doing == 'listed' else 'file'} {file} cannot be {doing}: {error.strerror}."
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return Unavailable(
                what, hint="Is the disk full? `df` shows it; free space or expire backups.", code="storage-full"
            )
        case errno.EROFS:
            hint = "Is its disk mounted read-only? Lists and restores work as they are; backups need to write there."
            return Unavailable(what, hint=hint, code="storage-forbidden")
        case errno.EACCES | errno.EPERM:
            right = _RIGHTS.get(doing, "read it")
            hint = f"May the user that runs this {right}? Everything in the repository's folder should belong to that user."
            return Unavailable(what, hint=hint, code="storage-forbidden")
        case _:
            return Unavailable(what, hint="Is the disk mounted and healthy? `dmesg` may say.", code="storage-failed")
