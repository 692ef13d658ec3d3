"""Barman as its users run it, on the same cluster: its `postgres` method with pg_basebackup's zstd level 3, encrypted with gpg.

Barman comes from PyPI into an environment in the benchmark's folder, the programs it calls from Debian. It copies over one
connection, compresses in pg_basebackup, and encrypts each file when the copy is done. Its backups need a running WAL
receiver, which is not counted.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.ground import MAJOR, Cluster, Ground, start_alike, stored_bytes
from tests.benchmarks.installing import Missing, ensure_programs, environment_with
from tests.benchmarks.measuring import CommandFailed, Cost, Running, measured
from tests.benchmarks.pgbackrest import POLITE
from tests.jobs import wait_for
from tests.servers import execute

SERVER = "bench"
SLOT = "barman"
_PHRASE = "a-pass-phrase-only-for-measuring"
_KEY = "bench@example.invalid"
_PROGRAMS = {
    "pg_basebackup": f"postgresql-client-{MAJOR}",
    "pg_receivewal": f"postgresql-client-{MAJOR}",
    "gpg": "gnupg",
    "file": "file",
    "rsync": "rsync",
}
_CONFIG = """\
[barman]
barman_user = {user}
barman_home = {home}/repository
configuration_files_directory = {home}/conf.d
log_file = {home}/barman.log
[{server}]
description = measuring
conninfo = {dsn}
streaming_conninfo = {dsn}
backup_method = postgres
streaming_archiver = on
slot_name = {slot}
path_prefix = {programs}
backup_compression = zstd
backup_compression_level = 3
backup_compression_location = client
backup_compression_format = tar
immediate_checkpoint = true
compression = zstd
compression_level = 3
encryption = gpg
encryption_key_id = {key}
encryption_passphrase_command = echo {phrase}
staging_path = {home}/staging
staging_location = local
"""


def ensure_installed(ground: Ground) -> Path:
    """Install Barman once for a ground and return the folder of its programs.

    Raises:
        Missing: it, or a program that it calls, cannot be installed here.
    """
    folder = ground.root / "barman-programs"
    if not (folder / "bin/barman").exists():
        ensure_programs(_PROGRAMS)
        # Its driver is taken built: from source it wants a compiler and libpq's headers.
        environment_with(folder, ["--no-deps", "barman"], ["psycopg2-binary", "python-dateutil", "zstandard"])
    return folder / "bin"


def version(programs: Path) -> str:
    """Return what Barman calls its version."""
    said = subprocess.run([programs / "barman", "--version"], capture_output=True, text=True, check=True)
    return said.stdout.split()[0]


@dataclass(frozen=True, slots=True)
class Barman:
    """One server of Barman's for one cluster, in a folder of its own. `name` is with its version."""

    name: str
    cluster: Cluster
    programs: Path

    @property
    def home(self) -> Path:
        """Where its configuration, repository and logs are."""
        return self.cluster.home / "barman"

    @property
    def repository(self) -> Path:
        """What it keeps of the server."""
        return self.home / "repository" / SERVER

    def set_up(self) -> None:
        """Write the configuration, make a key, and start with an empty repository.

        Raises:
            Missing: the key cannot be made.
        """
        start_alike(self.home)
        for name in ("", "conf.d", "repository", "staging"):
            (self.home / name).mkdir(mode=0o755)
        (self.home / "gnupg").mkdir(mode=0o700)
        text = _CONFIG.format(
            home=self.home, user=_our_name(), server=SERVER, slot=SLOT, key=_KEY, phrase=_PHRASE,
            dsn=self.cluster.server.dsn(), programs=self.cluster.server.binaries.bin_dir,
        )  # fmt: skip
        (self.home / "barman.conf").write_text(text, "utf-8")
        argv = ["gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", _PHRASE,
                "--quick-gen-key", _KEY, "default", "default", "never"]  # fmt: skip
        done = subprocess.run(argv, env=self.environment(), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Missing(f"gpg made no key: {done.stderr.strip()[-300:]}")

    def create_slot(self) -> None:
        """Make the slot its receiver streams from."""
        self.command("receive-wal", "--create-slot")

    def drop_slot(self) -> None:
        """Remove the slot, so that the server keeps no WAL for it."""
        self.command("receive-wal", "--drop-slot")

    @contextmanager
    def receiving(self) -> Iterator[Running]:
        """Run its WAL receiver while the block lasts: `receive-wal`, which runs pg_receivewal."""
        with Running(self.argv("receive-wal"), log=self.cluster.log, env=self.environment()) as running:
            yield running

    def ready(self) -> None:
        """Give it the first whole segment, without which it takes no backup."""
        # A segment that ends before the receiver streams is not for it, and would be waited for in vain.
        wait_for(self._streams, what="Barman's receiver on its slot")
        self.command("switch-wal", "--force", "--archive", "--archive-timeout", "60")
        self.command("check")

    def back_up(self) -> Cost:
        """Take a full backup into an empty repository."""
        self._forget()
        os.sync()
        return self._measure("backup")

    @property
    def stored(self) -> int:
        """The bytes of its one backup."""
        return stored_bytes(self.repository / "base")

    def restore(self, folder: Path) -> Cost:
        """Restore its backup into a folder; it leaves the files to the page cache, so they are written to disk here."""
        return self._measure("restore", "latest", str(folder), then=f"sync -f {folder}")

    def argv(self, command: str, *options: str) -> list[str]:
        """Return the command line of one of its commands."""
        return [str(self.programs / "barman"), "-q", "-c", str(self.home / "barman.conf"), command, SERVER, *options]

    def environment(self) -> dict[str, str]:
        """Return the environment its commands get: gpg's folder of our own, and its own programs."""
        return {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "LC_ALL": "C.UTF-8",
            "HOME": str(self.home),
            "GNUPGHOME": str(self.home / "gnupg"),
        }

    def command(self, command: str, *options: str) -> None:
        """Run a command that is not measured.

        Raises:
            CommandFailed: it did not succeed.
        """
        argv = self.argv(command, *options)
        done = subprocess.run(argv, env=self.environment(), cwd="/", capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CommandFailed(f"barman {command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")

    def _streams(self) -> bool:
        active = f"SELECT active FROM pg_replication_slots WHERE slot_name = '{SLOT}'"
        return execute(self.cluster.server, active) == [(True,)]

    def _forget(self) -> None:
        for backup in (self.repository / "base").glob("2*"):
            self.command("delete", backup.name)

    def _measure(self, command: str, *options: str, then: str = "true") -> Cost:
        argv = [*POLITE, "sh", "-c", f'"$@" && {then}', "sh", *self.argv(command, *options)]
        return measured(argv, log=self.cluster.log, server=self.cluster.server.identity.pid, env=self.environment())


def _our_name() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name
