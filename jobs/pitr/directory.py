"""The directory of a recovery: claimed with a marker before anything else, recognised after a crash, and undone after a failure."""

from __future__ import annotations

import shutil
from pathlib import Path

from bot import desk
from bot.errors import PitstopError
from bot.ledger import servers
from bot.postgres.isolated import IsolatedServer, remove_directory
from bot.postgres.isolated_folder import ServerFolder
from jobs.pitr.work import Work


def take_directory(work: Work) -> ServerFolder:
    """Make the directory, marked with the request's id. What an interrupted run of the same request left is removed first.

    Raises:
        Usage: it is not empty, and not ours: nothing in it was touched.
    """
    if work.owns_directory():
        work.context.note("Removing what the interrupted attempt left")
        remove_directory(work.directory)
    work.context.check_cancelled()
    return ServerFolder.claim(work.directory, request=work.request.id)


def undo(work: Work, error: BaseException) -> None:
    """Take back what was begun: the server is down and its directory gone, if it is ours; the server's log is kept.

    A half restored copy of production's data is of no use to anyone, so it never stays. Where it cannot be removed,
    `error` (when it is one of ours) says so.
    """
    work.context.note("Undoing what was begun")
    try:
        _undo(work, error)
        _unregister(work)
    except (PitstopError, OSError) as trouble:
        if isinstance(error, PitstopError):
            error.hint = f"{error.hint} Besides, undoing failed: {trouble}".strip()


def _undo(work: Work, error: BaseException) -> None:
    if not work.owns_directory():
        return
    folder = ServerFolder.open(work.directory)
    if "spec" in folder.state():
        IsolatedServer.attach({"directory": str(work.directory)}).stop()
    kept = _keep_log(work, folder)
    if kept is not None and isinstance(error, PitstopError):
        error.message = error.message.replace(str(folder.log), str(kept))
        error.hint = error.hint.replace(str(folder.log), str(kept))
    strangers = remove_directory(work.directory)
    if strangers:
        work.context.note(f"{work.directory} stays: it holds {', '.join(strangers[:5])}, which Pitstop did not make.")


def _unregister(work: Work) -> None:
    """Tell the desk that a server it may know is gone."""
    with work.context.ledger.read() as tx:
        known = servers.find(tx, work.request.id)
    if known is not None and not ServerFolder(work.directory).is_ours():
        desk.server_removed(work.context.ledger, work.request.id, work.context.now())


def _keep_log(work: Work, folder: ServerFolder) -> Path | None:
    """Copy the server's log beside the run's own, readable for us alone; return where it is."""
    if not folder.log.exists():
        return None
    kept = work.config.runs_directory / f"{work.context.run.id}.server.log"
    kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copyfile(folder.log, kept, follow_symlinks=False)
    kept.chmod(0o600)
    return kept
