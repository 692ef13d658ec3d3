"""Write a golden repository: `python -m tests.vectors.make_golden NAME`. Made once for each format, and never made again.

A repository as this version writes it: three generations of data keys under a key file and a passphrase, a base backup
(pinned), dumps (one marked as damaged), WAL over two timelines with the last segment in pieces; and what must come back out.
Needs PostgreSQL 15. Every later version has to restore what is there.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.config import load
from bot.host.accounts import server_account
from bot.ledger import Ledger
from bot.model.ids import BackupId
from bot.model.runs import Job
from bot.model.wal import Lsn
from bot.postgres.binaries import find
from bot.postgres.plain import PlainServer, initdb
from bot.repository.open import open_repository
from bot.repository.rotation import rotate
from tests.jobs import CLUSTER, Installation, wait_for
from tests.servers import FAST, execute

GOLDEN = Path(__file__).with_name("golden")
KEY = "# A test key: it opens the golden repository, which holds nothing secret, and must never be used for anything else.\n"
PASSPHRASE = "golden, and known to everybody\n"
ROWS = 'SELECT count(*), sum("Amount"), md5(string_agg("Note", \'\' ORDER BY "Id")) FROM "Transactions"'
SMALL = ("--wal-segsize=1", "--no-locale", "--encoding=UTF8", "--data-checksums")
FILE, PHRASE = "file:{home}/key", "passphrase:{home}/passphrase"


class Making:
    """The server, an installation beside it, and what has been found out so far."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.account = server_account()
        self.binaries = find(15)
        self.facts: dict[str, Any] = {"marks": [], "made_at": datetime.now(UTC).isoformat()}
        home.chmod(0o755)
        self.socket = home / "socket"
        self.socket.mkdir(mode=0o700)
        os.chown(self.socket, self.account.uid, self.account.gid)
        initdb(self.binaries, home / "data", self.account, options=SMALL)
        self.server = self._started()
        (home / "key").write_text(KEY + "9f" * 16 + "3a" * 16 + "\n")
        (home / "passphrase").write_text(PASSPHRASE)
        for name in ("key", "passphrase"):
            (home / name).chmod(0o600)

    def make(self) -> None:
        """Go through the story, generation by generation."""
        execute(self.server, "UPDATE pg_database SET datistemplate = false WHERE datname = 'template0'")
        execute(self.server, "DROP DATABASE template0")
        execute(
            self.server,
            'CREATE TABLE "Users" AS SELECT g AS "Id", \'user \' || g AS "Name" FROM generate_series(1, 50) g',
        )
        execute(
            self.server,
            'CREATE TABLE "Transactions" ("Id" bigint PRIMARY KEY, "Amount" numeric NOT NULL, "Note" text NOT NULL)',
        )
        self.add(1, 1000)
        here = self.installed(FILE)
        with here.receiving():
            base = BackupId(here.run(Job.BASE_BACKUP)["id"])
            here.repository().record_event(base, "pinned", at=datetime.now(UTC), text="golden")
            self.add(1001, 1200)
            self.mark(here, "first generation")
        here = self.rotated(FILE, PHRASE)
        with here.receiving():
            damaged = BackupId(here.run(Job.DUMP, part="schema-only")["id"])
            here.repository().record_event(damaged, "damaged", at=datetime.now(UTC), text="marked for this test")
            self.add(1201, 1300)
            dump = BackupId(here.run(Job.DUMP)["id"])
            self.mark(here, "second generation")
        self.promote()
        here = self.rotated(PHRASE, FILE)
        with here.receiving():
            self.add(1301, 1357)
            here.repository().record_event(dump, "verified", at=datetime.now(UTC))
            self.mark(here, "third generation")
        self.facts |= {"base": base, "dump": dump, "damaged": damaged, "system_id": here.repository().system_id}
        self.server.stop("fast")

    def add(self, first: int, last: int) -> None:
        """Commit rows."""
        execute(
            self.server,
            f'INSERT INTO "Transactions" SELECT g, g * 1.5, md5(g::text) FROM generate_series({first}, {last}) g',
        )

    def mark(self, here: Installation, name: str) -> None:
        """Note how far the WAL is now and what is in the table, and wait until the repository has it."""
        [(count, amount, digest)] = execute(self.server, ROWS)
        [(lsn, timeline)] = execute(
            self.server,
            "SELECT pg_current_wal_flush_lsn(), ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int",
        )
        end = Lsn.parse(str(lsn))
        rows = [int(str(count)), str(amount), str(digest)]
        self.facts["marks"].append({"name": name, "lsn": str(lsn), "timeline": timeline, "rows": rows})
        wait_for(lambda: any(p.end >= end for p in here.repository().wal.ranges()), 60, f"WAL up to {end}")

    def promote(self) -> None:
        """End an archive recovery that had nothing to do: the server goes on on timeline 2."""
        self.server.stop("fast")
        (self.home / "data/recovery.signal").touch()
        self.server = self._started(restore_command="false")
        wait_for(lambda: execute(self.server, "SELECT pg_is_in_recovery()") == [(False,)], 60, "the promotion")

    def rotated(self, *keys: str) -> Installation:
        """Make a new data key, wrapped by these keys, as do the old ones."""
        here = self.installed(*keys)
        done = rotate(
            here.repository_of_all(), rewrap_only=False, drop_unused=False, go_on_with=None, begin=lambda _: None
        )
        assert done.proof.holds, done.proof.problems
        return here

    def installed(self, *keys: str) -> Installation:
        """Write the configuration with these keys, and return the installation."""
        named = ", ".join(f'"{key.format(home=self.home)}"' for key in keys)
        path = self.home / "pitstop.toml"
        path.write_text(
            f'ledger = "{self.home}/ledger.db"\nspool = "{self.home}/spool"\n'
            f'[repositories.local]\nurl = "file://{self.home}/repository"\nlevel = 19\n[encryption]\nkeys = [{named}]\n'
            f'[clusters.{CLUSTER}]\ndsn = "{self.server.dsn()}"\nshared_disk = true\nwal_durable_within = "1s"\n'
        )
        config, _ = load(path)
        ledger = Ledger(config.ledger)
        ledger.create()
        return Installation(self.home, path, config, ledger)

    def keep(self, folder: Path) -> None:
        """Write the repository as one tar with its keys and facts into `folder`."""
        folder.mkdir(parents=True)
        settings = self.installed(FILE, PHRASE).config
        history = open_repository("local", settings.repositories["local"], settings.encryption).store
        self.facts["objects"] = {info.path: info.size for info in history.list("")}
        for name in ("key", "passphrase"):
            shutil.copy(self.home / name, folder / name)
        with tarfile.open(folder / "repository.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for path in self.facts["objects"]:
                data = (self.home / "repository" / path).read_bytes()
                member = tarfile.TarInfo(path)
                member.size, member.mode = len(data), 0o600
                tar.addfile(member, io.BytesIO(data))
        (folder / "facts.json").write_text(json.dumps(self.facts, indent=1) + "\n")

    def _started(self, **settings: str) -> PlainServer:
        return PlainServer.start(
            self.binaries, self.home / "data", self.account, socket_dir=self.socket,
            settings={**FAST, "max_slot_wal_keep_size": "-1", **settings}, log=self.home / "server.log",
        )  # fmt: skip


def main(name: str) -> None:
    """Make the golden repository called `name`; one that is there is never made again."""
    target = GOLDEN / name
    if target.exists():
        raise SystemExit(f"{target} is there: what was kept is for later versions to read, and is not made again")
    home = Path(tempfile.mkdtemp(prefix="ps-golden-", dir="/tmp"))
    making = Making(home)
    try:
        making.make()
        making.keep(target)
    finally:
        making.server.stop("immediate")
        shutil.rmtree(home)
    subprocess.run(["du", "-sh", str(target)], check=True)


if __name__ == "__main__":
    main(sys.argv[1])
