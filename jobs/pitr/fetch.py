"""Fetch the base backup's files, in parallel, with progress."""

from __future__ import annotations

import threading

from bot.errors import Corruption
from bot.host.accounts import Account
from bot.postgres.isolated_folder import ServerFolder
from bot.repository.manifest import Manifest
from bot.repository.unpack import unpack
from jobs.pitr.work import Work


def read_manifest(work: Work) -> Manifest:
    """Read the manifest of the chain's backup; it must be the very one that was approved.

    Raises:
        Corruption: `manifest-differs`, or it is damaged.
        Usage: it is gone.
    """
    (link,) = work.steps.chain
    manifest = work.stock.repository.manifest(link.backup)
    if manifest.sha256 != link.manifest_sha256:
        raise Corruption(
            f"The manifest of {link.backup} is not the one that was approved.",
            hint="Is the repository sound? Ask again, and the plan will say.",
            code="manifest-differs",
        )
    return manifest


def fetch(work: Work, folder: ServerFolder, manifest: Manifest, account: Account) -> None:
    """Restore the backup's files into the claimed folder, for `account`. Durable when it returns. Slow.

    Raises:
        Cancelled: the run was asked to stop.
        Corruption: an object is damaged or missing; it is named.
        Unavailable: disk full or store away.
    """
    work.context.phase("fetch")
    work.stock.elsewhere.on_note = work.context.note
    total = sum(archive.bytes_read for archive in manifest.archives if archive.index is not None)
    unpack(
        work.stock.repository,
        manifest,
        folder.data,
        tablespace_dir=folder.tablespace,
        workers=work.config.restore.workers or None,
        on_bytes=_Counter(work, total).add,
        owner=None if account.is_current else (account.uid, account.gid),
    )


class _Counter:
    """Adds up what several threads restored, and stops each of them when the run is to stop."""

    def __init__(self, work: Work, total: int) -> None:
        self._work, self._total = work, total
        self._lock = threading.Lock()
        self._done = 0
        work.context.progress(0, total)

    def add(self, count: int) -> None:
        """Note `count` bytes more."""
        self._work.context.check_cancelled()
        with self._lock:
            self._done += count
            self._work.context.progress(self._done, self._total)
