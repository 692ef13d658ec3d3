"""A whole recovery as root from a folder only root can read, as an ordinary user, and where namespaces are forbidden."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bot.postgres.isolated import remove_directory
from tests.confined import Circumstances
from tests.jobs import Installation, install, wait_for
from tests.servers import PlainServerFactory, execute

pytestmark = [pytest.mark.pg, pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo ./dev test")]

NOBODY = 65534
CASES = {
    "root-only folder": (0o700, 0, True),
    "root-only folder, no namespaces": (0o700, 0, False),
    "ordinary user": (0o755, NOBODY, True),
    "ordinary user, no namespaces": (0o755, NOBODY, False),
}


@pytest.fixture
def homes(server_home: Path) -> Iterator[list[Path]]:
    """Folders for environments, whose mode matters; removed afterwards, as are the copies that a failed test left running."""
    made: list[Path] = []
    yield made
    for copy in (server_home / "pitstop" / "restores").glob("*"):
        remove_directory(copy)
    for home in made:
        shutil.rmtree(home)


def circumstances(homes: list[Path], case: str) -> Circumstances:
    """Make one of the cases, with a private cache for what is copied."""
    mode, uid, namespaces = CASES[case]
    home = Path(tempfile.mkdtemp(prefix="ps-", dir="/tmp"))
    homes.append(home)
    home.chmod(mode)
    return Circumstances(home, uid=uid, namespaces=namespaces, memory={"/var/cache": 400 << 20})


def owned(here: Installation, uid: int) -> Installation:
    """Give an installation, and where it restores to, to the user who runs it."""
    with here.config_path.open("a") as file:
        file.write(f'[restore]\ndirectory = "{here.home}/restores"\n')
    for place in (here.home, *here.home.rglob("*")):
        os.chown(place, uid, uid)
    return here


@pytest.mark.parametrize(
    "case",
    [
        pytest.param("root-only folder", marks=pytest.mark.full),
        "root-only folder, no namespaces",
        pytest.param("ordinary user", marks=pytest.mark.full),
        pytest.param("ordinary user, no namespaces", marks=pytest.mark.full),
    ],
)
def test_a_recovery(plain_server: PlainServerFactory, server_home: Path, homes: list[Path], case: str) -> None:
    """Backup, recovery, a look with the dsn that was answered, and removal: whoever runs it, wherever it is installed."""
    there = circumstances(homes, case)
    server = plain_server(16)
    server.socket_dir.chmod(0o755)
    execute(server, "CREATE TABLE kept AS SELECT generate_series(1, 100) n")
    here = owned(install(server_home / "pitstop", server), there.uid)

    def pitstop(*words: str) -> Any:
        done = there.run("--config", str(here.config_path), *words, "--json")
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)

    pitstop("keys", "init")
    pitstop("backup", "base", "slips")
    copy = pitstop("pitr", "slips", "--to", "latest", "--reason", "to see that it works here")
    try:
        data = Path(copy["directory"], "data")
        assert data.stat().st_uid != 0
        assert there.namespaces or data.stat().st_uid != server.account.uid, "it could reach production's files"
        assert rows(copy["dsn"], there.uid) == "100"
        [listed] = pitstop("server", "list")["servers"]
        assert listed["dsn"] == copy["dsn"]
    finally:
        pitstop("server", "remove", copy["request"])
    assert not Path(copy["directory"]).exists()
    assert execute(server, "SELECT count(*) FROM kept") == [(100,)]


@pytest.mark.parametrize(
    "case",
    [pytest.param("root-only folder, no namespaces", marks=pytest.mark.full), "ordinary user, no namespaces"],
)
def test_a_tablespace_in_the_wal_is_refused_without_namespaces(
    plain_server: PlainServerFactory, server_home: Path, server_user: Any, homes: list[Path], case: str
) -> None:
    """Where nothing can keep a copy from production's folder, WAL that creates a tablespace there is refused, with the reason."""
    there = circumstances(homes, case)
    server = plain_server(16)
    server.socket_dir.chmod(0o755)
    place = server_home / "tablespace"
    place.mkdir(mode=0o700)
    os.chown(place, server_user.uid, server_user.gid)
    here = owned(install(server_home / "pitstop", server), there.uid)

    def pitstop(*words: str) -> subprocess.CompletedProcess[str]:
        return there.run("--config", str(here.config_path), *words, "--json")

    assert pitstop("keys", "init").returncode == 0
    with receiving(there, here):
        assert pitstop("backup", "base", "slips").returncode == 0
        execute(server, f"CREATE TABLESPACE young LOCATION '{place}'")
        execute(server, "CREATE TABLE inside TABLESPACE young AS SELECT 1 n")
        refused = pitstop("pitr", "slips", "--to", "latest", "--reason", "to see it refused")
    assert refused.returncode == 3, refused.stderr
    error = json.loads(refused.stdout)["error"]
    assert error["code"] == "tablespace-in-range"
    assert str(place) in error["message"]
    assert error["hint"]
    assert not list((here.home / "restores").glob("*"))


def test_folders_of_somebody_else(server_home: Path, homes: list[Path]) -> None:
    """A repository, a ledger and a configuration the user may not use: each a sentence with a hint, never a traceback."""
    there = circumstances(homes, "ordinary user")
    hidden = server_home / "hidden"
    hidden.mkdir(mode=0o700)
    os.chown(hidden, 0, 0)
    extra = {"data_directory": f'"{hidden}/data"'}
    here = install(server_home / "pitstop", "host=/nowhere", extra)
    text = here.config_path.read_text()
    here.config_path.write_text(text.replace(f'spool = "{here.home}/spool"', f'spool = "{hidden}/spool"'))
    owned(here, there.uid)

    def pitstop(*words: str) -> tuple[int, Any]:
        done = there.run("--config", str(here.config_path), *words, "--json")
        assert "Traceback" not in done.stderr
        return done.returncode, json.loads(done.stdout)

    assert pitstop("keys", "init")[0] == 0
    for place in (here.home / "repository").rglob("*"):
        os.chown(place, 0, 0)
        place.chmod(0o755 if place.is_dir() else 0o644)
    (here.home / "repository").chmod(0o755)
    os.chown(here.home / "repository", 0, 0)
    code, checked = pitstop("check")
    assert "points" in checked, checked
    [point] = [p for p in checked["points"] if p["about"] == "repository local" and p["level"] == "fail"]
    assert (code, point["code"]) == (1, "storage-forbidden")
    assert point["fix"]
    [spool] = [p for p in checked["points"] if p["code"] == "folder" and p["level"] == "fail"]
    assert spool["fix"] == f"install -d -o nobody -m 0700 {hidden}/spool"
    assert [p for p in checked["points"] if p["code"] == "shared-disk"], "a hidden folder's disk is known all the same"
    for path in here.home.glob("ledger.db*"):
        os.chown(path, 0, 0)
        path.chmod(0o600)
    code, answer = pitstop("status")
    assert code == 1
    assert answer["error"]["hint"]
    here.config_path.chmod(0o600)
    os.chown(here.config_path, 0, 0)
    code, answer = pitstop("status")
    assert (code, answer["error"]["code"]) == (2, "no-config")


def test_the_owner_of_production_without_namespaces(
    plain_server: PlainServerFactory, server_home: Path, server_user: Any, homes: list[Path]
) -> None:
    """Where nothing but the account could keep a copy from production's files, their own owner is refused at planning."""
    there = circumstances(homes, "ordinary user, no namespaces")
    there.uid = server_user.uid
    here = owned(install(server_home / "pitstop", plain_server(16)), there.uid)

    def pitstop(*words: str) -> subprocess.CompletedProcess[str]:
        return there.run("--config", str(here.config_path), *words, "--json")

    assert pitstop("keys", "init").returncode == 0
    assert pitstop("backup", "base", "slips").returncode == 0
    refused = pitstop("pitr", "slips", "--to", "latest", "--reason", "to see it refused")
    assert refused.returncode == 3, refused.stdout
    assert json.loads(refused.stdout)["error"]["code"] == "same-account"
    assert not list((here.home / "restores").glob("*"))


@contextmanager
def receiving(there: Circumstances, here: Installation) -> Iterator[None]:
    """Run the receiver while the block lasts."""
    argv = there.argv("--config", str(here.config_path), "wal", "stream", "slips")
    with (here.home / "receiver.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, cwd="/")
    try:
        wait_for(lambda: any(here.config.spool.rglob("*.partial")), what="the receiver")
        yield
    finally:
        process.terminate()
        process.wait(60)


def rows(dsn: str, uid: int) -> str:
    """Count the rows of `kept` as that user would."""
    if uid == 0:
        with psycopg.connect(dsn) as connection:
            return str(connection.execute("SELECT count(*) FROM kept").fetchone()[0])  # type: ignore[index]
    psql = shutil.which("psql") or pytest.skip("psql is missing: apt-get install postgresql-client")
    done = subprocess.run(
        [psql, "-XAt", dsn, "-c", "SELECT count(*) FROM kept"],
        capture_output=True, text=True, check=True, cwd="/", user=uid, group=uid, extra_groups=[],
    )  # fmt: skip
    return done.stdout.strip()
