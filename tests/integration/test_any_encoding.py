"""Names and rows of every encoding PostgreSQL has: a cluster with Latin letters, one of bytes without any, a database named so."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bot.host.accounts import Account
from bot.postgres.isolated import remove_directory
from bot.postgres.plain import PlainServer
from tests.commands import Said, pitstop
from tests.jobs import Installation, install
from tests.places import for_servers
from tests.servers import FAST, binaries_or_skip, execute

pytestmark = pytest.mark.pg

LATIN = "LATIN1"
NONE = "SQL_ASCII"
LIKE = "TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"


@pytest.fixture(params=["UTF8", NONE])
def there(
    request: pytest.FixtureRequest, cluster_template: Callable[..., Path], server_user: Account
) -> Iterator[Installation]:
    """A cluster whose own databases are in one encoding, with a database of each other kind; and a Pitstop that knows it."""
    home, binaries = Path(tempfile.mkdtemp(prefix="ps-", dir=for_servers())), binaries_or_skip(15)
    try:
        home.chmod(0o755)
        options = (f"--encoding={request.param}", "--locale=C")
        subprocess.run(["cp", "-a", cluster_template(binaries, options), home / "data"], check=True)
        (home / "socket").mkdir()
        os.chown(home / "socket", server_user.uid, server_user.gid)
        with PlainServer.start(
            binaries, home / "data", server_user, socket_dir=home / "socket", settings=FAST, log=home / "log"
        ) as server:
            fill(server)
            yield install(home / "pitstop", server, top=f'[restore]\ndirectory = "{home}/restores"')
    finally:
        for copy in (home / "restores").glob("*"):
            remove_directory(copy)
        shutil.rmtree(home)


def fill(server: PlainServer) -> None:
    """Make a database in Latin letters, one without an encoding, and, from there, one whose name is no UTF-8."""
    for name in (LATIN, NONE):
        execute(server, f"CREATE DATABASE \"{name}\" ENCODING '{name}' {LIKE}")
    with psycopg.connect(server.dsn(LATIN), client_encoding="UTF8", autocommit=True) as latin:
        latin.execute('CREATE TABLE "café" AS SELECT $$crème$$::text t FROM generate_series(1, 3)')
    with psycopg.connect(server.dsn(NONE), autocommit=True) as none:
        none.execute(b'CREATE SCHEMA "sch\xe9ma"')
        none.execute(b'CREATE TABLE "sch\xe9ma"."b\xff\xfe" AS SELECT $$\xff$$::text t FROM generate_series(1, 5)')
        none.execute(b"COMMENT ON DATABASE \"SQL_ASCII\" IS 'caf\xe9'")
        none.execute(f"CREATE DATABASE \"d\xe9\" ENCODING '{NONE}' {LIKE}".encode("latin-1"))


def counted(answer: Any) -> dict[str, list[tuple[str, str, int | None]]]:
    """Return what was counted in the databases with rows: by database the schema, the table and how many."""
    found: dict[str, list[tuple[str, str, int | None]]] = {}
    for table in answer["tables"]:
        found.setdefault(table["database"], []).append((table["schema"], table["table"], table["rows"]))
    return found


def test_a_cluster_of_any_encoding_is_backed_up_and_brought_back(there: Installation) -> None:
    """Base backup, recovery with every row counted, `check` and `status`: bytes that are no letters are shown as escapes."""

    def said(*words: str) -> Said:
        return pitstop(*words, "--json", config=there.config_path)

    assert said("keys", "init").code == 0
    made = said("backup", "base", "slips")
    assert made.code == 0, made.out
    recovered = said("pitr", "slips", "--to", "latest", "--reason", "all of it")
    assert recovered.code == 0, recovered.out
    tables = counted(recovered.json)
    assert tables[LATIN] == [("public", "café", 3)]
    assert tables[NONE] == [(r"sch\xe9ma", r"b\xff\xfe", 5)]
    [(_, _, rows)] = tables[r"d\xe9"]
    assert rows is None, "libpq's callers have no way to name it"
    shown = pitstop("request", "show", recovered.json["request"], config=there.config_path)
    assert r"b\xff\xfe 5" in shown.out
    with psycopg.connect(recovered.json["dsn"], dbname=NONE) as copy:
        assert copy.execute(b'SELECT DISTINCT t FROM "sch\xe9ma"."b\xff\xfe"').fetchone() == (b"\xff",)
    checked = said("check")
    sentences = [point["sentence"] for point in checked.json["points"] if point["level"] == "fail"]
    assert all("letters in its name that are no UTF-8" in sentence for sentence in sentences), sentences
    assert said("status").code == 0
    assert said("server", "remove", recovered.json["request"]).code == 0


def test_a_dump_of_any_encoding(there: Installation) -> None:
    """Each database that can be named is dumped and counted; the one that cannot is refused in a sentence, with what to do."""
    assert pitstop("keys", "init", config=there.config_path).code == 0
    words = ("backup", "dump", "slips", "--json")
    refused = pitstop(*words, config=there.config_path)
    assert refused.code == 2, refused.out
    assert refused.json["error"]["code"] == "database-name"
    assert "RENAME TO" in refused.json["error"]["hint"]
    made = pitstop(*words, "--database", LATIN, "--database", NONE, config=there.config_path)
    assert made.code == 0, made.out
    assert [(one["name"], one["rows"]) for one in made.json["databases"]] == [(LATIN, 3), (NONE, 5)]
