"""Plain servers: the ground every other integration test stands on."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from bot.host import processes
from bot.postgres.isolated import remove_directory
from bot.postgres.isolated_folder import ServerFolder
from tests.jobs import wait_for
from tests.servers import PlainServerFactory, execute

pytestmark = pytest.mark.pg

INITDB = """
import sys
from pathlib import Path
from bot.host.accounts import server_account
from bot.postgres.binaries import find
from bot.postgres.plain import initdb
initdb(find(18), Path(sys.argv[1]), server_account(None))
"""


@pytest.mark.parametrize("major", [15, 16, 18])
def test_a_plain_server_answers(plain_server: PlainServerFactory, major: int) -> None:
    """Each major starts from the template, answers over its socket, and has the settings asked for."""
    server = plain_server(major, settings={"wal_level": "logical"})
    assert execute(server, "SHOW wal_level") == [("logical",)]
    [(version,)] = execute(server, "SHOW server_version_num")
    assert int(str(version)) == server.binaries.version_num
    server.stop()
    assert not server.running


def test_an_initdb_whose_starter_was_killed_ends_before_its_files_go(server_home: Path) -> None:
    """initdb outlives who started it and goes on writing: its folder is removed whole all the same, and stays away."""
    folder = ServerFolder.claim(server_home / "drill")
    with subprocess.Popen([sys.executable, "-c", INITDB, folder.data]) as starter:
        wait_for((folder.data / "base" / "1").exists, 60, "initdb's first database")
        starter.kill()
        starter.wait()
    assert remove_directory(folder.path) == []
    assert not [pid for pid in processes.pids() if names(pid, folder.data)]
    assert not folder.path.exists()


def names(pid: int, folder: Path) -> bool:
    """Say whether a process was started with a folder among its words, as initdb is."""
    with suppress(OSError):
        return os.fsencode(folder) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return False
