"""Ordinary PostgreSQL servers: the demo's live one and the tests'. Never a restored copy, which only `isolated.py` starts."""

from __future__ import annotations

import os
import signal as signals
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from psycopg.conninfo import make_conninfo

from bot.errors import Failed
from bot.host import processes
from bot.host.accounts import Account
from bot.host.processes import ProcessIdentity
from bot.postgres.binaries import Binaries
from bot.postgres.readable import runnable_by

_SETTINGS_FILE = "pitstop.conf"
_MODES = {"smart": signals.SIGTERM, "fast": signals.SIGINT, "immediate": signals.SIGQUIT}
_READY = {"ready", "standby"}


def initdb(binaries: Binaries, data_directory: Path, account: Account, *, options: Sequence[str] = ()) -> None:
    """Create a new cluster in `data_directory` (made if missing), owned by `account`, superuser `postgres`.

    Local connections are trusted: keep the socket in a private folder. Slow: about a second.

    Raises:
        Failed: initdb refused; the message carries its last line.
    """
    programs = runnable_by(binaries, account)
    data_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not account.is_current:
        os.chown(data_directory, account.uid, account.gid)
    argv = [
        str(programs.tool("initdb")), "-D", str(data_directory), "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8",
        "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync", "--no-instructions", *options,
    ]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **_as(account))  # type: ignore[call-overload]
    if done.returncode != 0:
        raise Failed(f"initdb failed: {_last_line(done.stderr or done.stdout)}", code="initdb")


@dataclass(frozen=True, slots=True)
class PlainServer:
    """A running server, reached over the Unix socket in `socket_dir`."""

    binaries: Binaries
    data_directory: Path
    account: Account
    socket_dir: Path
    port: int
    log: Path
    identity: ProcessIdentity

    @classmethod
    def start(
        cls,
        binaries: Binaries,
        data_directory: Path,
        account: Account,
        *,
        socket_dir: Path,
        port: int = 5432,
        settings: Mapping[str, str] | None = None,
        log: Path,
        timeout_s: float = 60,
    ) -> PlainServer:
        """Start the server with `settings` in an included file, and wait until it accepts connections.

        It listens on a Unix socket alone unless `settings` has `listen_addresses`. `ALTER SYSTEM` overrides `settings`.

        Raises:
            Failed: it ended, or was not ready within `timeout_s`; the message carries the log's last complaint.
        """
        programs = runnable_by(binaries, account)
        wanted = {"listen_addresses": "", "unix_socket_directories": str(socket_dir), "port": str(port)}
        _write_settings(data_directory, account, {**wanted, **(settings or {})})
        argv = [str(programs.tool("postgres")), "-D", str(data_directory)]
        identity = processes.spawn(argv, log=log, env=server_environment(), user=account)
        server = cls(binaries, data_directory, account, socket_dir, port, log, identity)
        try:
            wait_for_postmaster(data_directory, identity, log, ready=_READY, timeout_s=timeout_s)
        except BaseException:  # also Ctrl-C: nobody else knows of this process yet
            processes.signal(identity, _MODES["immediate"])
            processes.wait_gone(identity, 10)
            raise
        return server

    def dsn(self, dbname: str = "postgres", user: str = "postgres") -> str:
        """Return the libpq string that reaches `dbname` over the socket."""
        return make_conninfo(host=str(self.socket_dir), port=self.port, user=user, dbname=dbname)

    @property
    def running(self) -> bool:
        """Whether the postmaster lives."""
        return processes.alive(self.identity)

    def stop(self, mode: str = "fast", timeout_s: float = 60) -> None:
        """Stop the server (`smart`, `fast` or `immediate`) and wait for its end; one that ended already is fine.

        Raises:
            Failed: it still runs after `timeout_s`.
        """
        processes.signal(self.identity, _MODES[mode])
        if not processes.wait_gone(self.identity, timeout_s):
            raise Failed(f"The PostgreSQL server in {self.data_directory} did not stop.", code="stop-timeout")

    def __enter__(self) -> PlainServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop("fast")


def server_environment() -> dict[str, str]:
    """Return the environment servers get: nothing of ours, above all no PG* variables."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/"}


def wait_for_postmaster(
    data_directory: Path, identity: ProcessIdentity, log: Path, *, ready: set[str], timeout_s: float
) -> None:
    """Wait until the postmaster's own status in postmaster.pid is one of `ready` (`starting`, `standby`, `ready`).

    Raises:
        Failed: the process ended first, or `timeout_s` passed.
    """
    deadline = time.monotonic() + timeout_s
    while postmaster_status(data_directory, identity) not in ready:
        if not processes.alive(identity):
            raise Failed(
                f"The PostgreSQL server in {data_directory} did not start: {last_complaint(log)}", code="start-failed"
            )
        if time.monotonic() > deadline:
            raise Failed(
                f"The PostgreSQL server in {data_directory} is not ready after {timeout_s:.0f} s.",
                hint=f"What does its log say? {log}",
                code="start-timeout",
            )
        time.sleep(0.02)


def postmaster_status(data_directory: Path, identity: ProcessIdentity | None) -> str:
    """Return what the postmaster says of itself: `starting`, `standby`, `ready`, `stopping`, or "" when it says nothing."""
    try:
        lines = (data_directory / "postmaster.pid").read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    ours = identity is not None and len(lines) > 7 and lines[0].strip() == str(identity.pid)
    return lines[7].strip() if ours else ""


def last_complaint(log: Path) -> str:
    """Return the last FATAL, PANIC or ERROR line of a server's log, or its last line, or a sentence saying it is empty."""
    try:
        lines = log.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return "there is no log."
    bad = [line for line in lines if any(mark in line for mark in ("FATAL:", "PANIC:", "ERROR:", "could not"))]
    return (bad or lines or ["the log is empty."])[-1].strip()


def _write_settings(data_directory: Path, account: Account, settings: Mapping[str, str]) -> None:
    text = "".join(f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items())
    included = data_directory / _SETTINGS_FILE
    included.write_text(text, "utf-8")
    if not account.is_current:
        os.chown(included, account.uid, account.gid)
    main = data_directory / "postgresql.conf"
    line = f"include_if_exists = '{_SETTINGS_FILE}'\n"
    if line not in main.read_text("utf-8"):
        with main.open("a", encoding="utf-8") as file:
            file.write(f"\n{line}")


def _as(account: Account) -> dict[str, object]:
    common: dict[str, object] = {"cwd": "/", "env": server_environment()}
    if account.is_current:
        return common
    return {**common, "user": account.uid, "group": account.gid, "extra_groups": list(account.groups)}


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing."
