"""Servers that are not the live one. `IsolatedServer.start` is the one way any of them is started.

A restored copy knows production's paths, archive, publishers and schedules (`docs/architecture.md`, "Copies"). It runs in
a room of its own (`bot/host/enter.py`): its data, its tablespaces, its socket and the system's programs are all there is,
there is no network, and its configuration is generated. Paths of production that the WAL names are stood for by private
folders at the same place inside the room.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal as signals
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg

from bot.errors import Conflict, Failed, Unavailable
from bot.host import processes
from bot.host.accounts import Account
from bot.host.files import write_durable
from bot.host.namespaces import Room, enter_argv, is_system_path, isolation
from bot.host.processes import ProcessIdentity
from bot.postgres.binaries import Binaries
from bot.postgres.isolated_files import (
    check_fit,
    give_to,
    locale_exists,
    rehome_tablespaces,
    relink_stand_ins,
    set_aside,
)
from bot.postgres.isolated_folder import ServerFolder
from bot.postgres.isolated_settings import (
    RecoverySettings,
    base_settings,
    forced_settings,
    needed_libraries,
    recovery_settings,
    render_conf,
    render_hba,
    render_ident,
)
from bot.postgres.makers import end_makers
from bot.postgres.plain import server_environment, wait_for_postmaster
from bot.postgres.readable import runnable_by

_ORPHANS_END_S = 10
_ANY_STATUS = {"starting", "ready", "standby", "stopping"}
_SYSTEM_PYTHONS = ("/usr/bin/python3", "/usr/local/bin/python3", "/bin/python3")
_PROGRAMS = Path("/opt/pitstop-postgresql")


@dataclass(frozen=True, slots=True)
class Spec:
    """Everything a start needs, as the marker keeps it. `stand_ins` are production's paths that replay made tablespaces at."""

    directory: str
    bin_dir: str
    version_num: int
    account: dict[str, Any]
    superuser: str
    recorded: dict[str, str]
    raised: dict[str, int] = field(default_factory=dict)
    stand_ins: tuple[str, ...] = ()
    people: tuple[str, ...] = ()


def prepare(
    directory: Path | ServerFolder,
    *,
    facts: Mapping[str, Any],
    binaries: Binaries,
    account: Account,
    recovery: RecoverySettings | None,
    stand_ins: tuple[str, ...] = (),
) -> IsolatedServer:
    """Make the files restored into a claimed folder safe, and write the configuration; nothing is started. Idempotent.

    `facts` is the recorded server (`ServerFacts.as_json`). `stand_ins` are the locations of tablespaces that the WAL to be
    replayed creates, as far as known; others are added when replay meets them.

    Raises:
        Unavailable: this machine lacks the major, a locale or a library.
        Failed: files are missing.
    """
    folder = directory if isinstance(directory, ServerFolder) else ServerFolder.open(directory)
    recorded = {name: value for name, value in facts["settings"].items() if _usable(name, value)}
    check_fit(folder, binaries, facts.get("databases", ()), needed_libraries(recorded))
    set_aside(folder)
    rehome_tablespaces(folder)
    folder.room.mkdir(mode=0o755, exist_ok=True)
    folder.data.chmod(0o700)
    (folder.path / "tablespaces").mkdir(mode=0o755, exist_ok=True)
    spec = Spec(
        directory=str(folder.path),
        bin_dir=str(binaries.bin_dir),
        version_num=binaries.version_num,
        account=account.as_json(),
        superuser=facts["bootstrap_superuser"],
        recorded=recorded,
        stand_ins=stand_ins,
    )
    server = IsolatedServer(folder, spec, None, recovery)
    server._write_configuration()
    give_to(account, folder.data, *(folder.path / "tablespaces").iterdir())
    folder.update(spec=asdict(spec))
    return server


class IsolatedServer:
    """One server that is not the live one: a claimed folder, how it is started, and its process while it has one."""

    def __init__(
        self,
        folder: ServerFolder,
        spec: Spec,
        identity: ProcessIdentity | None,
        recovery: RecoverySettings | None = None,
    ) -> None:
        self.folder = folder
        self.spec = spec
        self.identity = identity
        self.recovery = recovery

    @classmethod
    def attach(cls, detail: Mapping[str, Any]) -> IsolatedServer:
        """Find the server that `detail()` described, running or not.

        Raises:
            Refused: its folder is gone or not ours.
        """
        folder = ServerFolder.open(Path(detail["directory"]))
        state = folder.state()
        known = state.get("spec")
        if known is None:
            raise Unavailable(f"{folder.path} was claimed, but no server was prepared in it.", code="not-prepared")
        spec = Spec(**{**known, "stand_ins": tuple(known["stand_ins"]), "people": tuple(known["people"])})
        return cls(folder, spec, _recorded_process(state) or running_postmaster(folder.data))

    def detail(self) -> dict[str, Any]:
        """Return what the ledger keeps to find this server again: {"directory", "socket_dir", "process"}."""
        return {
            "directory": str(self.folder.path),
            "socket_dir": self.folder.state().get("socket_dir"),
            "process": self.identity.as_json() if self.identity else None,
        }

    @property
    def account(self) -> Account:
        """Whom the server runs as."""
        return Account.from_json(self.spec.account)

    @property
    def binaries(self) -> Binaries:
        """The programs it runs."""
        return Binaries(self.spec.version_num // 10000, self.spec.version_num, Path(self.spec.bin_dir))

    @property
    def socket_dir(self) -> Path:
        """The private folder of its socket."""
        return self.folder.socket_dir(self.account)

    @property
    def running(self) -> bool:
        """Whether its postmaster lives; after a reboot it does not."""
        return self.identity is not None and processes.alive(self.identity)

    def dsn(self, dbname: str = "postgres") -> str:
        """Return the libpq string for the account that supervises the server, as the superuser."""
        return psycopg.conninfo.make_conninfo(
            host=str(self.socket_dir), port=5432, user=self.spec.superuser, dbname=dbname, connect_timeout=10
        )

    def start(self, *, ready: bool = False, timeout_s: float = 120) -> None:
        """Start the server in its room and wait until its postmaster is up, or until it accepts connections if `ready`.

        Raises:
            Conflict: it runs already.
            Failed: it ended at once or is not up in time; the message carries its log's last complaint.
        """
        self.identity = self.identity if self.running else running_postmaster(self.folder.data)
        if self.running:
            raise Conflict(f"The server in {self.folder.path} runs already.", code="running")
        self._await_orphans()
        (self.folder.data / "postmaster.pid").unlink(missing_ok=True)
        relink_stand_ins(self.folder, self.spec.stand_ins)
        self._make_stand_ins()
        self._write_configuration()
        argv, user = self._command()
        self.identity = processes.spawn(argv, log=self.folder.log, env=server_environment(), user=user)
        self.folder.update(process=self.identity.as_json(), spec=asdict(self.spec))
        wanted = {"ready", "standby"} if ready else _ANY_STATUS
        wait_for_postmaster(self.folder.data, self.identity, self.folder.log, ready=wanted, timeout_s=timeout_s)

    def stop(self, timeout_s: float = 120) -> None:
        """Shut the server down in good order (connections are ended, a checkpoint written); one that is down is fine.

        Raises:
            Failed: it still runs after `timeout_s`.
        """
        if self.identity is None:
            return
        processes.signal(self.identity, signals.SIGINT)
        if not processes.wait_gone(self.identity, timeout_s):
            raise Failed(
                f"The server in {self.folder.path} did not stop within {timeout_s:.0f} s.",
                hint=f"What does its log say? {self.folder.log}",
                code="stop-timeout",
            )
        relink_stand_ins(self.folder, self.spec.stand_ins)
        self.folder.update(process=None)

    def remove(self) -> list[str]:
        """Stop the server and delete what Pitstop made; return the names of strangers' files that stay."""
        self.stop()
        return self.folder.remove()

    def end_recovery(self) -> None:
        """Forget the recovery: the next start is an ordinary one, and replay's links lead into the folder."""
        self.recovery = None
        self._write_configuration()
        relink_stand_ins(self.folder, self.spec.stand_ins)

    def raise_floors(self, raised: Mapping[str, int]) -> None:
        """Take over greater settings that the WAL asks for; they hold from the next start on."""
        self._change(replace(self.spec, raised={**self.spec.raised, **raised}))

    def add_stand_in(self, location: str) -> None:
        """Let a private folder stand for `location`, where replay creates a tablespace; from the next start on.

        Raises:
            Failed: it stands already, so that would not help, or there is no room it could hide in.
        """
        if location in self.spec.stand_ins or isolation() is None:
            raise Failed(
                f"Replay creates a tablespace at {location}, which is not possible here.",
                hint="Take a target before the tablespace was created, or a base backup made after it.",
                code="tablespace-created",
            )
        self._change(replace(self.spec, stand_ins=(*self.spec.stand_ins, location)))

    def admit(self, name: str) -> None:
        """Let role `name` log in with its password; the server reads the new rules at once."""
        if name not in self.spec.people:
            self._change(replace(self.spec, people=(*self.spec.people, name)))
            self._write_configuration()
        if self.identity is not None:
            processes.signal(self.identity, signals.SIGHUP)

    def settings(self) -> dict[str, str]:
        """Return the whole configuration as it is now."""
        settings = base_settings(
            self.spec.recorded,
            major=self.binaries.major,
            socket_dir=str(self.socket_dir),
            raised=self.spec.raised,
        )
        settings["cluster_name"] = f"pitstop {self.folder.path.name}"[:60]
        return {**settings, **(recovery_settings(self.recovery) if self.recovery else {})}

    def _await_orphans(self) -> None:
        """Wait until no process of a postmaster that was killed works on the data any more.

        PostgreSQL's own check, an attached shared memory segment, does not see from one room into another.
        """
        deadline = time.monotonic() + _ORPHANS_END_S
        while left := processes.working_in(self.folder.data):
            if time.monotonic() > deadline:
                raise Conflict(
                    f"Process {left[0]} still works in {self.folder.data}, although its server ended.",
                    hint=f"What is it? ps -fp {left[0]}",
                    code="orphans",
                )
            time.sleep(0.05)

    def _change(self, spec: Spec) -> None:
        self.folder.update(spec=asdict(spec))
        self.spec = spec

    def _write_configuration(self) -> None:
        system_user = Account.current().name
        texts = {
            "postgresql.conf": render_conf(self.settings()),
            "pg_hba.conf": render_hba(self.spec.superuser, self.spec.people),
            "pg_ident.conf": render_ident(system_user, self.spec.superuser),
            "postgresql.auto.conf": "# Pitstop starts this copy with a generated postgresql.conf.\n",
        }
        if self.recovery is not None:
            texts["recovery.signal"] = ""
        owner = None if self.account.is_current else (self.account.uid, self.account.gid)
        for name, text in texts.items():
            write_durable(self.folder.data / name, text.encode("utf-8", "surrogateescape"), owner=owner)

    def _make_stand_ins(self) -> None:
        for location in self.spec.stand_ins:
            place = self.folder.stand_in(location)
            place.mkdir(mode=0o700, exist_ok=True)
            give_to(self.account, place)

    def _command(self) -> tuple[list[str], Account | None]:
        """Return what to spawn and as whom: the room's launcher, or where rooms are forbidden the server itself."""
        forced = {name: self.settings()[name] for name in forced_settings(self.binaries.major)}
        options = [word for name, value in sorted(forced.items()) for word in ("-c", f"{name}={value}")]
        options = ["-D", str(self.folder.data), *options]
        if isolation() is None:
            programs = runnable_by(self.binaries, self.account)
            return [str(programs.tool("postgres")), *options], self.account
        bin_dir, read_only = _programs_in_room(self.binaries)
        read_only |= _python_in_room()
        folders = [self.folder.data, self.socket_dir, *(self.folder.path / "tablespaces").iterdir()]
        writable = {str(place): place for place in folders}
        writable |= {location: self.folder.stand_in(location) for location in self.spec.stand_ins}
        room = Room(self.folder.room, writable, read_only)
        return enter_argv(room, self.account, [str(bin_dir / "postgres"), *options], server_environment()), None


def remove_directory(directory: Path) -> list[str]:
    """Stop and delete whatever server Pitstop made in `directory`, however far it got; return what stays. Idempotent.

    Raises:
        Refused: the folder is there and not ours.
    """
    if not directory.exists():
        return []
    folder = ServerFolder.open(directory)
    if "spec" in folder.state():
        return IsolatedServer.attach({"directory": str(directory)}).remove()
    end_makers(folder.data)
    return folder.remove()


def running_postmaster(data: Path) -> ProcessIdentity | None:
    """Return the postmaster that runs on `data`, or the launcher about to become it; None without one.

    This finds a server whose starter died before it could write down whom it started: by the server's own pid file and its
    command line, and where that is not written yet, by the command line alone.
    """
    try:
        pid = int((data / "postmaster.pid").read_text("utf-8").splitlines()[0])
    except (OSError, ValueError, IndexError):
        pid = 0
    pids = [pid] if pid and _serves(pid, data) else [found for found in processes.pids() if _serves(found, data)]
    for found in pids:
        with contextlib.suppress(ProcessLookupError):
            return processes.identity(found)
    return None


def _serves(pid: int, data: Path) -> bool:
    """Say whether a process was started as the server of `data`, or to become it."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    if len(words) > 4 and words[3].endswith(b"/enter.py"):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            words = [os.fsencode(word) for word in json.loads(words[4])["argv"]]
    return words[0].endswith(b"/postgres") and os.fsencode(data) in words


def _recorded_process(state: Mapping[str, Any]) -> ProcessIdentity | None:
    recorded = state.get("process")
    process = ProcessIdentity.from_json(recorded) if recorded else None
    return process if process and processes.alive(process) else None


def system_python() -> Path:
    """Return the Python that runs inside rooms: the system's, or ours where there is none."""
    for place in _SYSTEM_PYTHONS:
        if os.access(place, os.X_OK):
            return Path(place)
    return Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"


def _python_in_room() -> dict[str, Path]:
    prefix = Path(sys.base_prefix)
    return {} if is_system_path(system_python()) else {str(prefix): prefix}


def _programs_in_room(binaries: Binaries) -> tuple[Path, dict[str, Path]]:
    """Return where PostgreSQL's programs are inside the room, and what must be shown there.

    Programs from a folder that the account could not enter (an environment under /root) need no copy: the room shows them
    at a place of their own, keeping their libraries' relative places.
    """
    if is_system_path(binaries.bin_dir):
        return binaries.bin_dir, {}
    top = binaries.bin_dir.parent.parent.parent
    shown = {str(_PROGRAMS / tree.relative_to(top)): tree for tree in binaries.trees}
    return _PROGRAMS / binaries.bin_dir.relative_to(top), shown


def _usable(name: str, value: str) -> bool:
    """Leave out a locale setting this machine cannot follow: it is only how numbers and dates are printed."""
    return not re.fullmatch(r"lc_(monetary|numeric|time)", name) or locale_exists(value)
