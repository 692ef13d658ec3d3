"""What the directory store promises beyond the suite: private files, crashes, full and read-only disks."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.errors import Unavailable
from bot.repository.stores.files import FilesStore

REPOSITORY = Path(__file__).resolve().parents[2]
LATER = datetime.now(UTC) + timedelta(days=1)
ENDLESS = """
import sys
from pathlib import Path
from bot.repository.stores.files import FilesStore

def content():
    yield b"x" * (1 << 20)
    print("half", flush=True)
    sys.stdin.read()
    yield b"y"

FilesStore(Path(sys.argv[1])).put("a/b/object", content())
"""
FILL = """
import sys
from pathlib import Path
from bot.errors import Unavailable
from bot.repository.stores.files import FilesStore

store = FilesStore(Path(sys.argv[1]))
try:
    store.put("a/big", (bytes(1 << 18) for _ in range(100)))
except Unavailable as error:
    print(error.reason_code, [info.path for info in store.list("")], store.sweep.__name__)
    left = [str(path) for path in Path(sys.argv[1]).rglob("*") if path.is_file()]
    print(left)
"""


def private_mount(size: str, flags: str, script: str, folder: Path) -> str:
    """Run a script with a small file system of its own at `folder`, in a mount namespace that ends with it."""
    who = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    line = f'mount -t tmpfs -o size={size} none "$1" && {flags} exec "$2" -c "$3" "$1"'
    argv = [*who, "sh", "-c", line, "sh", str(folder), sys.executable, script]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=REPOSITORY, check=False, timeout=60)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no mount namespaces here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_files_and_folders_are_private(tmp_path: Path) -> None:
    """Files are 0600 and folders 0700 whatever the umask."""
    before = os.umask(0)
    try:
        FilesStore(tmp_path).put("a/b/c", [b"x"])
    finally:
        os.umask(before)
    modes = {str(p.relative_to(tmp_path)): stat.S_IMODE(p.stat().st_mode) for p in tmp_path.rglob("*")}
    assert modes == {"a": 0o700, "a/b": 0o700, "a/b/c": 0o600}


def test_a_killed_writer_leaves_nothing_visible(tmp_path: Path) -> None:
    """kill -9 in the middle of a put: no object, no child; the path is free; the leftover is swept once it is old, not before."""
    store = FilesStore(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"half\n"
        assert store.sweep(LATER) == 0, "it is being written"
        writer.send_signal(signal.SIGKILL)
    assert list(store.list("")) == []
    assert store.children("") == []
    assert not store.exists("a/b/object")
    assert store.sweep(datetime.now(UTC) - timedelta(hours=1)) == 0, "it is young"
    assert store.sweep(LATER) == 1
    assert list(tmp_path.iterdir()) == [], "its empty folders went as well"
    assert store.put("a/b/object", [b"z"]) == 1


def test_a_failed_write_leaves_no_folder(tmp_path: Path) -> None:
    """What a write that failed had to make on its way goes with it, and what others wrote beside it stays."""

    def broken() -> Iterator[bytes]:
        yield b"x"
        raise ZeroDivisionError

    store = FilesStore(tmp_path)
    for path in ("a/b/object", "a/b/c/object"):
        with pytest.raises(ZeroDivisionError):
            store.put(path, broken())
        assert list(tmp_path.rglob("*")) == []
    store.put("a/b/other", [b"y"])
    with pytest.raises(ZeroDivisionError):
        store.put("a/b/c/object", broken())
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == ["a", "a/b", "a/b/other"]


def test_a_name_in_the_last_moment(tmp_path: Path) -> None:
    """A writer that died between naming the object and removing its hidden name left a whole object, which a sweep keeps."""
    store = FilesStore(tmp_path)
    store.put("a/b", [b"whole"])
    os.link(tmp_path / "a/b", tmp_path / "a/.b.0123456789abcdef.tmp")
    assert [info.path for info in store.list("")] == ["a/b"]
    assert store.sweep(LATER) == 1
    assert store.read("a/b") == b"whole"


def test_a_full_disk(tmp_path: Path) -> None:
    """A full disk is Unavailable with a code of its own, and not even a hidden file stays to keep it full."""
    said = private_mount("2m", "", FILL, tmp_path).splitlines()
    assert said == ["storage-full [] sweep", "[]"]


def test_a_limit_on_sizes(tmp_path: Path) -> None:
    """A file that may not grow (ulimit, quota) is Unavailable, and leaves nothing."""
    limited = f"import resource, signal; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)){FILL}"
    done = subprocess.run(
        [sys.executable, "-c", limited, str(tmp_path)], capture_output=True, text=True, cwd=REPOSITORY, check=True
    )
    assert done.stdout.splitlines() == ["storage-failed [] sweep", "[]"]


def test_a_read_only_disk(tmp_path: Path) -> None:
    """A file system that turned read-only is Unavailable, saying that it forbids writing."""
    assert private_mount("1m", 'mount -o remount,ro "$1" &&', FILL, tmp_path).startswith("storage-forbidden []")


def gone(caught: pytest.ExceptionInfo[Unavailable]) -> bool:
    """Say whether the error tells that the disk is away."""
    return caught.value.reason_code == "repository-gone"


@pytest.mark.parametrize("emptied", [True, False], ids=["an empty mount point is left", "nothing is left"])
def test_a_repository_that_vanished(tmp_path: Path, emptied: bool) -> None:
    """When its disk is unmounted, nothing is written in its place, and nothing is said to be absent: no proof comes from there."""
    root = tmp_path / "root"
    root.mkdir()
    store = FilesStore(root)
    store.put("a/b", [b"x"])
    root.rename(tmp_path / "elsewhere")
    if emptied:
        root.mkdir()
    calls: list[Callable[[], object]] = [
        lambda: store.put("a/c", [b"x"]),
        lambda: store.get("a/b"),
        lambda: store.exists("a/b"),
        lambda: store.children("a"),
        lambda: list(store.list("")),
        lambda: list(store.list("a")),
    ]
    for call in calls:
        with pytest.raises(Unavailable) as caught:
            call()
        assert gone(caught)
    assert not emptied or list(root.iterdir()) == []
    if emptied:
        root.rmdir()
    (tmp_path / "elsewhere").rename(root)
    store.put("a/c", [b"x"])
    assert store.children("a") == ["b", "c"]


def test_a_folder_that_was_never_there(tmp_path: Path) -> None:
    """A store on a missing folder neither reads nor makes it."""
    store = FilesStore(tmp_path / "never")
    for call in (lambda: store.put("a", [b"x"]), lambda: store.children("")):
        with pytest.raises(Unavailable) as caught:
            call()
        assert gone(caught)
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_is_a_file(tmp_path: Path) -> None:
    """A file in the place of the folder is not a repository."""
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(Unavailable):
        FilesStore(tmp_path / "file").put("a", [b"x"])
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_what_others_put_there_is_no_object(tmp_path: Path) -> None:
    """Hidden files and dangling links are not listed, and a folder in an object's place is not that object."""
    store = FilesStore(tmp_path)
    store.put("a/b", [b"x"])
    (tmp_path / "a/.nfs0001").write_bytes(b"")
    (tmp_path / "a/dangling").symlink_to("nowhere")
    assert [info.path for info in store.list("")] == ["a/b"]
    assert not store.exists("a/dangling")
    with pytest.raises(Unavailable):
        store.put("a/b/below", [b"x"])
