"""Fetch a single file out of a backup, without the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.errors import Usage
from bot.repository import reader
from bot.repository.manifest import Manifest

if TYPE_CHECKING:
    from bot.repository.cluster import ClusterRepository


def read_member(repo: ClusterRepository, manifest: Manifest, archive: str, name: str) -> Iterator[bytes]:
    """Yield one file's content, fetching only the pieces that hold it.

    Raises:
        Usage: `unknown-archive` or `unknown-member`.
        ObjectMissing, ObjectDamaged.
    """
    found = reader.find_archive(manifest, archive)
    for member in reader.members(repo.repository, found):
        if member.name == name and member.kind == "file":
            return reader.span(repo.repository, found, member.offset, member.size, manifest.piece_bytes)
    raise Usage(
        f"The archive {archive} of {manifest.id} has no file {name!r}.",
        hint="Names are relative to the data directory, e.g. PG_VERSION or base/5/1259.",
        code="unknown-member",
    )
