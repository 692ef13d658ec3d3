"""`pitstop wal push` and `wal fetch` as PostgreSQL runs them: exit codes, durability, and what they may import."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bot.errors import Unavailable
from bot.host.spool import Spool, SpoolIdentity
from bot.model.wal import segment_name
from bot.repository.wal import WalArchive
from jobs.wal.fetch_service import FetchService
from tests.jobs import wait_for
from tests.unit.repository.sample import SEGMENT_BYTES, open_sample, sample_cluster, wal_segment

ROOT = Path(__file__).resolve().parents[2]
NAME = segment_name(1, 2, SEGMENT_BYTES)
SYSTEM = "7300000000000000001"


@pytest.fixture
def spool(short_tmp: Path) -> Spool:
    """An empty spool that belongs to the sample cluster."""
    spool = Spool(short_tmp / "slips")
    spool.directory.mkdir()
    spool.claim(SpoolIdentity(SYSTEM, SEGMENT_BYTES))
    return spool


@pytest.fixture
def archive(tmp_path: Path) -> WalArchive:
    """The WAL of the sample cluster in a repository."""
    return sample_cluster(open_sample(tmp_path)).wal


def wal(*words: str | Path, cwd: Path = ROOT, python: tuple[str, ...] = (sys.executable, "-I")) -> tuple[int, str]:
    """Run `pitstop wal …` as a server does; return its exit code and what it said on stderr."""
    argv = [*python, "-m", "bot", "wal", *map(str, words)]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=cwd, check=False, timeout=60)
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.returncode, done.stderr


def push(spool: Spool, source: Path) -> int:
    """Push a file and return the exit code."""
    return wal("push", "--spool", spool.directory, source)[0]


def fetch(spool: Spool, name: str, target: Path) -> int:
    """Fetch a file and return the exit code."""
    return wal("fetch", "--spool", spool.directory, name, target)[0]


@contextmanager
def serving(spool: Spool, archives: Callable[[], list[WalArchive]]) -> Iterator[None]:
    """Answer on the spool's socket as a running receiver does."""
    service = FetchService(spool, archives, SEGMENT_BYTES)
    service.start()
    try:
        while not spool.socket_path.exists():
            service.check()
        yield
    finally:
        service.stop()


def segment_file(folder: Path, number: int = 2, *, system: str = SYSTEM, seed: int = 1) -> Path:
    """Write a segment of a cluster under its name."""
    path = folder / segment_name(1, number, SEGMENT_BYTES)
    path.write_bytes(wal_segment(1, number, system=system, seed=seed))
    return path


def test_push_is_idempotent_and_overwrites_nothing(spool: Spool, tmp_path: Path) -> None:
    """The same file twice is 0 twice; another one of that name is not 0, and the first stays; the spool's copy is private."""
    source = segment_file(tmp_path)
    assert [push(spool, source), push(spool, source)] == [0, 0]
    kept = spool.wal / NAME
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    first = kept.read_bytes()
    code, said = wal("push", "--spool", spool.directory, segment_file(tmp_path, seed=2))
    assert code == 1
    assert "different" in said
    assert kept.read_bytes() == first
    assert sorted(path.name for path in spool.wal.iterdir()) == [NAME], "no temporary file stays"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: p.write_bytes(wal_segment(1, 2)[:-1]), f"{SEGMENT_BYTES - 1} bytes"),
        (lambda p: p.write_bytes(wal_segment(1, 2, system="99")), "system identifier is 99"),
        (lambda p: p.write_bytes(wal_segment(1, 3)), "timeline 1 at 0/300000"),
        (lambda p: p.write_bytes(wal_segment(2, 2)), "timeline 2"),
        (lambda p: p.write_bytes(bytes(SEGMENT_BYTES)), "does not begin like WAL"),
    ],
    ids=["short", "of another cluster", "another segment", "of a later timeline", "zeros"],
)
def test_push_refuses_what_is_not_that_segment(
    spool: Spool, tmp_path: Path, make: Callable[[Path], object], says: str
) -> None:
    """A file that is not the segment its name says, of the spool's cluster, is never acknowledged: the server keeps it."""
    source = tmp_path / NAME
    make(source)
    code, said = wal("push", "--spool", spool.directory, source)
    assert code == 1
    assert says in said
    assert list(spool.wal.iterdir()) == []


def test_push_keeps_side_files_apart(spool: Spool, tmp_path: Path) -> None:
    """A history file is WAL; a backup label and an archived partial segment are kept beside, and all can be fetched."""
    names = ["00000002.history", f"{NAME}.00000028.backup", f"{NAME}.partial"]
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
        assert push(spool, tmp_path / name) == 0
        assert fetch(spool, name, tmp_path / "got") == 0
        assert (tmp_path / "got").read_bytes() == name.encode()
    assert spool.names() == names[:1]
    assert spool.partials() == {}


def test_push_that_cannot_be_done(spool: Spool, tmp_path: Path) -> None:
    """Wrong words, names that are no WAL, a missing spool or file: never 0, and below 126, so that the server tries again."""
    (tmp_path / "notes.txt").write_text("x")
    for words in (
        ("push",),
        ("push", "--spool", spool.directory),
        ("push", "--spool", spool.directory, tmp_path / "notes.txt"),
        ("push", "--spool", tmp_path / "nowhere", segment_file(tmp_path)),
        ("push", "--spool", spool.directory, tmp_path / segment_name(1, 9, SEGMENT_BYTES)),
    ):
        code, said = wal(*words)
        assert 0 < code < 126
        assert said.startswith(("pitstop wal push:", "usage:"))
    assert not (tmp_path / "nowhere").exists()


def test_a_killed_push_leaves_nothing_that_counts(spool: Spool, tmp_path: Path) -> None:
    """kill -9 while it writes: no segment is seen, the next push works, and the leftover goes once it is old."""
    fifo = tmp_path / NAME
    os.mkfifo(fifo)
    argv = [sys.executable, "-I", "-m", "bot", "wal", "push", "--spool", str(spool.directory), str(fifo)]
    with subprocess.Popen(argv, cwd=ROOT) as process:
        writer = os.open(fifo, os.O_WRONLY)
        os.write(writer, b"x" * 1000)
        process.kill()
        process.wait()
        os.close(writer)
    (spool.wal / f".{NAME}.abcdefgh").write_bytes(b"half")
    assert spool.names() == []
    fifo.unlink()
    assert push(spool, segment_file(tmp_path)) == 0
    spool.sweep()
    assert (spool.wal / f".{NAME}.abcdefgh").exists(), "young: it may be somebody's"
    os.utime(spool.wal / f".{NAME}.abcdefgh", (0, 0))
    spool.sweep()
    assert [path.name for path in spool.wal.iterdir()] == [NAME]


def test_fetch_from_the_spool(spool: Spool, tmp_path: Path) -> None:
    """What the spool holds is fetched without anybody's help, whole, over whatever was in the target's place."""
    push(spool, segment_file(tmp_path))
    (tmp_path / "RECOVERYXLOG").write_bytes(b"old")
    assert fetch(spool, NAME, tmp_path / "RECOVERYXLOG") == 0
    assert (tmp_path / "RECOVERYXLOG").read_bytes() == wal_segment(1, 2, seed=1)


def test_fetch_from_the_repository(spool: Spool, archive: WalArchive, tmp_path: Path) -> None:
    """Segments, a partial one filled up with zeros, and history files come through the receiver, byte for byte."""
    archive.put_segment(1, 2, wal_segment(1, 2))
    archive.put_piece(1, 3, 0, wal_segment(1, 3)[:5000])
    archive.put_history(2, b"1\t0/300000\tx\n")
    with serving(spool, lambda: [archive]):
        for name, content in (
            (NAME, wal_segment(1, 2)),
            (segment_name(1, 3, SEGMENT_BYTES), wal_segment(1, 3)[:5000].ljust(SEGMENT_BYTES, b"\0")),
            ("00000002.history", b"1\t0/300000\tx\n"),
        ):
            assert fetch(spool, name, tmp_path / "got") == 0
            assert (tmp_path / "got").read_bytes() == content


def test_absence_is_1_only_when_it_is_proved(spool: Spool, archive: WalArchive, tmp_path: Path) -> None:
    """After the last segment, and for a timeline nobody knows, 1; for a hole before later WAL, 255."""
    archive.put_segment(1, 2, wal_segment(1, 2))
    archive.put_segment(1, 5, wal_segment(1, 5))
    with serving(spool, lambda: [archive]):
        assert fetch(spool, segment_name(1, 6, SEGMENT_BYTES), tmp_path / "got") == 1
        assert fetch(spool, segment_name(2, 6, SEGMENT_BYTES), tmp_path / "got") == 1
        assert fetch(spool, "00000002.history", tmp_path / "got") == 1
        assert fetch(spool, segment_name(1, 3, SEGMENT_BYTES), tmp_path / "got") == 255
    assert not (tmp_path / "got").exists()


def test_no_proof_without_every_repository(
    spool: Spool, archive: WalArchive, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """While one of two repositories is away, or its disk was unmounted, what is not found elsewhere is 255, never 1."""
    other_home = tmp_path_factory.mktemp("other")
    other = sample_cluster(open_sample(other_home)).wal
    archive.put_segment(1, 2, wal_segment(1, 2))
    after = segment_name(1, 3, SEGMENT_BYTES)
    with serving(spool, lambda: [archive, other]):
        assert fetch(spool, after, tmp_path / "got") == 1
        (other_home / "repository").rename(other_home / "unmounted")
        (other_home / "repository").mkdir()
        assert fetch(spool, after, tmp_path / "got") == 255
        assert fetch(spool, "00000002.history", tmp_path / "got") == 255
        assert fetch(spool, NAME, tmp_path / "got") == 0, "what is found needs no proof"

    def away() -> list[WalArchive]:
        raise Unavailable("The storage is away.")

    with serving(spool, away):
        assert fetch(spool, after, tmp_path / "got") == 255


def test_a_damaged_copy_is_not_absence(spool: Spool, archive: WalArchive, tmp_path: Path) -> None:
    """A segment whose only copy is damaged is 255; with a second repository that has it, 0."""
    archive.put_segment(1, 2, wal_segment(1, 2))
    [file] = (tmp_path / "repository").glob(f"*/*/wal/*/{NAME}")
    file.write_bytes(file.read_bytes()[:-1])
    with serving(spool, lambda: [archive]):
        assert fetch(spool, NAME, tmp_path / "got") == 255
    (tmp_path / "second").mkdir()
    second = sample_cluster(open_sample(tmp_path / "second")).wal
    second.put_segment(1, 2, wal_segment(1, 2))
    with serving(spool, lambda: [archive, second]):
        assert fetch(spool, NAME, tmp_path / "got") == 0


@contextmanager
def answering(spool: Spool, answer: bytes | None) -> Iterator[None]:
    """A receiver that answers with these bytes and closes; with None it never answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(spool.socket_path))
        listener.listen(4)
        done = threading.Event()

        def serve() -> None:
            link, _ = listener.accept()
            with link:
                if answer is None:
                    done.wait(60)
                else:
                    link.recv(200)
                    link.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(10)
            spool.socket_path.unlink()


@pytest.mark.parametrize(
    "answer",
    [b"", b"found 10\nshort", b"found x\n", b"found\n", b"failed it is away\n", b"\xff\xfe\n", b"absently\n", b"failed\n"],
)  # fmt: skip
def test_an_answer_that_is_no_proof(spool: Spool, tmp_path: Path, answer: bytes) -> None:
    """A receiver that dies in its answer, or says anything but the one word, is 255, and no file appears."""
    with answering(spool, answer):
        assert fetch(spool, NAME, tmp_path / "got") == 255
    assert list(tmp_path.iterdir()) == []


def test_whatever_goes_wrong_is_255(spool: Spool, tmp_path: Path) -> None:
    """Wrong words, odd names, no receiver, a missing target folder: 255, since any lower code means `absent` to a server."""
    push(spool, segment_file(tmp_path))
    for words in (
        ("fetch",),
        ("fetch", "--help"),
        ("fetch", "--spool", spool.directory, NAME),
        ("fetch", "--spool", spool.directory, "../../etc/passwd", tmp_path / "got"),
        ("fetch", "--spool", spool.directory, segment_name(1, 7, SEGMENT_BYTES), tmp_path / "got"),
        ("fetch", "--spool", tmp_path / "nowhere", NAME, tmp_path / "got"),
        ("fetch", "--spool", spool.directory, NAME, tmp_path / "no/folder/here"),
    ):
        code, said = wal(*words)
        assert code == 255
        assert said


def test_an_interrupted_or_broken_program_is_255(spool: Spool, tmp_path: Path) -> None:
    """SIGINT while it waits for the receiver, and an installation whose modules are damaged, are 255 as well."""
    argv = [
        sys.executable,
        "-I",
        "-m",
        "bot",
        "wal",
        "fetch",
        "--spool",
        str(spool.directory),
        NAME,
        str(tmp_path / "got"),
    ]
    with answering(spool, None), subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.PIPE) as process:
        wait_until_connected(spool, process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 255
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "bot", copy / "bot", ignore=shutil.ignore_patterns("__pycache__", "sandbox"))
    (copy / "bot/host/spool.py").write_text("this is no Python")
    done = subprocess.run([sys.executable, "-S", "-m", "bot", *argv[4:]], cwd=copy, capture_output=True, check=False)
    assert done.returncode == 255
    assert b"SyntaxError" in done.stderr


def wait_until_connected(spool: Spool, pid: int) -> None:
    """Wait until a process has a socket open."""

    def connected() -> bool:
        links = [path.readlink() for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()]
        return any(str(link).startswith("socket:") for link in links)

    wait_for(connected, what="the connection")


REPORT = """
import sys
before = set(sys.modules)
sys.argv = ["pitstop", "wal", *sys.argv[1:]]
from bot.__main__ import main
try:
    main()
except SystemExit as end:
    files = {m: getattr(sys.modules[m], "__file__", None) or "" for m in set(sys.modules) - before}
    foreign = sorted(m for m, file in files.items() if "site-packages" in file)
    ours = sorted(m for m in sys.modules if m.split(".")[0] in {"bot", "jobs", "handlers"})
    print(end.code, foreign, ours, file=sys.stdout)
"""


def test_nothing_but_the_standard_library_is_imported(spool: Spool, tmp_path: Path) -> None:
    """Neither verb imports a third-party module, configuration, ledger or job; Python without site-packages is enough."""
    source = segment_file(tmp_path)
    verbs: tuple[list[str | Path], ...] = (
        ["push", "--spool", spool.directory, source],
        ["fetch", "--spool", spool.directory, NAME, tmp_path / "got"],
    )
    for words in verbs:
        argv = [sys.executable, "-c", REPORT, *map(str, words)]
        said = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, check=True).stdout.strip()
        code, _, rest = said.partition(" ")
        assert code == "0"
        foreign, _, ours = rest.partition("] ")
        assert foreign == "["
        assert ours == str(
            ["bot", "bot.__main__", "bot.errors", "bot.host", "bot.host.files", "bot.host.spool", "bot.model", "bot.model.wal",
             "bot.model.wal_headers", "bot.wal"]
        )  # fmt: skip
        assert wal(*words, python=(sys.executable, "-S"))[0] == 0
