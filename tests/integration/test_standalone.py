"""The page on the envelope is followed to the letter, by a Python that has nothing of Pitstop: the cluster starts with all rows."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bot.model.ids import BackupId
from bot.model.runs import Job
from tests.bare_python import bare_python
from tests.integration.backups import own, started
from tests.integration.wal_truth import KEEP, flushed, switch, wait_durable
from tests.jobs import CLUSTER, install, wait_for
from tests.servers import PlainServerFactory, execute
from tests.stand_alone import SCRIPT

pytestmark = pytest.mark.pg

PAGE = SCRIPT.with_name("envelope.md")
ROWS = "SELECT count(*), sum(n), md5(string_agg(t, '' ORDER BY n)) FROM t"


def commands() -> str:
    """Return the page's commands for a restore without Pitstop; its first line names what is restored."""
    [block] = re.findall(r"```bash\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return str(block)


@pytest.mark.parametrize("major", [15, 18])
def test_a_restore_by_the_page_alone(
    plain_server: PlainServerFactory, server_home: Path, tmp_path: Path, major: int
) -> None:
    """A base backup and the WAL after it, up to the last whole segment, with the script alone: every row of then is there."""
    server = plain_server(major, settings=KEEP)
    execute(server, "CREATE TABLE t AS SELECT g AS n, md5(g::text) AS t FROM generate_series(1, 5000) g")
    here = install(tmp_path / "pitstop", server, {"wal_durable_within": '"1s"'})
    with here.receiving():
        made = BackupId(here.run(Job.BASE_BACKUP)["id"])
        execute(server, "INSERT INTO t SELECT g, md5(g::text) FROM generate_series(5001, 7000) g")
        wanted = execute(server, ROWS)
        switch(server)
        switch(server)
        wait_durable(here, flushed(server))
    home = server_home / "by-hand"
    home.mkdir()
    shutil.copy(SCRIPT, home)
    named = {
        "KEY": here.home / "key",
        "REPOSITORY": here.home / "repository",
        "CLUSTER": f"{CLUSTER}/{here.repository().system_id}",
        "BACKUP": made,
        "OUT": home / "out",
        "DATA": home / "data",
    }
    head, _, rest = commands().partition("\n")
    assert re.findall(r"([A-Z]+)=", head) == list(named)
    script = " ".join(f"{name}={value}" for name, value in named.items()) + "\nset -eu\n" + rest
    python = bare_python(tmp_path / "bare")
    tools = server.binaries.bin_dir
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False, cwd=home, timeout=240,
        env={"PATH": f"{python.parent}:{tools}:/usr/bin:/bin", "LC_ALL": "C"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    if server.binaries.has("pg_verifybackup"):
        assert "backup successfully verified" in done.stdout
    own(server, home)
    with started(server, home / "data") as restored:
        # A server answers before it has left recovery, and before it has replayed all.
        wait_for(lambda: execute(restored, "SELECT pg_is_in_recovery()") == [(False,)], what="the end of recovery")
        assert execute(restored, ROWS) == wanted
        assert not (home / "data" / "recovery.signal").exists(), "it went through archive recovery"
