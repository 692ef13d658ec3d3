"""Write one backup: archives cut into volumes, compressed and encrypted in parallel; the manifest last."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from bot.errors import Conflict, Corruption, PitstopError
from bot.model.backups import BackupSummary
from bot.model.ids import BackupId
from bot.model.wal import Lsn
from bot.repository import events, index, layout
from bot.repository.codec import PIECE_BYTES
from bot.repository.damage import ObjectDamaged, ObjectMissing
from bot.repository.manifest import Archive, Manifest, Volume
from bot.repository.pipeline import Piece, Pipeline, VolumeThread
from bot.repository.tar import TarError, TarReader

if TYPE_CHECKING:
    from bot.repository.cluster import ClusterRepository


@dataclass(frozen=True, slots=True)
class Cut:
    """How archives are cut: pieces compressed by themselves (at most 16 MiB), volumes stored by themselves; bytes of input."""

    piece_bytes: int = PIECE_BYTES
    volume_bytes: int = 64 * 1024 * 1024


DEFAULT_CUT = Cut()


class ArchiveWriter:
    """One archive being written, by one thread; at most one archive of a backup is open at a time."""

    def __init__(
        self, backup: BackupWriter, name: str, tablespace: int | None, location: str | None, tar: bool
    ) -> None:
        self._backup = backup
        self._pipeline = backup.pipeline
        self._piece_bytes = backup.cut.piece_bytes
        self._name = name
        self._tablespace = tablespace
        self._location = location
        self._tar = TarReader() if tar else None
        self._index = _IndexLines(backup) if tar else None
        self._buffer: bytearray | None = None
        self._view = memoryview(b"")
        """Of the buffer; a bytearray's own slices are assigned by way of a copy."""
        self._filled = 0
        self._bytes_read = 0
        self._volume: VolumeThread | None = None
        self._volumes: list[VolumeThread] = []
        self._entries: list[Volume] = []
        self._closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes, of any length; they are copied. Blocks while the pipeline is full, so memory stays bounded.

        Raises:
            whatever stopped the pipeline: Unavailable when the store is full or away, Corruption on a malformed tar.
        """
        size = len(data)
        if self._buffer is not None and self._filled + size < self._piece_bytes:
            # The common case by far, kept short: tens of thousands of small writes for each gigabyte.
            end = self._filled + size
            self._view[self._filled : end] = data
            self._filled = end
            return
        self._write_across(memoryview(data))

    def write_from(self, source: Callable[[memoryview], int]) -> None:
        """Let `source` write the next bytes where they belong and say how many, again and again until it says 0.

        Raises as `write`.
        """
        while True:
            view = self._rest_of_piece()
            size = source(view)
            if not size:
                return
            self._fill(size)

    def close(self) -> None:
        """End the archive: returns when its volumes and index are durable. Idempotent."""
        if self._closed:
            return
        self._cut_piece()
        self._end_volume()
        self._collect(0)
        if self._tar is not None:
            self._understood(self._tar.end)
        self._backup.archived(self._archive())
        self._closed = True

    def _write_across(self, view: memoryview) -> None:
        while view:
            rest = self._rest_of_piece()
            step = min(len(rest), len(view))
            rest[:step] = view[:step]
            view = view[step:]
            self._fill(step)

    def _rest_of_piece(self) -> memoryview:
        """Return what is not filled of the piece, which is borrowed where there is none; never empty."""
        if self._buffer is None:
            self._buffer = self._pipeline.lend()
            self._view = memoryview(self._buffer)
        return self._view[self._filled : self._piece_bytes]

    def _fill(self, size: int) -> None:
        """Note that the next `size` bytes of the piece are there."""
        self._filled += size
        if self._filled == self._piece_bytes:
            self._cut_piece()

    def _cut_piece(self) -> None:
        """Hand the filled buffer on, after noting the members whose headers are in it."""
        buffer, size = self._buffer, self._filled
        self._buffer, self._filled = None, 0
        if buffer is None:
            return
        if size:
            self._note_members(self._view[:size])
            self._volume = self._volume or self._start_volume()
            self._volume.add(Piece(buffer, size))
            self._bytes_read += size
            self._backup.bytes_read += size
            if self._volume.bytes_read >= self._backup.cut.volume_bytes:
                self._end_volume()
        else:
            self._pipeline.give_back(buffer)

    def _note_members(self, content: memoryview) -> None:
        if self._tar is None or self._index is None:
            return
        tar = self._tar
        for member in self._understood(lambda: tar.feed(content)) or ():
            self._index.add(index.line(member))

    def _understood(self, step: Any) -> Any:
        try:
            return step()
        except TarError as error:
            raise Corruption(
                f"The server's archive {self._name} cannot be understood: {error}.",
                hint="Is something between here and the server changing the stream?",
                code="tar-malformed",
            ) from error

    def _start_volume(self) -> VolumeThread:
        number = len(self._entries) + len(self._volumes)
        volume = self._pipeline.volume(layout.volume(self._backup.volumes, self._name, number), self._bytes_read)
        self._volumes.append(volume)
        self._collect(8)
        return volume

    def _end_volume(self) -> None:
        if self._volume is not None:
            self._volume.finish()
            self._volume = None

    def _collect(self, keep: int) -> None:
        """Take the entries of all but the newest `keep` volumes, waiting for those."""
        while len(self._volumes) > keep:
            self._entries.append(self._volumes.pop(0).result())

    def _archive(self) -> Archive:
        path = layout.index(self._backup.volumes, self._name)
        sha256 = self._index.store(path) if self._index is not None else None
        return Archive(
            name=self._name,
            tablespace=self._tablespace,
            location=self._location,
            bytes_read=self._bytes_read,
            volumes=tuple(self._entries),
            index=path if sha256 else None,
            index_sha256=sha256,
            members=self._index.count if self._index is not None else 0,
        )


class BackupWriter:
    """One backup being written. As a context manager it abandons what was not committed.

    Attributes:
        id: the backup's.
        folder: where its records are.
        volumes: where its volumes and indexes are.
        bytes_read: input cut into pieces so far; for progress.
    """

    def __init__(
        self, cluster: ClusterRepository, backup: BackupId, workers: int | None = None, cut: Cut = DEFAULT_CUT
    ) -> None:
        self.id = backup
        self.folder = layout.backup(cluster.name, cluster.system_id, backup)
        self.volumes = layout.volumes_of(cluster.name, cluster.system_id, backup)
        self.cluster = cluster
        self.repository = cluster.repository
        self.bytes_read = 0
        self.cut = cut
        repository = self.repository
        self.pipeline = Pipeline(repository.store, repository.sealed, repository.codec, cut.piece_bytes, workers)
        self._archives: list[Archive] = []
        self._open: ArchiveWriter | None = None
        self._ended = False

    @property
    def bytes_stored(self) -> int:
        """Return the bytes of volumes durable so far; for progress."""
        return self.pipeline.bytes_stored

    def archive(
        self, name: str, *, tar: bool = True, tablespace: int | None = None, location: str | None = None
    ) -> ArchiveWriter:
        """Start an archive: `base` or a tablespace's OID as text (tar), or plain bytes such as `backup_manifest` (`tar=False`).

        Raises:
            ValueError: one is open, or one of that name was written.
        """
        layout.check_path(layout.volume(self.volumes, name, 0))
        if self._open is not None:
            raise ValueError("the archive before it is not closed")
        if any(archive.name == name for archive in self._archives):
            raise ValueError(f"the name {name!r} is taken")
        self._open = ArchiveWriter(self, name, tablespace, location, tar)
        return self._open

    def archived(self, archive: Archive) -> None:
        """Note a finished archive; called by its writer."""
        self._archives.append(archive)
        self._open = None

    def commit(
        self,
        body: Mapping[str, Any],
        *,
        started_at: datetime,
        finished_at: datetime,
        timeline: int,
        start_lsn: Lsn,
        end_lsn: Lsn,
        server_version: int,
        parent: BackupId | None = None,
        damaged: str | None = None,
    ) -> BackupSummary:
        """Make the backup exist: checks that every object is there, then writes the manifest, last and durably.

        `damaged` is the reason when the backup is kept although it is not sound (a corrupt page).

        Raises:
            Conflict: `backup-exists`, the id was committed before.
            ObjectMissing, ObjectDamaged: a volume vanished meanwhile or has another size.
        """
        if self._open is not None or self._ended:
            raise ValueError("an archive is still open" if self._open else "the backup was ended before")
        manifest = Manifest(
            id=self.id,
            cluster=self.cluster.name,
            system_id=self.cluster.system_id,
            started_at=started_at,
            finished_at=finished_at,
            timeline=timeline,
            start_lsn=start_lsn,
            end_lsn=end_lsn,
            server_version=server_version,
            segment_bytes=self.cluster.segment_bytes,
            codec=self.repository.codec.name,
            piece_bytes=self.cut.piece_bytes,
            archives=tuple(self._archives),
            body=dict(body),
            parent=parent,
        )
        self.pipeline.close()
        self._check_stored(manifest)
        return self._publish(manifest, damaged, finished_at)

    def abandon(self) -> None:
        """Stop the threads and delete what was written; nothing once committed. Idempotent.

        Raises:
            Unavailable: the objects could not be deleted; they stay invisible, and `delete_unfinished` removes them later.
        """
        if self._ended:
            return
        self._ended = True
        self.pipeline.close()
        self.cluster.delete_backup_objects(self.id)

    def __enter__(self) -> BackupWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.abandon()
        except PitstopError as second:
            if error is None:
                raise
            # The first error is the one to tell; what is left over is invisible and deleted later.
            error.add_note(f"Also, what was written could not be deleted: {second.message}")

    def _check_stored(self, manifest: Manifest) -> None:
        """Prove by a listing that nothing of the backup vanished before it is published."""
        sizes = {found.path: found.size for found in self.repository.store.list(self.volumes)}
        for archive in manifest.archives:
            if archive.index is not None and archive.index not in sizes:
                raise ObjectMissing(archive.index)
            for volume in archive.volumes:
                size = sizes.get(volume.path)
                if size is None:
                    raise ObjectMissing(volume.path)
                if size != volume.bytes_stored:
                    raise ObjectDamaged(volume.path, f"it has {size} bytes instead of {volume.bytes_stored}")

    def _publish(self, manifest: Manifest, damaged: str | None, at: datetime) -> BackupSummary:
        if damaged is not None:
            # Before the manifest: at no moment is the backup listed as sound.
            events.record(self.repository, self.folder, "damaged", at=at, text=damaged)
        summary = manifest.summary()
        self.repository.put_json(layout.summary(self.folder), summary.as_json())
        try:
            self.repository.put_body(layout.manifest(self.folder), manifest.as_bytes())
        except Conflict:
            raise Conflict(
                f"The backup {self.id} was committed before; it was not touched.", code="backup-exists"
            ) from None
        self._ended = True
        return events.fold(summary, events.read(self.repository, self.folder))


class _IndexLines:
    """The index of an archive being written, compressed as it grows, so that a million members take a few megabytes."""

    def __init__(self, backup: BackupWriter) -> None:
        self._repository = backup.repository
        self._lines: list[bytes] = []
        self._pending = 0
        self._frames: list[bytes] = []
        self.count = 0

    def add(self, text: bytes) -> None:
        """Append one member's line."""
        self.count += 1
        self._lines.append(text)
        self._pending += len(text)
        if self._pending >= PIECE_BYTES // 4:
            self._flush()

    def store(self, path: str) -> str:
        """Store the index, and return the SHA-256 (hex) of the object."""
        self._flush()
        return self._repository.put_frames(path, self._frames)

    def _flush(self) -> None:
        if self._lines:
            self._frames.append(self._repository.codec.frame(b"".join(self._lines)))
        self._lines, self._pending = [], 0
