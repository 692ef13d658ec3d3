"""Folders for a moment: what a killed process left is removed by the next one, and what a living one uses is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bot.host.passing import passing_folder

HOLD = """
import sys
from pathlib import Path
from bot.host.passing import passing_folder
with passing_folder(Path(sys.argv[1])) as folder:
    (folder / "segment").write_bytes(b"rows")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_goes_with_the_next(tmp_path: Path) -> None:
    """While its maker lives a folder stays, however old; once it was killed, the next folder's making removes it."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        held = Path(process.stdout.readline().strip())
        os.utime(held, (0, 0))
        with passing_folder(tmp_path):
            assert (held / "segment").exists()
        process.kill()
        process.wait()
        assert (held / "segment").exists()
        foreign = tmp_path / "pitstop-passing-file"
        foreign.write_text("no folder")
        with passing_folder(tmp_path) as own:
            assert own.stat().st_mode & 0o777 == 0o700
            assert not held.exists()
        assert [path.name for path in tmp_path.iterdir()] == [foreign.name]
