"""What every store promises: written once, whole or not at all, found again as it was."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bot.errors import Conflict, Usage
from bot.repository.damage import ObjectMissing
from bot.repository.stores import Store
from tests.contract.conftest import files_store

LATER = datetime.now(UTC) + timedelta(days=1)
component = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,8}", fullmatch=True)
paths = st.lists(component, min_size=1, max_size=4).map("/".join)


def test_what_is_put_is_found(store: Store) -> None:
    """An object comes back byte for byte, with the size that `put` answered, however it was cut into chunks."""
    chunks = [b"one", b"", b"two" * 1000, bytes(3 << 20)]
    assert store.put("a/b/c", chunks) == sum(map(len, chunks))
    assert store.read("a/b/c") == b"".join(chunks)
    assert store.exists("a/b/c")
    [info] = store.list("")
    assert (info.path, info.size) == ("a/b/c", sum(map(len, chunks)))
    assert abs(info.modified - datetime.now(UTC)) < timedelta(hours=1)


def test_memory_of_chunks_is_used_again(store: Store) -> None:
    """A chunk is taken in before the next is asked for: whoever yields them fills the same buffer again and again."""

    def chunks() -> Iterator[memoryview]:
        buffer = bytearray(1 << 20)
        for number in range(20):
            buffer[:] = bytes([number]) * len(buffer)
            yield memoryview(buffer)[: len(buffer) - number]
        buffer[:] = bytes(len(buffer))

    expected = b"".join(bytes([number]) * ((1 << 20) - number) for number in range(20))
    assert store.put("a/b/c", chunks()) == len(expected)
    assert store.read("a/b/c") == expected


def test_empty_objects_are_objects(store: Store) -> None:
    """Content of no bytes is an object like any other."""
    assert store.put("empty", []) == 0
    assert store.exists("empty")
    assert store.read("empty") == b""


def test_blocks_are_at_most_one_mebibyte(store: Store) -> None:
    """A large object is read in bounded memory."""
    store.put("large", [bytes(5 << 20)])
    sizes = [len(block) for block in store.get("large")]
    assert max(sizes) <= 1 << 20
    assert sum(sizes) == 5 << 20


@given(offset=st.integers(0, 3000), length=st.none() | st.integers(0, 3000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_ranges(store: Store, offset: int, length: int | None) -> None:
    """A range is exactly those bytes, also past the end and of no length."""
    content = bytes(range(256)) * 10
    if not store.exists("ranges"):
        store.put("ranges", [content])
    end = None if length is None else offset + length
    assert b"".join(store.get("ranges", offset, length)) == content[offset:end]


def test_an_object_is_written_once(store: Store) -> None:
    """A second put is a Conflict with a code, and changes nothing, not even when it is the same."""
    store.put("once", [b"first"])
    for content in (b"second", b"first"):
        with pytest.raises(Conflict) as caught:
            store.put("once", [content])
        assert caught.value.reason_code == "object-exists"
    assert store.read("once") == b"first"
    assert [info.path for info in store.list("")] == ["once"]


def test_of_many_writers_one_wins(opened: Callable[[Path], Store], tmp_path: Path) -> None:
    """Many writers of one path, through stores of their own: one succeeds, and the object is the winner's."""
    barrier = threading.Barrier(8)

    def write(number: int) -> int | None:
        mine = opened(tmp_path / "store")
        barrier.wait()
        try:
            mine.put("contended/object", (bytes([number]) * 100_000 for _ in range(5)))
        except Conflict:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        winners = [number for number in pool.map(write, range(8)) if number is not None]
    assert len(winners) == 1
    assert opened(tmp_path / "store").read("contended/object") == bytes([winners[0]]) * 500_000


def test_a_put_that_fails_leaves_nothing(store: Store) -> None:
    """When the content cannot be produced to its end, its error is the caller's, and no object is there to be seen."""

    def broken() -> Iterator[bytes]:
        yield b"x" * 100_000
        assert [*store.list(""), *store.children("")] == []
        assert not store.exists("half/written")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.put("half/written", broken())
    assert [*store.list(""), *store.children("half")] == []
    assert store.put("half/written", [b"whole"]) == 5


def test_what_is_missing_is_said_at_the_call(store: Store) -> None:
    """Reading what is not there raises at once, also where the path leads through an object or names a folder."""
    store.put("here/object", [b"x"])
    for path in ("nowhere", "here/nothing", "here/object/below", "here"):
        assert not store.exists(path)
        with pytest.raises(ObjectMissing) as caught:
            store.get(path)
        assert caught.value.path == path


def test_deleting(store: Store) -> None:
    """A deleted object is gone and may be written again; deleting twice is no error; its neighbours stay."""
    store.put("a/b/one", [b"1"])
    store.put("a/b/two", [b"2"])
    store.delete("a/b/one")
    store.delete("a/b/one")
    store.delete("never/was")
    assert [info.path for info in store.list("")] == ["a/b/two"]
    store.delete("a/b/two")
    assert store.children("") == []
    store.put("a/b/one", [b"again"])
    assert store.read("a/b/one") == b"again"


def test_reading_goes_on_while_an_object_is_deleted(store: Store) -> None:
    """Blocks already promised still come, or an error does: never a short object that looks whole."""
    content = bytes(range(256)) * (4 << 12)
    store.put("x", [content])
    blocks = store.get("x")
    first = next(blocks)
    store.delete("x")
    assert first + b"".join(blocks) == content


@given(wanted=st.sets(paths, max_size=12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
def test_listings_of_directories(tmp_path: Path, wanted: set[str]) -> None:
    """The same as `test_listings`, with many more names: a directory has to sort them itself."""
    _check_listings(files_store(tmp_path / f"store{next(_numbers)}"), wanted)


@given(wanted=st.sets(paths, max_size=8))
@example(wanted={"a/b", "a-b/c", "a.b", "a0", "a/b-c/d", "a/b.c", "A/b", "_"})
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=4, deadline=None)
def test_listings(opened: Callable[[Path], Store], tmp_path: Path, wanted: set[str]) -> None:
    """`list` gives every object below a prefix in the order of their paths, `children` the next components, no more."""
    _check_listings(opened(tmp_path / f"store{next(_numbers)}"), wanted)


def _check_listings(store: Store, wanted: set[str]) -> None:
    kept: set[str] = set()
    for path in sorted(wanted):
        # No store has an object below another object; on a case-preserving disk all names differ.
        if not any(path.startswith(f"{other}/") or other.startswith(f"{path}/") for other in kept):
            store.put(path, [path.encode()])
            kept.add(path)
    assert [info.path for info in store.list("")] == sorted(kept)
    prefixes = {""} | {path.rsplit("/", n)[0] for path in kept for n in range(path.count("/") + 1)}
    for prefix in prefixes:
        assert sorted(store.names(prefix)) == [info.path for info in store.list(prefix)]
        below = [path for path in sorted(kept) if not prefix or path.startswith(f"{prefix}/")]
        for written in {prefix, f"{prefix}/"} if prefix else {prefix}:
            assert [i.path for i in store.list(written) if i.path != prefix] == below
            rest = (path[len(prefix) + 1 if prefix else 0 :] for path in below)
            assert store.children(written) == sorted({part.split("/")[0] for part in rest})


_numbers = itertools.count()


def test_a_prefix_is_whole_components(store: Store) -> None:
    """A prefix never matches half a name."""
    store.put("slips/1/x", [b""])
    store.put("slips2/1/x", [b""])
    assert [info.path for info in store.list("slips")] == ["slips/1/x"]
    assert store.children("slip") == []


@pytest.mark.parametrize(
    "path", ["", "/a", "a//b", "a/", "../a", "a/../b", "a/./b", ".hidden", "a/.hidden", "a b", "a\nb",
        "a\n",
        "a\n/b", "ä", "a" * 201, "a\0b", "-a"]
)  # fmt: skip
def test_names_that_no_store_takes(store: Store, path: str) -> None:
    """A path that climbs, hides, is absolute or odd is refused by each method that takes an object's path."""
    calls: list[Callable[[str], object]] = [
        lambda p: store.put(p, [b"x"]),
        store.get,
        store.read,
        store.exists,
        store.delete,
    ]
    for call in calls:
        with pytest.raises(Usage) as caught:
            call(path)
        assert caught.value.reason_code == "bad-object-path"
    assert list(store.list("")) == []


def test_the_longest_names(store: Store) -> None:
    """A component of 200 characters is written, also through the hidden name it has meanwhile."""
    path = "/".join(["a" * 200, "b" * 200])
    store.put(path, [b"x"])
    assert store.read(path) == b"x"


def test_a_sweep_touches_no_object(store: Store) -> None:
    """Nothing that is complete is ever swept, whatever its age."""
    store.put("a/b", [b"x"])
    assert store.sweep(LATER) == 0
    assert store.read("a/b") == b"x"


def test_a_sweep_spares_what_is_being_written(store: Store) -> None:
    """A sweep in the middle of a put, from another thread or this one, leaves the put alone."""

    def content() -> Iterator[bytes]:
        yield b"x" * 1000
        assert store.sweep(LATER) == 0
        yield b"y" * 1000

    assert store.put("live", content()) == 2000
    assert store.read("live") == b"x" * 1000 + b"y" * 1000


def test_folders_vanish_and_come_back(opened: Callable[[Path], Store], tmp_path: Path) -> None:
    """Another process may delete the last object of a branch: this one, which wrote there before, still can."""
    one, other = opened(tmp_path / "store"), opened(tmp_path / "store")
    one.put("slips/1/volumes/x/base/000000", [b"1"])
    other.delete("slips/1/volumes/x/base/000000")
    one.put("slips/1/volumes/x/base/000001", [b"2"])
    assert [info.path for info in other.list("")] == ["slips/1/volumes/x/base/000001"]


def test_writers_and_deleters_of_one_branch(opened: Callable[[Path], Store], tmp_path: Path) -> None:
    """While some delete the last objects of folders, others write into them: every put that returned is there."""
    stores = [opened(tmp_path / "store") for _ in range(4)]

    def work(number: int) -> None:
        mine = stores[number]
        for turn in range(40):
            mine.put(f"deep/er/{turn % 3}/{number}-{turn}", [b"x"])
            if turn:
                mine.delete(f"deep/er/{(turn - 1) % 3}/{number}-{turn - 1}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert sorted(info.path for info in stores[0].list("")) == [f"deep/er/0/{n}-39" for n in range(4)]
