"""Removing a backup in a process that is killed at every step: the backup is whole or invisible, and the rest is known."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest

from bot.repository.examine import examine
from bot.repository.expiring import expire_backup, leftovers, remove_leftover
from bot.repository.repository import Repository
from bot.repository.stores import Block
from bot.repository.stores.files import FilesStore
from tests.unit.repository.sample import FIRST, SECOND, open_sample, sample_cluster, write_backup
from tests.unit.repository.test_expiring import LATER, NOW


class DyingStore(FilesStore):
    """A store whose process is killed, as a crash would, just before or just after the write or delete number `at`."""

    def __init__(self, root: Path, at: int, *, after: bool) -> None:
        super().__init__(root)
        self._left, self._after = at, after

    def put(self, path: str, chunks: Iterable[Block]) -> int:
        """Write an object, unless this is where it ends."""
        last = self._count()
        size = super().put(path, chunks)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return size

    def delete(self, path: str) -> None:
        """Delete an object, unless this is where it ends."""
        last = self._count()
        super().delete(path)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)

    def _count(self) -> bool:
        self._left -= 1
        if self._left < 0 and not self._after:
            os.kill(os.getpid(), signal.SIGKILL)
        return self._left < 0


def killed_while_expiring(folder: Path, at: int, *, after: bool) -> bool:
    """Expire SECOND in a process that is killed at step `at`; say whether it was, or ended before."""
    child = os.fork()
    if child == 0:
        try:
            sound = open_sample(folder, create=False)
            store = DyingStore(folder / "repository", at, after=after)
            dying = Repository(sound.name, store, sound.keys, sound.codec)
            expire_backup(sample_cluster(dying), SECOND, reason="too old", at=NOW)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_every_step(tmp_path: Path, after: bool) -> None:
    """Killed before or after each write and delete: the backup is listed and whole, or gone; the next run removes the rest."""
    steps, whole, halfway = 0, 0, 0
    while True:
        folder = tmp_path / str(steps)
        folder.mkdir()
        cluster = sample_cluster(open_sample(folder))
        write_backup(cluster, FIRST)
        write_backup(cluster, SECOND, seed=5)
        if not killed_while_expiring(folder, steps, after=after):
            break
        steps += 1
        listed = [backup.id for backup in cluster.backups()]
        assert list(examine(cluster)) == [], "what is listed is whole"
        left = leftovers(cluster)
        assert cluster.delete_unfinished(LATER) == [], "what was a backup is not taken for an unfinished one"
        if SECOND in listed:
            whole += 1
            assert not left
            expire_backup(cluster, SECOND, reason="too old", at=NOW + timedelta(days=1))
        elif left:
            halfway += 1
            assert [(one.backup, one.expired) for one in left] == [(SECOND, True)]
            remove_leftover(cluster, SECOND)
        assert [backup.id for backup in cluster.backups()] == [FIRST]
        assert not cluster.objects(SECOND)
    assert steps > 10
    assert whole == (1 if after else 2), "before the note and before the manifest's end, or between the two"
    assert halfway >= steps - 4
