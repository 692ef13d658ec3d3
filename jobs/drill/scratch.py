"""The scratch folder of a drill: marked before anything is put there, and gone afterwards, also when the drill was killed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bot.config import Config
from bot.errors import Refused
from bot.host.files import free_bytes
from bot.model.ids import ClusterName
from bot.postgres.isolated import remove_directory
from bot.postgres.isolated_folder import ServerFolder, drop_half_written
from jobs.context import JobContext

_PREFIX = "drill-"
_MARGIN = 1024 * 1024 * 1024


def clean(context: JobContext) -> dict[str, Any]:
    """Remove what drills of the run's cluster left behind when they were killed; answers {"removed": [path]}. Idempotent.

    The run's lock says that no drill of this cluster is under way.
    """
    context.phase("clean")
    return {"removed": [str(path) for path in remove_leftovers(context.config, context.run.cluster)]}


def remove_leftovers(config: Config, cluster: ClusterName) -> list[Path]:
    """Stop and remove every scratch server of a cluster's drills; return where they were. Only marked folders are touched."""
    removed = []
    for kind in ("base", "dump"):
        directory = scratch_directory(config, cluster, kind)
        if _is_scratch(directory):
            remove_directory(directory)
            removed.append(directory)
        with contextlib.suppress(OSError):
            drop_half_written(directory)
            directory.rmdir()  # made, and killed before it was marked: it is empty then
    return removed


def scratch_directory(config: Config, cluster: ClusterName, kind: str) -> Path:
    """Return where a cluster's drill of a kind of backup works; always the same, so that its leftovers are found."""
    return config.restore.directory / f"{_PREFIX}{cluster}-{kind}"


@contextlib.contextmanager
def scratch(context: JobContext, kind: str, needed_bytes: int) -> Iterator[ServerFolder]:
    """Claim the scratch folder while the block lasts; whatever server is in it is stopped and gone at the end.

    Raises:
        Refused: `too-little-disk`; nothing was made. `directory-not-empty` (Usage): it holds what Pitstop did not make.
    """
    directory = scratch_directory(context.config, context.run.cluster, kind)
    free = free_bytes(directory)
    if free < needed_bytes:
        raise Refused(
            f"{directory} has {free >> 20:,} MiB free, and the drill may need {needed_bytes >> 20:,} MiB.",
            hint="Remove a server that is no longer needed (`pitstop server list`), or set restore.directory to a larger disk.",
            code="too-little-disk",
        )
    folder = ServerFolder.claim(directory, drill=context.run.id)
    try:
        yield folder
    finally:
        remove_leftovers(context.config, context.run.cluster)


def room_needed(restored_bytes: int, wal_bytes: int) -> int:
    """Return the bytes a drill may need: the files, what replay adds at most, and what the checks sort on disk."""
    return restored_bytes + wal_bytes + max(_MARGIN, restored_bytes // 5)


def _is_scratch(directory: Path) -> bool:
    folder = ServerFolder(directory)
    return folder.is_ours() and "drill" in folder.state()
