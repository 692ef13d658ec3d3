"""`pitstop demo --story`: the whole story on a terminal, and nothing left behind, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import for_servers

pytestmark = pytest.mark.pg

STORY = (sys.executable, "-I", "-m", "bot", "demo", "--story")


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder for temporary files that only this story uses, so that what it leaves behind is seen."""
    folder = Path(tempfile.mkdtemp(prefix="ps-", dir=for_servers()))
    folder.chmod(0o711)
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)


def _play(room: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        STORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
        env={**os.environ, "TMPDIR": str(room), "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )


def _left_behind(room: Path) -> list[str]:
    """Return the files of a story that has ended, and the command lines of processes that speak of its folder."""
    files = [str(path) for path in room.iterdir()]
    lines = (entry / "cmdline" for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return files + [line for path in lines if str(room) in (line := _read(path))]


def _read(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""  # it ended meanwhile


def test_the_story_ends_well_and_leaves_nothing(room: Path) -> None:
    """The story is told with times, from the backup to equal rows, exits 0, and leaves no process and no file."""
    story = _play(room)
    told, _ = story.communicate(timeout=240)
    assert story.returncode == 0, told
    chapters = [
        "Backup taken",
        "Table dropped",
        "/pitr slips before:xid:",
        "Self-approval refused",
        "Approved by the second person",
        "Recovered beside the live server",
        "Rows back and equal",
        "audit chain, verified",
        "The end",
    ]
    places = [told.find(chapter) for chapter in chapters]
    assert -1 not in places, told
    assert places == sorted(places)
    times = [float(line.split(" s  ")[0]) for line in told.splitlines() if " s  " in line[:12]]
    assert len(times) >= len(chapters)
    assert times == sorted(times)
    assert not _left_behind(room)


@pytest.mark.parametrize(
    "chapter",
    [
        pytest.param("Setting up", marks=pytest.mark.full),
        "types in #db-backups",
        pytest.param("Approved by the second person", marks=pytest.mark.full),
    ],
)
def test_an_interrupted_story_leaves_nothing(room: Path, chapter: str) -> None:
    """Ctrl-C in the middle, twice as impatient people press it, ends everything that was started and removes every file."""
    story = _play(room)
    assert story.stdout is not None
    for line in story.stdout:
        if chapter in line:
            break
    # A terminal sends it to the bot as well, which is in the same process group.
    os.killpg(story.pid, signal.SIGINT)
    os.killpg(story.pid, signal.SIGINT)
    story.communicate(timeout=120)
    assert story.returncode == 130
    assert not _left_behind(room)
