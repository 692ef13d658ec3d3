"""Restore a backup's files: volumes in parallel, written in place by the index, everything verified."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from bot.repository.cluster import ClusterRepository
from bot.repository.manifest import Manifest


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

    Links in `pg_tblspc` point to those folders. `on_bytes` is called with increments of bytes written, from several threads.
    Everything stays private to the caller until the end; as root, `owner` (uid, gid) gets it then. Durable when it returns.

    Raises:
        Refused: `directory-not-empty`, or `hostile-member`: a name would lead outside.
        ObjectMissing, ObjectDamaged: naming object, chunk and piece; what was written until then is left for inspection.
        Unavailable: disk full or store away.
    """
    raise NotImplementedError


def read_member(repo: ClusterRepository, manifest: Manifest, archive: str, name: str) -> Iterator[bytes]:
    """Yield one file's content, fetching only the pieces that hold it.

    Raises:
        Usage: `unknown-member`.
        ObjectMissing, ObjectDamaged.
    """
    raise NotImplementedError
