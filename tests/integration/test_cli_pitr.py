"""`pitstop pitr` and what belongs to it, against a real server: the answer, the refusals, the second person, the end."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bot.host.accounts import Account
from bot.postgres.binaries import Binaries
from bot.postgres.connect import quote_ident
from bot.postgres.isolated import remove_directory
from bot.postgres.plain import PlainServer
from tests.commands import PITSTOP, Said, pitstop
from tests.confined import Circumstances
from tests.jobs import Installation, install, wait_for
from tests.places import for_servers
from tests.roles import HBA, MARK, PASSWORD, readme_sql
from tests.servers import FAST, execute
from tests.terminal import on_terminal

pytestmark = [pytest.mark.pg, pytest.mark.xdist_group("cli-pitr")]

ODD_DATABASE = 'odd "db" %s <!channel>\n🙈'
ODD_TABLE = 'a "quoted" *bold* `code` %d\n\tü'
SECOND = "nobody"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a second login needs root: sudo ./dev test")


@dataclass
class Scene:
    """A server with odd names, an installation that knows it by passwords, and one base backup."""

    home: Path
    server: PlainServer
    here: Installation

    def pitstop(self, *words: str, login: str | None = None) -> Said:
        """Run one command line with --json, as `login` when given."""
        return pitstop(*words, "--json", config=self.here.config_path, **({"SUDO_USER": login} if login else {}))

    def restores(self) -> list[Path]:
        """The folders of copies that are there."""
        return sorted((self.home / "restores").glob("*"))


@pytest.fixture(scope="module")
def scene(
    cluster_template: Callable[[Binaries, Sequence[str]], Path], server_user: Account, pg16: Binaries
) -> Iterator[Scene]:
    """Build it once for this page; every test leaves it as it was."""
    home = Path(tempfile.mkdtemp(prefix="ps-", dir=for_servers()))
    home.chmod(0o755)
    socket_dir = home / "socket"
    socket_dir.mkdir(mode=0o700)
    os.chown(socket_dir, server_user.uid, server_user.gid)
    subprocess.run(["cp", "-a", cluster_template(pg16, ()), home / "data"], check=True)
    server = PlainServer.start(
        pg16, home / "data", server_user, socket_dir=socket_dir, settings=FAST, log=home / "server.log"
    )
    try:
        yield Scene(home, server, _prepared(server, home))
    finally:
        for copy in (home / "restores").glob("*"):
            remove_directory(copy)
        server.stop("immediate")
        shutil.rmtree(home)


def _prepared(server: PlainServer, home: Path) -> Installation:
    for statement in readme_sql(16):
        execute(server, statement)
    execute(server, f"CREATE DATABASE {quote_ident(ODD_DATABASE)}")
    execute(server, f"CREATE TABLE {quote_ident(ODD_TABLE)} AS SELECT generate_series(1, 77) n", dbname=ODD_DATABASE)
    (server.data_directory / "pg_hba.conf").write_text(HBA)
    execute(server, "SELECT pg_reload_conf()")
    dsns = {
        f"{what}_dsn": _toml(make_conninfo(server.dsn(user=f"pitstop_{what}"), password=PASSWORD))
        for what in ("stream", "observe")
    }
    here = install(home / "pitstop", server, dsns)
    me = pwd.getpwuid(os.getuid()).pw_name
    with here.config_path.open("a") as file:
        file.write(
            '[clusters.slips.approval]\nrequesters = ["everyone"]\napprovers = ["U0ENGINEER", "U0DBA"]\n'
            "cli_beside_quorum = 0\n"
            f'[people]\n"{me}" = "U0ENGINEER"\n{SECOND} = "U0DBA"\n'
            f'[restore]\ndirectory = "{home}/restores"\n'
        )
    for words in (("keys", "init"), ("backup", "base", "slips")):
        assert pitstop(*words, config=here.config_path).code == 0
    return here


@contextmanager
def second_pair_of_eyes(scene: Scene) -> Iterator[None]:
    """Let the policy want one approval from the command line too."""
    path = scene.here.config_path
    text = path.read_text()
    path.write_text(text.replace("cli_beside_quorum = 0", "cli_beside_quorum = 1"))
    yield
    path.write_text(text)


def test_a_recovery_with_a_port(scene: Scene, tmp_path: Path) -> None:
    """The document's dsn works for the caller over SCRAM; names come through as they are; passwords are in no file, no argv."""
    port, directory = _free_port(), tmp_path.parent / f"{tmp_path.name} copy"
    with _no_secret_in_argv():
        said = scene.pitstop(
            "pitr", "slips", "--to", "latest", "--into-directory", str(directory), "--port", str(port),
            "--reason", "rows *gone*, <!here>",
        )  # fmt: skip
    assert said.code == 0, said.err
    answer = said.json
    try:
        assert set(answer) >= {"request", "directory", "dsn", "target", "checks", "seconds", "expires_at"}
        assert answer["directory"] == str(directory)
        assert set(answer["target"]) >= {"timeline", "lsn"}
        assert all(check["ok"] for check in answer["checks"])
        assert any(ODD_DATABASE in check["name"] for check in answer["checks"])
        _dsn_works(answer["dsn"], port)
        shown = pitstop("request", "show", answer["request"], config=scene.here.config_path)
        assert "🙈" in shown.out
        assert "\t" not in shown.out
        assert _files_with_the_secret(scene.home / "pitstop", directory) == {scene.here.config_path}
        _lives_and_ends(scene, answer["request"])
    finally:
        remove_directory(directory)
    assert not directory.exists()
    assert not _listening(port)
    assert pitstop("audit", "verify", config=scene.here.config_path).code == 0


def _dsn_works(dsn: str, port: int) -> None:
    fields = conninfo_to_dict(dsn)
    assert (fields["host"], str(fields["port"])) == ("127.0.0.1", str(port))
    assert "password" not in fields
    passfile = Path(str(fields["passfile"]))
    assert passfile.stat().st_mode & 0o777 == 0o600
    with psycopg.connect(make_conninfo(dsn, dbname=ODD_DATABASE)) as connection:
        assert connection.execute(f"SELECT count(*) FROM {quote_ident(ODD_TABLE)}".encode()).fetchone() == (77,)
        assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
    for wrong, why in (
        ({"passfile": "/nonexistent", "password": "guessed"}, "password authentication failed"),
        ({"passfile": "/nonexistent"}, "no password supplied"),
        ({"user": "postgres", "passfile": "/nonexistent"}, "the login in the dsn alone"),
        ({"user": "postgres", "replication": "database"}, "the login in the dsn alone"),
    ):
        with pytest.raises(psycopg.OperationalError, match=why):
            psycopg.connect(make_conninfo(dsn, **wrong)).close()


def _lives_and_ends(scene: Scene, server: str) -> None:
    """Extend, stop and remove, each seen in the list."""
    [before] = scene.pitstop("server", "list").json["servers"]
    extended = scene.pitstop("server", "extend", server, "--by", "2h").json
    assert extended["expires_at"] > before["expires_at"]
    assert scene.pitstop("server", "stop", server).code == 0
    [stopped] = scene.pitstop("server", "list").json["servers"]
    assert stopped["state"] == "stopped"
    assert scene.pitstop("server", "remove", server).code == 0
    assert scene.pitstop("server", "list").json["servers"] == []
    [gone] = [s for s in scene.pitstop("server", "list", "--all").json["servers"] if s["id"] == server]
    assert gone["state"] == "removed"


def test_a_dry_run_leaves_nothing(scene: Scene) -> None:
    """The plan comes back with steps, facts and hash; the request is cancelled, and no folder was made."""
    execute(scene.server, "CREATE TABLE IF NOT EXISTS later ()")
    said = scene.pitstop("pitr", "slips", "--to", "latest", "--dry-run")
    assert said.code == 0, said.err
    assert set(said.json) == {"steps", "facts", "steps_hash"}
    assert said.json["steps"]["overwrites"] == []
    assert "not arrived" in " ".join(said.json["facts"]["warnings"]), "no receiver runs: that must be said"
    [latest, *_] = scene.pitstop("request", "list", "--all").json["requests"]
    assert latest["state"] == "cancelled"
    assert scene.restores() == []


def test_a_terminal_is_asked_before_anything_is_done(scene: Scene) -> None:
    """The plan is shown and wants a y on a terminal, a reason given or not; n ends it with exit 1 and the request cancelled."""
    words = ("pitr", "slips", "--to", "latest", "--reason", "compare")
    with on_terminal(*words, config=scene.here.config_path) as terminal:
        terminal.wait_for(b"Go on with this plan? [y/N]")
        terminal.press(b"n\n")
        assert terminal.end() == 1
    assert b"Nothing was done" in terminal.shown
    [latest, *_] = scene.pitstop("request", "list", "--all").json["requests"]
    assert latest["state"] == "cancelled"
    assert scene.restores() == []


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("2001-01-01 00:00 UTC", "before-first-backup"),
        ("xid:4000000000", ""),
        ("point:never-marked", ""),
        ("before:point:never-marked", ""),
        ("lsn:FF/0", "future"),
        ("lsn:0/28", "before-first-backup"),
    ],
)
def test_targets_that_cannot_be_reached(scene: Scene, target: str, code: str) -> None:
    """Each is refused with exit 2 and a hint, and where times are at hand with the nearest reachable ones."""
    said = scene.pitstop("pitr", "slips", "--to", target, "--dry-run")
    assert said.code == 2, said.out
    error = said.json["error"]
    assert error["code"] == code or not code
    assert error["hint"]
    if code:
        assert "Nearest reachable: " in error["hint"]
        assert error["nearest"]
    assert "Traceback" not in said.err


def test_places_that_cannot_be_used(scene: Scene, tmp_path: Path) -> None:
    """A folder that is not empty, one inside the repository, production's own and a taken port: refused, and left alone."""
    (tmp_path / "mine").write_text("keep")
    inside = scene.home / "pitstop" / "repository" / "copy"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        cases = {
            ("directory-not-empty", 2): ("--into-directory", str(tmp_path)),
            ("directory-not-allowed", 3): ("--into-directory", str(inside)),
            ("port-in-use", 2): ("--port", port),
        }
        for (code, exit_code), words in cases.items():
            said = scene.pitstop("pitr", "slips", "--to", "latest", "--dry-run", *words)
            assert (said.json["error"]["code"], said.code) == (code, exit_code)
            assert said.json["error"]["hint"]
    assert (tmp_path / "mine").read_text() == "keep"
    assert not inside.exists()


@needs_root
def test_too_little_disk(scene: Scene, short_tmp: Path) -> None:
    """On a file system of 32 MiB the plan says how much is free and how much it may need, and refuses."""
    there = Circumstances(short_tmp, memory={str(short_tmp / "small"): 32 << 20})
    done = there.run(
        "--config", str(scene.here.config_path), "pitr", "slips", "--to", "latest", "--dry-run", "--json",
        "--into-directory", str(short_tmp / "small" / "copy"),
    )  # fmt: skip
    said = Said(done.returncode, done.stdout, done.stderr)
    assert said.code == 3, said.err
    assert said.json["error"]["code"] == "too-little-disk"
    assert "MiB" in said.json["error"]["message"]


@needs_root
def test_a_second_person_where_the_policy_wants_one(scene: Scene) -> None:
    """With a quorum the command waits; the requester may not approve, a stranger neither, a second listed person may."""
    with second_pair_of_eyes(scene), _asking(scene) as (waiting, request):
        own = scene.pitstop("request", "approve", request)
        assert own.code == 3, own.out
        assert own.json["error"]["code"]
        stranger = scene.pitstop("request", "approve", request, login="daemon")
        assert stranger.code == 3
        assert "[people]" in stranger.json["error"]["message"] + stranger.json["error"]["hint"]
        assert scene.pitstop("request", "show", request).json["state"] == "pending"
        approved = scene.pitstop("request", "approve", request, login=SECOND)
        assert approved.code == 0, approved.err
        out, err = waiting.communicate(timeout=120)
        assert waiting.returncode == 0, err
        assert request in out
        shown = scene.pitstop("request", "show", request).json
        assert [d["by"] for d in shown["decisions"]] == [f"host/{SECOND}"]
        assert scene.pitstop("server", "remove", request).code == 0
    audit = scene.pitstop("audit", "export").json["entries"]
    refused = [entry for entry in audit if entry["subject"] == request and "refused" in entry["action"]]
    assert {entry["actor"] for entry in refused} == {"host/root", "host/daemon"}


@needs_root
def test_a_denied_request(scene: Scene) -> None:
    """The one who waits is told who denied and why, with exit 3; nothing was restored."""
    with second_pair_of_eyes(scene), _asking(scene) as (waiting, request):
        denied = scene.pitstop("request", "deny", request, "--reason", "not tonight", login=SECOND)
        assert denied.code == 0, denied.err
        out, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 3, out
    assert "not tonight" in err
    assert SECOND in err
    assert scene.restores() == []


@contextmanager
def _asking(scene: Scene) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start `pitstop pitr` and yield it with its request, which waits for approval."""
    words = [
        *PITSTOP,
        "--config",
        str(scene.here.config_path),
        "pitr",
        "slips",
        "--to",
        "latest",
        "--reason",
        "why not",
    ]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("SLACK_", "SUDO_"))}
    waiting = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/", env=env)
    try:
        wait_for(lambda: bool(_pending(scene)) or waiting.poll() is not None, what="the request", timeout_s=60)
        assert waiting.poll() is None, waiting.communicate()
        yield waiting, _pending(scene)[0]
    finally:
        waiting.kill()
        waiting.communicate()


def _pending(scene: Scene) -> list[str]:
    from bot.ledger import requests

    with scene.here.ledger.read() as tx:
        return [request.id for request in requests.recent(tx) if request.state.value == "pending"]


def _files_with_the_secret(*folders: Path) -> set[Path]:
    """Return the files that hold the DSNs' password."""
    found = set()
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and MARK.encode() in path.read_bytes():
                found.add(path)
    return found


@contextmanager
def _no_secret_in_argv() -> Iterator[None]:
    """Look at every command line of this machine while the block lasts; none may hold the password."""
    end, seen = threading.Event(), list[bytes]()

    def look() -> None:
        while not end.wait(0.05):
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit():
                    try:
                        line = (entry / "cmdline").read_bytes()
                    except OSError:
                        continue
                    seen.extend([line] if MARK.encode() in line else [])

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        end.set()
        watcher.join()
    assert seen == []


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
