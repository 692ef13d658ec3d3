"""Load: pg_restore, fed the archive out of the repository, into the database that was made for it."""

from __future__ import annotations

from collections.abc import Iterator

from bot.postgres.restore_program import feed, finish, restoring
from jobs.archived import wake
from jobs.restore.work import RestoreWork


def wait_for_volumes(work: RestoreWork) -> None:
    """Ask for what of the archive is in Glacier or the like, and wait until all of it can be read; hours, then.

    Raises:
        Cancelled, Unavailable: as `jobs.archived.wake`.
    """
    settings = work.config.repositories[work.repository.repository.name]
    wake(work.context, settings, work.repository, work.manifest.id, [work.what.archive])


def load(work: RestoreWork, database: str, *how: str) -> list[str]:
    """Restore what was chosen into `database`; the first statement that fails ends it. Slow.

    `how` are more options of pg_restore's, whose warnings are returned.

    Raises:
        Cancelled: the run was asked to stop. Failed: a statement failed, or the time is up.
        Corruption: the archive is damaged. Unavailable: server or repository went away.
    """
    archive = work.manifest.archive(work.what.archive)
    assert archive is not None, "it was read for its contents"
    work.context.phase("restore")
    work.context.progress(0, archive.bytes_read)

    def on_bytes(done: int) -> None:
        work.context.progress(min(done, archive.bytes_read), archive.bytes_read)

    partial = work.what.tables or len(work.contents.choice.entries) < len(work.contents.toc.entries)
    chosen = work.contents.choice.list_file() if partial else None
    with restoring(work.tools, work.session(database), list(how), chosen=chosen) as child:
        feed(child, _pieces(work), on_bytes=on_bytes, check=work.check_time)
        work.context.note("Making indexes and constraints")
        warnings = finish(child, work.what.database, check=work.check_time)
    work.context.note("")
    return warnings


def _pieces(work: RestoreWork) -> Iterator[bytes]:
    return work.repository.read_archive(work.manifest, work.what.archive)
