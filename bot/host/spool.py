"""The spool: one cluster's WAL on this host until a repository has it. Names and bytes only, durable at every step.

    <spool>/<cluster>/spool.json               {"system_id", "segment_bytes"}: whose WAL this is
    <spool>/<cluster>/receiver.lock            kernel lock of the one receiver
    <spool>/<cluster>/wal/<segment>            whole, durable, never changed
    <spool>/<cluster>/wal/<segment>.partial    being received: the file is as long as what arrived
    <spool>/<cluster>/wal/<timeline>.history   timeline history files
    <spool>/<cluster>/side/<name>              what archive_command also hands over: backup labels, last partial segments
    <spool>/<cluster>/wal.<system id>/         what was left when the cluster under this name became another one

The receiver and `pitstop wal push` write here; recovery reads here first. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bot.errors import Corruption
from bot.host.files import fsync_dir, write_durable

PARTIAL = ".partial"
_LEFT_AFTER_S = 3600
_SEGMENT = re.compile(r"^[0-9A-F]{24}\Z")
_HISTORY = re.compile(r"^[0-9A-F]{8}\.history\Z")
_SIDE_FILE = re.compile(r"^[0-9A-F]{24}(\.[0-9A-F]{8}\.backup|\.partial)\Z")


@dataclass(frozen=True, slots=True)
class SpoolIdentity:
    """Whose WAL a spool holds; `segment_bytes` is the size of its segments."""

    system_id: str
    segment_bytes: int


class Spool:
    """One cluster's spool folder. Any number of readers, one receiver (its lock), any number of `wal push`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.wal = directory / "wal"
        self.side = directory / "side"

    @property
    def lock_path(self) -> Path:
        """The file whose kernel lock the receiver holds for life."""
        return self.directory / "receiver.lock"

    @property
    def socket_path(self) -> Path:
        """Where a running receiver answers `wal fetch`."""
        return self.directory / "fetch.sock"

    def create(self) -> None:
        """Make the folders where they are missing, private to this user. Idempotent."""
        self.wal.mkdir(parents=True, exist_ok=True, mode=0o700)
        fsync_dir(self.directory)
        fsync_dir(self.directory.parent)

    def identity(self) -> SpoolIdentity | None:
        """Return whose WAL this is, or None before the first receiver."""
        try:
            data = json.loads((self.directory / "spool.json").read_bytes())
        except FileNotFoundError:
            return None
        return SpoolIdentity(data["system_id"], data["segment_bytes"])

    def claim(self, identity: SpoolIdentity) -> Path | None:
        """Make this the spool of `identity`; another cluster's WAL is moved aside, never deleted. Return where it went.

        A crash between the move and the record leaves an empty spool of the old cluster, which the next claim corrects.
        """
        self.create()
        self.sweep()
        known, aside = self.identity(), None
        if known is not None and known != identity:
            aside = self._aside(known)
            self.wal.rename(aside)
            fsync_dir(self.directory)
            self.create()
        if known != identity:
            text = json.dumps({"system_id": identity.system_id, "segment_bytes": identity.segment_bytes})
            write_durable(self.directory / "spool.json", text.encode())
        return aside

    def sweep(self) -> None:
        """Remove what killed writers left behind under hidden names, once it is an hour old."""
        for folder in (self.wal, self.side):
            for path in folder.glob(".*"):
                with contextlib.suppress(FileNotFoundError):
                    if time.time() - path.stat().st_mtime > _LEFT_AFTER_S:
                        path.unlink()

    def same_boot(self) -> bool:
        """Say whether the spool was last written since this machine booted, and remember this boot.

        After a power cut the end of a partial file may be anything; after a killed process it is what was written.
        """
        boot = Path("/proc/sys/kernel/random/boot_id").read_bytes()
        path = self.directory / "boot"
        same = path.exists() and path.read_bytes() == boot
        if not same:
            write_durable(path, boot)
        return same

    def names(self) -> list[str]:
        """Return the names of whole segments and history files, ordered."""
        return sorted(name for name in self._listing() if _SEGMENT.match(name) or _HISTORY.match(name))

    def partials(self) -> dict[str, int]:
        """Return the segments being received and how many bytes of each are there."""
        found = {}
        for name in self._listing():
            if name.endswith(PARTIAL) and _SEGMENT.match(name.removesuffix(PARTIAL)):
                with contextlib.suppress(FileNotFoundError):
                    found[name.removesuffix(PARTIAL)] = (self.wal / name).stat().st_size
        return found

    def read(self, name: str) -> bytes | None:
        """Return a whole segment's or a history file's content, or None."""
        try:
            return (self.wal / name).read_bytes()
        except FileNotFoundError:
            return None

    def read_partial(self, segment: str, offset: int = 0, end: int | None = None) -> bytes | None:
        """Return bytes [offset, end) of a segment being received, as far as they are there; None when there is none."""
        try:
            with self.partial_path(segment).open("rb") as file:
                file.seek(offset)
                return file.read() if end is None else file.read(max(0, end - offset))
        except FileNotFoundError:
            return None

    def partial_path(self, segment: str) -> Path:
        """Return the path of the file a segment is received into."""
        return self.wal / f"{segment}{PARTIAL}"

    def put(self, name: str, data: bytes) -> bool:
        """Store a whole segment or history file durably; False when the same bytes were there. Nothing is ever overwritten.

        Raises:
            Corruption: `wal-differs`, a different file of that name is there; it stays.
        """
        return _put(self.wal / name, data)

    def put_side(self, name: str, data: bytes) -> bool:
        """Store a side file as `put` does, apart from the WAL: an archived `.partial` is not one being received."""
        self.side.mkdir(exist_ok=True, mode=0o700)
        fsync_dir(self.directory)
        return _put(self.side / name, data)

    def read_side(self, name: str) -> bytes | None:
        """Return a side file's content, or None."""
        try:
            return (self.side / name).read_bytes()
        except FileNotFoundError:
            return None

    def complete(self, segment: str) -> None:
        """Turn a fully received, synced partial file into the whole segment, durably.

        When the segment was pushed meanwhile, the same bytes are kept once.

        Raises:
            Corruption: `wal-differs`, the pushed one differs; both stay.
        """
        partial = self.partial_path(segment)
        _publish(partial, self.wal / segment)
        partial.unlink()
        fsync_dir(self.wal)

    def remove(self, name: str) -> None:
        """Delete a file that a repository holds durably; a missing one is fine."""
        (self.wal / name).unlink(missing_ok=True)

    def _aside(self, known: SpoolIdentity) -> Path:
        number, path = 1, self.directory / f"wal.{known.system_id}"
        while path.exists():
            number += 1
            path = self.directory / f"wal.{known.system_id}.{number}"
        return path

    def _listing(self) -> list[str]:
        try:
            return [path.name for path in self.wal.iterdir()]
        except FileNotFoundError:
            return []


def is_wal_name(name: str) -> bool:
    """Say whether PostgreSQL archives and restores files of that name: segments, history files, and their side files."""
    return bool(_SEGMENT.match(name) or _HISTORY.match(name) or _SIDE_FILE.match(name))


def is_side_file(name: str) -> bool:
    """Say whether `name` is a backup label's or an archived last partial segment's."""
    return bool(_SIDE_FILE.match(name))


def is_segment(name: str) -> bool:
    """Say whether `name` is a whole segment's."""
    return bool(_SEGMENT.match(name))


def _put(target: Path, data: bytes) -> bool:
    fd, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        return _publish(Path(temporary), target)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _publish(source: Path, target: Path) -> bool:
    """Give a synced file its final name as well, unless that is taken. A link never replaces a file, a rename would."""
    try:
        os.link(source, target)
    except FileExistsError:
        if not _same_content(source, target):
            raise Corruption(
                f"The spool already holds a different {target.name}.",
                hint=f"Which of the two is right? Compare it with {target}; nothing was overwritten.",
                code="wal-differs",
            ) from None
        fsync_dir(target.parent)
        return False
    fsync_dir(target.parent)
    return True


def _same_content(a: Path, b: Path) -> bool:
    if a.stat().st_size != b.stat().st_size:
        return False
    with a.open("rb") as left, b.open("rb") as right:
        while block := left.read(1 << 20):
            if block != right.read(1 << 20):
                return False
    return True
