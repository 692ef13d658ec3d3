"""A store over several: all get the same bytes, one that fails or hangs is left out, and only when none is left it fails."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from bot.errors import Conflict, Unavailable
from bot.repository.stores import Block
from bot.repository.stores.files import FilesStore
from bot.repository.stores.tee import CHUNKS_AHEAD, Tee

PATH = "slips/1/volumes/x/base/000000"
CHUNK = bytes(1000)


class Failing(FilesStore):
    """A directory whose disk is full after some bytes."""

    def __init__(self, root: Path, after: int) -> None:
        root.mkdir()
        super().__init__(root)
        self.after = after

    def put(self, path: str, chunks: Iterable[Block]) -> int:
        """Write until the disk is full."""
        return super().put(path, self._until_full(chunks))

    def _until_full(self, chunks: Iterable[Block]) -> Iterator[Block]:
        for chunk in chunks:
            self.after -= len(chunk)
            if self.after < 0:
                raise Unavailable("No space is left.", code="storage-full")
            yield chunk


class Hanging(FilesStore):
    """A directory that takes one chunk and then nothing, until it is let go."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        super().__init__(root)
        self.let_go = threading.Event()

    def put(self, path: str, chunks: Iterable[Block]) -> int:
        """Hang in the middle."""
        next(iter(chunks))
        self.let_go.wait(60)
        raise Unavailable("It was dead.")


def folder(root: Path) -> FilesStore:
    """Open a store in a new folder."""
    root.mkdir()
    return FilesStore(root)


def files(root: Path) -> list[Path]:
    """Return all files, hidden ones as well."""
    return [path for path in root.rglob("*") if path.is_file()]


def test_both_get_the_same_bytes(tmp_path: Path) -> None:
    """The object is in each store when `put` returns, and reads come from the first."""
    tee = Tee({"one": folder(tmp_path / "one"), "two": folder(tmp_path / "two")})
    chunks = [bytes([n]) * 5000 for n in range(50)]
    assert tee.put(PATH, iter(chunks)) == 250_000
    assert (tmp_path / "one" / PATH).read_bytes() == (tmp_path / "two" / PATH).read_bytes() == b"".join(chunks)
    assert tee.read(PATH) == b"".join(chunks)
    tee.delete(PATH)
    assert files(tmp_path) == []


@pytest.mark.parametrize("after", [0, 3000, 49_999])
def test_one_that_fails_is_left_out(tmp_path: Path, after: int) -> None:
    """The others get the whole object, it leaves nothing, and nothing more is written to it."""
    tee = Tee({"one": Failing(tmp_path / "one", after), "two": folder(tmp_path / "two")})
    assert tee.put(PATH, (CHUNK for _ in range(50))) == 50_000
    assert list(tee.left) == ["two"]
    assert tee.failures["one"].reason_code == "storage-full"
    assert files(tmp_path / "one") == []
    tee.put(PATH + "1", [CHUNK])
    assert files(tmp_path / "one") == []
    assert len(files(tmp_path / "two")) == 2


def test_one_that_hangs_is_left_out(tmp_path: Path) -> None:
    """A store that takes nothing and does not fail holds the others up for so long and no longer; memory stays bounded."""
    dead = Hanging(tmp_path / "one")
    ahead = [0]

    def chunks() -> Iterator[bytes]:
        for _ in range(50):
            ahead[0] += len(tee.left) == 2
            yield CHUNK

    tee = Tee({"one": dead, "two": folder(tmp_path / "two")}, stall_s=0.5)
    tee.put(PATH, chunks())
    dead.let_go.set()
    assert ahead[0] <= CHUNKS_AHEAD + 3, "the dead one holds it up"
    assert (tmp_path / "two" / PATH).stat().st_size == 50_000
    assert tee.failures["one"].reason_code == "storage-stalled"


def test_none_is_left(tmp_path: Path) -> None:
    """When the last one fails, so does the write, with its error."""
    tee = Tee({"one": Failing(tmp_path / "one", 100), "two": Failing(tmp_path / "two", 20_000)})
    with pytest.raises(Unavailable, match="No space"):
        tee.put(PATH, (CHUNK for _ in range(50)))
    assert files(tmp_path) == []
    with pytest.raises(Unavailable, match="No space"):
        tee.list("")


def test_none_is_left_by_others(tmp_path: Path) -> None:
    """A write fails when other writes left out all of its stores meanwhile, and so does each one that begins afterwards."""
    tee = Tee({"one": folder(tmp_path / "one"), "two": folder(tmp_path / "two")})
    gone = Unavailable("Its folder is gone.")

    def chunks() -> Iterator[bytes]:
        yield CHUNK
        tee.leave_out("one", gone)
        with pytest.raises(Unavailable):
            tee.leave_out("two", gone)
        yield CHUNK

    with pytest.raises(Unavailable, match="folder is gone"):
        tee.put(PATH, chunks())
    assert files(tmp_path) == []
    with pytest.raises(Unavailable, match="folder is gone"):
        tee.put(PATH, [CHUNK])
    assert files(tmp_path) == []


def test_what_makes_the_chunks_fails(tmp_path: Path) -> None:
    """An error of the source is raised as it is, and no store has anything of the object."""

    def chunks() -> Iterator[bytes]:
        yield CHUNK
        raise ValueError("the server died")

    tee = Tee({"one": folder(tmp_path / "one"), "two": folder(tmp_path / "two")})
    with pytest.raises(ValueError, match="the server died"):
        tee.put(PATH, chunks())
    assert files(tmp_path) == []
    assert len(tee.left) == 2


def test_an_object_that_is_there(tmp_path: Path) -> None:
    """In all of them: Conflict, and nobody is left out. In one of them: that one is."""
    one, two = folder(tmp_path / "one"), folder(tmp_path / "two")
    tee = Tee({"one": one, "two": two})
    tee.put(PATH, [CHUNK])
    with pytest.raises(Conflict):
        tee.put(PATH, [CHUNK])
    assert len(tee.left) == 2
    two.put(PATH + "1", [b"another"])
    tee.put(PATH + "1", [CHUNK])
    assert list(tee.left) == ["one"]
    assert two.read(PATH + "1") == b"another"


def test_buffers_used_again(tmp_path: Path) -> None:
    """Whoever yields chunks may use their buffer again, however far behind a store is."""
    buffer = bytearray(1000)

    def chunks() -> Iterator[bytes]:
        for n in range(30):
            buffer[:] = bytes([n]) * 1000
            yield memoryview(buffer)  # type: ignore[misc]

    tee = Tee({"one": folder(tmp_path / "one"), "two": folder(tmp_path / "two")})
    tee.put(PATH, chunks())
    wanted = b"".join(bytes([n]) * 1000 for n in range(30))
    assert (tmp_path / "one" / PATH).read_bytes() == (tmp_path / "two" / PATH).read_bytes() == wanted
