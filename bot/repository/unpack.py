"""Restore a backup's files: volumes in parallel, written in place by the index, everything verified."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bot.errors import Unavailable
from bot.host.flushing import Flusher
from bot.repository import reader
from bot.repository.damage import ObjectDamaged
from bot.repository.folder import Folder, translated, write_at
from bot.repository.manifest import Archive, Manifest, Volume
from bot.repository.placement import checked, hostile, is_root, link_oid
from bot.repository.tar import Member

if TYPE_CHECKING:
    from bot.repository.cluster import ClusterRepository
    from bot.repository.repository import Repository

CONTROL_FILE = "global/pg_control"
UNFINISHED_CONTROL_FILE = "global/pg_control.unfinished"
"""Until all is written and durable, a server cannot start in the folder: it has no control file."""
BACKUP_MANIFEST = "backup_manifest"
_FLUSHED_BYTES = 16 * 1024 * 1024
"""So much of a file goes to the disk while more of it is fetched."""
_WORTH_FLUSHING_BYTES = 256 * 1024
"""A file that is shorter waits for the end, so that small files go together."""


def unpack(
    repo: ClusterRepository,
    manifest: Manifest,
    directory: Path,
    *,
    tablespace_dir: Callable[[int], Path],
    workers: int | None = None,
    on_bytes: Callable[[int], None] = lambda _: None,
    owner: tuple[int, int] | None = None,
) -> None:
    """Write a base backup's files below `directory` (made when missing) and each tablespace's below `tablespace_dir(oid)`.

    Links in `pg_tblspc` point to those folders. `on_bytes` is called with increments of input restored, from several threads.
    Everything stays private to the caller until the end; as root, `owner` (uid, gid) gets it then. Durable when it returns.

    Raises:
        Refused: `directory-not-empty`, or `hostile-member`: a name would lead outside.
        ObjectMissing, ObjectDamaged: naming object, chunk and piece; what was written until then is left for inspection.
        Unavailable: disk full or store away.
    """
    targets = {a.tablespace: tablespace_dir(a.tablespace) for a in manifest.archives if a.tablespace is not None}
    archives = [archive for archive in manifest.archives if archive.index is not None]
    with ExitStack() as stack:
        flusher = stack.enter_context(Flusher())
        # All folders are opened, and refused, before anything is written to one of them.
        base = stack.enter_context(Folder(directory))
        folders = {oid: stack.enter_context(Folder(path)) for oid, path in targets.items()}
        restore = _Restore(repo.repository, targets, workers or len(os.sched_getaffinity(0)), flusher, on_bytes)
        for archive in archives:
            restore.fill(archive, base if archive.tablespace is None else folders[archive.tablespace])
        _write_backup_manifest(repo, manifest, base)
        own = owner if os.geteuid() == 0 else None
        for archive in archives:
            restore.finish(archive, base if archive.tablespace is None else folders[archive.tablespace], own)
        if own is not None and manifest.archive(BACKUP_MANIFEST) is not None:
            base.finish(BACKUP_MANIFEST, 0o600, own)
        _make_durable([base, *folders.values()], flusher)
        if restore.control_file:
            base.rename(UNFINISHED_CONTROL_FILE, CONTROL_FILE)
        for folder in (*folders.values(), base):
            folder.hand_over(own)


@dataclass
class _Restore:
    """One restore under way: lays files out from the index, and fills them from the volumes in parallel."""

    repository: Repository
    targets: dict[int, Path]
    workers: int
    flusher: Flusher
    on_bytes: Callable[[int], None]
    control_file: bool = False
    stopped: threading.Event = field(default_factory=threading.Event)

    def fill(self, archive: Archive, folder: Folder) -> None:
        """Make an archive's folders, links and files in order, and write each volume as soon as its files are there."""
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="restore")
        running: deque[Future[int]] = deque()
        written = expected = 0
        try:
            for volume, members in _by_volume(archive, self._laid_out(archive, folder)):
                expected += sum(_overlap(volume, member) for member in members)
                running.append(pool.submit(self._write_volume, volume, members, folder))
                while len(running) > self.workers + 1:
                    written += running.popleft().result()
            written += sum(future.result() for future in running)
        finally:
            self.stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
        self.stopped.clear()
        if written != expected or sum(v.bytes_read for v in archive.volumes) != archive.bytes_read:
            raise ObjectDamaged(archive.index or archive.name, "its members and the volumes do not fit together")

    def finish(self, archive: Archive, folder: Folder, owner: tuple[int, int] | None) -> None:
        """Give every member its permissions and owner; folders last, the deepest first."""
        folders = []
        for member in map(self._placed, reader.members(self.repository, archive)):
            if member.kind == "dir" and not is_root(member):
                folders.append(member)
            elif member.kind == "link" and owner is not None:
                folder.own_link(member.name, owner)
            elif member.kind == "file" and (owner is not None or member.mode != 0o600):
                folder.finish(member.name, member.mode & 0o777, owner)
        for member in reversed(folders):
            folder.finish(member.name, member.mode & 0o777, owner)

    def _laid_out(self, archive: Archive, folder: Folder) -> Iterator[Member]:
        """Make every member's place, and yield the files that have content."""
        tablespaces = self.targets if archive.tablespace is None else ()
        for member in reader.members(self.repository, archive):
            if is_root(member):
                continue
            placed = self._placed(checked(member, tablespaces, archive=archive.name))
            try:
                self._lay_out(placed, folder)
            except FileExistsError:
                raise hostile(member.name, archive.name, "it is in the archive twice") from None
            except (FileNotFoundError, NotADirectoryError):
                raise hostile(member.name, archive.name, "its folder does not come before it") from None
            if placed.kind == "file" and placed.size:
                yield placed

    def _lay_out(self, member: Member, folder: Folder) -> None:
        if member.kind == "dir":
            folder.make_folder(member.name)
        elif member.kind == "link":
            oid = link_oid(member)
            assert oid is not None, "checked"
            folder.make_link(member.name, self.targets[oid])
        else:
            folder.make_file(member.name)

    def _placed(self, member: Member) -> Member:
        """Return the member under the name it is written with for now."""
        if member.name != CONTROL_FILE:
            return member
        self.control_file = True
        return replace(member, name=UNFINISHED_CONTROL_FILE)

    def _write_volume(self, volume: Volume, members: Sequence[Member], folder: Folder) -> int:
        """Write what one volume holds of `members`; return the bytes written."""
        files = _Files(folder, members, self.flusher)
        position = volume.start
        try:
            for piece in reader.pieces(self.repository, volume):
                if self.stopped.is_set():
                    break
                files.write(memoryview(piece), position)
                position += len(piece)
                self.on_bytes(len(piece))
        except BaseException:
            self.stopped.set()
            raise
        finally:
            files.close()
        return files.written


class _Files:
    """The members of one volume, written in the order in which they come; one file is open at a time."""

    def __init__(self, folder: Folder, members: Sequence[Member], flusher: Flusher) -> None:
        self.written = 0
        self._folder = folder
        self._flusher = flusher
        self._unflushed = 0
        self._members = deque(members)
        self._fd = -1

    def write(self, content: memoryview, position: int) -> None:
        """Write the members' parts of an archive's bytes that begin at `position`."""
        end = position + len(content)
        while self._members and self._members[0].offset < end:
            member = self._members[0]
            first, after = max(position, member.offset), min(end, member.offset + member.size)
            if first < after:
                self._write_part(member, content[first - position : after - position], first - member.offset)
            if member.offset + member.size > end:
                return
            self.close()
            self._members.popleft()

    def close(self) -> None:
        """Close the open file."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            try:
                if self._unflushed >= _WORTH_FLUSHING_BYTES:
                    self._flush(fd)
            finally:
                os.close(fd)

    def _flush(self, fd: int) -> None:
        with translated(self._folder.path):
            self._flusher.wrote(fd)
        self._unflushed = 0

    def _write_part(self, member: Member, part: memoryview, offset: int) -> None:
        if self._fd < 0:
            self._fd = self._folder.open_file(member.name)
            self._unflushed = 0
        with translated(self._folder.path / member.name):
            write_at(self._fd, part, offset)
        self.written += len(part)
        self._unflushed += len(part)
        if self._unflushed >= _FLUSHED_BYTES:
            self._flush(self._fd)


def _by_volume(archive: Archive, members: Iterator[Member]) -> Iterator[tuple[Volume, list[Member]]]:
    """Yield each volume with the members that have bytes in it, as soon as the last of them is known."""
    carried: list[Member] = []
    upcoming = next(members, None)
    for volume in archive.volumes:
        end = volume.start + volume.bytes_read
        while upcoming is not None and upcoming.offset < end:
            carried.append(upcoming)
            upcoming = next(members, None)
        yield volume, carried
        carried = [member for member in carried if member.offset + member.size > end]
    if upcoming is not None or carried:
        raise ObjectDamaged(archive.index or archive.name, "it names members beyond the end of the archive")


def _overlap(volume: Volume, member: Member) -> int:
    end = min(volume.start + volume.bytes_read, member.offset + member.size)
    return end - max(volume.start, member.offset)


def _write_backup_manifest(repo: ClusterRepository, manifest: Manifest, folder: Folder) -> None:
    """Put PostgreSQL's own manifest where pg_verifybackup and pg_combinebackup look for it."""
    if manifest.archive(BACKUP_MANIFEST) is None:
        return
    folder.make_file(BACKUP_MANIFEST)
    fd, offset = folder.open_file(BACKUP_MANIFEST), 0
    try:
        for piece in repo.read_archive(manifest, BACKUP_MANIFEST):
            with translated(folder.path / BACKUP_MANIFEST):
                write_at(fd, memoryview(piece), offset)
            offset += len(piece)
    finally:
        os.close(fd)


def _make_durable(folders: Sequence[Folder], flusher: Flusher) -> None:
    """Write everything to disk: what is being written, and then one syncfs for each file system."""
    try:
        flusher.finish()
    except OSError as error:
        raise _not_durable(folders[0], error) from error
    for folder in {folder.device: folder for folder in reversed(folders)}.values():
        try:
            folder.sync()
        except OSError as error:
            raise _not_durable(folder, error) from error


def _not_durable(folder: Folder, error: OSError) -> Unavailable:
    return Unavailable(
        f"What was restored to {folder.path} could not be made durable: {error.strerror}.",
        hint="Is the disk healthy? `dmesg` may say. Nothing in that folder can be trusted.",
        code="disk-failed",
    )
