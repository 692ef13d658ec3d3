"""pgBackRest as its users run it, on the same cluster: zstd level 3, aes-256-cbc, two processes, small files bundled.

Installed from Debian by `ensure_installed`. It is spared the wait for WAL (`archive-check=n`), which Pitstop's side includes.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bot.host.accounts import Account
from tests.benchmarks.ground import Cluster, start_alike, stored_bytes
from tests.benchmarks.installing import ensure_programs
from tests.benchmarks.measuring import Cost, measured

STANZA = "bench"
POLITE = ["nice", "-n", "10", "ionice", "-c", "2", "-n", "7"]
"""Pitstop's jobs step back behind the database; so do the peers here."""
_CONFIG = """\
[global]
repo1-path={home}/repository
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=a-pass-phrase-only-for-measuring
repo1-bundle=y
repo1-retention-full=9
compress-type=zst
compress-level=3
process-max=2
start-fast=y
archive-check=n
archive-mode-check=n
log-level-console=warn
log-path={home}/log
lock-path={home}/lock
spool-path={home}/spool
[bench]
pg1-path={data}
pg1-socket-path={socket}
pg1-user=postgres
"""


def ensure_installed() -> str:
    """Install pgBackRest from Debian where it is missing, and return its name with its version; nothing is started.

    Raises:
        Missing: it cannot be installed here.
    """
    ensure_programs({"pgbackrest": "pgbackrest"})
    said = subprocess.run(["pgbackrest", "version"], capture_output=True, text=True, check=True)
    return said.stdout.strip()


@dataclass(frozen=True, slots=True)
class PgBackRest:
    """One stanza for one cluster, in a folder of its own. `name` is with its version."""

    name: str
    cluster: Cluster
    account: Account

    @property
    def home(self) -> Path:
        """Where its configuration, repository and logs are."""
        return self.cluster.home / "pgbackrest"

    def set_up(self, *, encrypted: bool = True) -> None:
        """Write the configuration and start with an empty repository."""
        start_alike(self.home)
        for name in ("", "log", "lock", "spool", "repository"):
            folder = self.home / name
            folder.mkdir(mode=0o755)
            if not self.account.is_current:
                os.chown(folder, self.account.uid, self.account.gid)
        server = self.cluster.server
        text = _CONFIG.format(home=self.home, data=server.data_directory, socket=server.socket_dir)
        lines = [line for line in text.splitlines(keepends=True) if encrypted or "cipher" not in line]
        (self.home / "pgbackrest.conf").write_text("".join(lines), "utf-8")
        self.measure("stanza-create", "--no-online")

    def back_up(self) -> Cost:
        """Take a full backup into an empty repository."""
        self.set_up()
        os.sync()
        return self.take()

    def take(self) -> Cost:
        """Take a full backup more."""
        return self.measure("backup", "--type=full")

    @property
    def stored(self) -> int:
        """The bytes of its one backup."""
        return stored_bytes(self.home / "repository" / "backup")

    def restore(self, folder: Path) -> Cost:
        """Restore its backup into an empty folder; every file is fsynced."""
        folder.mkdir(mode=0o700)
        if not self.account.is_current:
            os.chown(folder, self.account.uid, self.account.gid)
        return self.measure("restore", f"--pg1-path={folder}", "--type=none")

    def verify(self) -> Cost:
        """Read its repository and check it."""
        return self.measure("verify")

    def argv(self, command: str, *options: str) -> list[str]:
        """Return the command line of one of its commands."""
        return ["pgbackrest", f"--config={self.home}/pgbackrest.conf", f"--stanza={STANZA}", *options, command]

    def measure(self, command: str, *options: str) -> Cost:
        """Run one of its commands."""
        return measured(
            [*POLITE, *self.argv(command, *options)],
            log=self.cluster.log,
            server=self.cluster.server.identity.pid,
            account=self.account,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": "/"},
        )
