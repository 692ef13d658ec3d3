"""A folder being filled by a restore: every write stays inside it, whatever others do to its path meanwhile."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from bot.errors import Refused, Unavailable
from bot.host.files import syncfs

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL = ("disk-full", "Is the disk full? `df` shows it.")
_TOLD = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EIO: ("disk-failed", "Is the disk healthy? `dmesg` may say. Nothing in that folder can be trusted."),
}
_OLD_FILE = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class Folder:
    """An open, empty, private folder. Names are relative; it is closed as a context manager. Thread-safe."""

    def __init__(self, path: Path) -> None:
        """Open `path`, made when missing.

        Raises:
            Refused: `directory-not-empty`, or `not-a-directory`.
            Unavailable: it cannot be made or opened.
        """
        self.path = path
        try:
            with translated(path):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileExistsError, NotADirectoryError):
            raise Refused(f"{path} is not a folder.", hint="Name a new one.", code="not-a-directory") from None
        try:
            with translated(path):
                self._claim()
        except BaseException:
            os.close(self._fd)
            raise

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def make_folder(self, name: str) -> None:
        """Make a folder inside, private until `finish`.

        Raises:
            FileExistsError, FileNotFoundError, NotADirectoryError: a name is given twice, or its folder was not made before it.
        """
        with translated(self.path / name):
            os.mkdir(name, 0o700, dir_fd=self._fd)

    def make_file(self, name: str) -> None:
        """Make an empty file, private until `finish`.

        Raises:
            FileExistsError, FileNotFoundError: as `make_folder`.
        """
        with translated(self.path / name):
            os.close(os.open(name, _NEW_FILE, 0o600, dir_fd=self._fd))

    def make_link(self, name: str, target: Path) -> None:
        """Make a symbolic link."""
        with translated(self.path / name):
            os.symlink(target, name, dir_fd=self._fd)

    def open_file(self, name: str) -> int:
        """Open a file made before, for writing; the caller closes the descriptor."""
        with translated(self.path / name):
            return os.open(name, _OLD_FILE, dir_fd=self._fd)

    def rename(self, old: str, new: str) -> None:
        """Rename a file within its folder, and make the new name durable."""
        with translated(self.path / new):
            os.rename(old, new, src_dir_fd=self._fd, dst_dir_fd=self._fd)
            parent = os.open(os.path.dirname(new) or ".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._fd)  # noqa: PTH120
            try:
                os.fsync(parent)
            finally:
                os.close(parent)

    def finish(self, name: str, mode: int, owner: tuple[int, int] | None) -> None:
        """Give a member its final permissions and, where given, its owner."""
        with translated(self.path / name):
            os.chmod(name, mode, dir_fd=self._fd)
            if owner is not None:
                os.chown(name, *owner, dir_fd=self._fd, follow_symlinks=False)

    def own_link(self, name: str, owner: tuple[int, int]) -> None:
        """Give a link its owner."""
        with translated(self.path / name):
            os.chown(name, *owner, dir_fd=self._fd, follow_symlinks=False)

    @property
    def device(self) -> int:
        """Return the device of the file system that holds it."""
        with translated(self.path):
            return os.fstat(self._fd).st_dev

    def sync(self) -> None:
        """Make all of its file system durable; the disk's errors since this folder was opened are told.

        Raises:
            OSError: the disk reported an error.
        """
        syncfs(self._fd, self.path)

    def hand_over(self, owner: tuple[int, int] | None) -> None:
        """Give the folder itself to `owner`, or back to whom it belonged: from here on others may be inside."""
        with translated(self.path):
            os.fchown(self._fd, *(owner or self._belonged_to))

    def _claim(self) -> None:
        """See that the folder is empty, and make it private, so that nobody can put links in the way."""
        self._refuse_content()
        was = os.fstat(self._fd)
        self._belonged_to = (was.st_uid, was.st_gid)
        if os.geteuid() == 0:
            os.fchown(self._fd, 0, 0)
        os.fchmod(self._fd, 0o700)
        self._refuse_content()

    def _refuse_content(self) -> None:
        if os.listdir(self._fd):  # noqa: PTH208  the open folder, not a path
            raise Refused(
                f"The folder {self.path} is not empty; nothing was written.",
                hint="Name an empty or new folder.",
                code="directory-not-empty",
            )


def write_at(fd: int, content: memoryview, offset: int) -> None:
    """Write all of `content` at `offset` of an open file."""
    while content:
        step = os.pwrite(fd, content, offset)
        content, offset = content[step:], offset + step


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Say an operating system's error in our words; a name that exists or does not is for the caller."""
    try:
        yield
    except (FileExistsError, FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        code, hint = _TOLD.get(error.errno or 0, ("directory-not-writable", "May this user write there?"))
        raise Unavailable(f"{path} cannot be written: {error.strerror}.", hint=hint, code=code) from error
