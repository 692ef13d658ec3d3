"""The runbook: what it says is followed to the letter on a real backup, by a shell that knows nothing of Pitstop."""

from __future__ import annotations

import os
import re
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from bot.ledger import runbooks, wal_status
from bot.model.runs import Job
from bot.model.wal import Lsn
from bot.postgres.plain import PlainServer
from jobs.context import utc_now
from jobs.runbook import keep_runbook
from tests.bare_python import bare_python
from tests.jobs import CLUSTER, Installation, install, wait_for
from tests.servers import PlainServerFactory, execute

pytestmark = pytest.mark.pg

_BLOCK = re.compile(r"```bash\n(.*?)```", re.DOTALL)
_CONTACTS = '{ "on call" = "+1 555 0100", "DBA" = "dba@example.org" }'


def by_hand(text: str) -> list[str]:
    """Return the commands of the part "Without the bot", block by block."""
    return _BLOCK.findall(text.partition("## Without the bot")[2])


def follow(home: Path, blocks: list[str]) -> str:
    """Run the blocks one after the other in one shell, as the page says, and return what they print."""
    script = home / "followed.sh"
    script.write_text("\n".join(blocks), "utf-8")
    path = f"{bare_python(home / 'bare').parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    done = subprocess.run(
        ["bash", str(script)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": path, "LC_ALL": "C"},
        timeout=240,
    )
    if done.returncode != 0:  # leave no server behind
        subprocess.run(["bash", "-c", "\n".join([blocks[0], blocks[-1]])], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def durable(here: Installation, server: PlainServer) -> None:
    """Wait until all that the server has written so far is in the repository, in pieces too."""
    [[written]] = execute(server, "SELECT pg_current_wal_lsn()::text")

    def there() -> bool:
        with here.ledger.read() as tx:
            return any(status.durable_lsn >= Lsn.parse(str(written)) for status in wal_status.list(tx, CLUSTER))

    wait_for(there, 90, f"WAL durable to {written}")


def prepare(plain_server: PlainServerFactory, home: Path, restores: Path) -> tuple[PlainServer, Installation]:
    """Start a server with a shop in it and a table in a tablespace, and an installation that backs it up."""
    server = plain_server(15)
    space = server.data_directory.parent / "space"
    space.mkdir(mode=0o700)
    if not server.account.is_current:
        os.chown(space, server.account.uid, server.account.gid)
    execute(server, "CREATE DATABASE shop")
    execute(server, f"CREATE TABLESPACE other LOCATION '{space}'")
    execute(server, 'CREATE TABLE "Orders" AS SELECT g AS "Id" FROM generate_series(1, 1000) g', dbname="shop")
    execute(server, "CREATE TABLE far TABLESPACE other AS SELECT 7 AS n", dbname="shop")
    extra = {"databases": '["shop"]', "contacts": _CONTACTS}
    return server, install(home, server, extra, top=f'[restore]\ndirectory = "{restores}"')


def test_a_restore_without_the_bot_follows_the_page(
    plain_server: PlainServerFactory, server_home: Path, tmp_path: Path
) -> None:
    """Base backup with a tablespace, segments, pieces of the unfinished one, recovery, and the dump: the last rows are there."""
    restores = server_home / "by hand"
    server, here = prepare(plain_server, tmp_path, restores)
    with here.receiving():
        here.run(Job.BASE_BACKUP)
        execute(server, "SELECT pg_switch_wal()")
        execute(server, 'INSERT INTO "Orders" SELECT generate_series(1001, 1234)', dbname="shop")
        here.run(Job.DUMP)
        execute(server, 'INSERT INTO "Orders" SELECT generate_series(1235, 1300)', dbname="shop")
        durable(here, server)
    [page] = sorted((tmp_path / "repository" / CLUSTER / "runbook").glob("*.md"))[-1:]
    blocks = by_hand(page.read_text("utf-8"))
    asked = [
        """look -XAtqd shop -c 'SELECT count(*) FROM "Orders"' -c 'SELECT n FROM far'""",
        """look -XAtqd by_hand -c 'SELECT count(*) FROM "Orders"'""",
        "echo done",
    ]
    said = follow(tmp_path, [*blocks[:-1], *asked, blocks[-1]])
    assert "\n1300\n7\n1234\ndone\n" in said
    assert not list(restores.glob("*"))
    assert execute(server, 'SELECT count(*) FROM "Orders"', dbname="shop") == [(1300,)]


def test_a_runbook_is_written_anew_only_when_it_says_something_else(
    plain_server: PlainServerFactory, server_home: Path, tmp_path: Path
) -> None:
    """One object per change, also within a second, equal to the ledger's copy; names, paths and contacts, and no secret."""
    server, here = prepare(plain_server, tmp_path, server_home / "restores")
    folder = tmp_path / "repository" / CLUSTER / "runbook"
    here.run(Job.BASE_BACKUP)
    assert len(list(folder.glob("*.md"))) == 1
    now = utc_now() + timedelta(minutes=10)
    text = keep_runbook(here.config, here.ledger, CLUSTER, now)
    assert len(list(folder.glob("*.md"))) == 1
    [script] = folder.glob("decrypt-*.py")
    sound = script.read_bytes()
    script.write_bytes(sound.replace(b"return", b"retur\x6f", 1))
    assert keep_runbook(here.config, here.ledger, CLUSTER, now) == text
    assert script.read_bytes() == sound, "a script that was changed is put back"
    changed = install(tmp_path, server.dsn() + " password=hunter2", {"contacts": '{ "DBA" = "dba@example.org" }'})
    other = keep_runbook(changed.config, changed.ledger, CLUSTER, now)
    assert [page.read_text("utf-8") for page in sorted(folder.glob("*.md"))] == [text, other]
    with here.ledger.read() as tx:
        kept = runbooks.find(tx, CLUSTER)
    assert kept is not None
    assert kept.body == other
    again = install(tmp_path, server.dsn(), {"contacts": '{ "DBA" = "new@example.org" }'})
    newest = keep_runbook(again.config, again.ledger, CLUSTER, now)
    pages = [page.read_text("utf-8") for page in sorted(folder.glob("*.md"))]
    assert pages == [text, other, newest], "a page of the same second stands behind the one before it"
    assert "dba@example.org" in other
    assert "hunter2" not in other
    assert (tmp_path / "key").read_text("utf-8").split()[-1] not in other
