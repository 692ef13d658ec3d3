"""What the command line answers to words it cannot follow: a sentence, a hint, exit 2, one document with --json."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bot.host.locks import FileLock
from bot.host.spool import Spool
from bot.repository.keys.file import create_key_file
from tests.commands import PITSTOP, Typed, pitstop
from tests.jobs import Installation, install

AWAY = "host=/nowhere/at/all user=pitstop"
WRONG = [
    (("no-such-command",), "usage", "No such command"),
    (("request", "no-such"), "usage", "No such command"),
    (("status", "--no-such-option"), "usage", "No such option"),
    (("backup", "base"), "usage", "Missing argument"),
    (("list", "no\nsuch 🙈 *cluster*"), "unknown-cluster", "Known clusters: slips"),
    (("list", "slps"), "unknown-cluster", "Did you mean slips?"),
    (("pitr", "slips"), "no-target", "--to"),
    (("pitr", "slips", "--to", "latest"), "no-reason", "--reason"),
    (("pitr", "slips", "--to", "next tuesday week", "--reason", "x"), "bad-time", "Write one like"),
    (("pitr", "slips", "--to", "🙈*_~" * 2500, "--reason", "x"), "", "hint"),
    (("pitr", "slips", "--to", "xid:-1", "--reason", "x"), "", "hint"),
    (("pitr", "slips", "--to", "lsn:x/y", "--reason", "x"), "", "hint"),
    (("pitr", "slips", "--to", "latest", "--reason", "x", "--port", "80"), "usage", "1024"),
    (("request", "show", "no-such-request"), "", "no-such-request"),
    (("request", "approve", "no-such-request"), "", "no-such-request"),
    (("server", "stop", "no-such-server"), "", "no-such-server"),
    (("server", "extend", "no-such-server", "--by", "soon"), "bad-duration", "soon"),
    (("alert", "ack", "no-such-alert"), "unknown-alert", "no-such-alert"),
    (("alert", "snooze", "no-such-alert", "--for", "soon"), "bad-duration", "soon"),
    (("mark", "slips", ""), "bad-mark", "63"),
    (("audit", "verify", "--head", "nonsense"), "bad-head", "nonsense"),
]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """An installation whose server is away; what is asked here never gets that far."""
    return install(tmp_path_factory.mktemp("answers") / "pitstop", AWAY)


@pytest.mark.parametrize(("words", "code", "needle"), WRONG, ids=lambda value: " ".join(value)[:40] if value else None)
def test_what_cannot_be_understood(
    here: Installation, typed: Typed, words: tuple[str, ...], code: str, needle: str
) -> None:
    """Exit 2, one JSON document with code, message and hint, and the same as a sentence on stderr; no traceback."""
    said = typed(*words, "--json", config=here.config_path)
    assert said.code == 2, said.err
    error = said.json["error"]
    assert set(error) >= {"code", "message", "hint"}
    assert error["code"] == code or not code
    assert error["message"]
    assert error["hint"]
    assert needle in said.err + said.out
    assert said.err.startswith("pitstop: ")
    assert "Traceback" not in said.err
    assert len(said.err) < 3000, "an answer repeats too much of the question"


def test_the_attempts_are_in_the_audit(here: Installation, typed: Typed) -> None:
    """What was asked for and could not be understood is in the chain, with who asked."""
    typed("list", "no-such", config=here.config_path)
    typed("request", "approve", "no-such", config=here.config_path)
    exported = typed("audit", "export", "--json", config=here.config_path)
    actions = {(entry["action"], entry["subject"]) for entry in exported.json["entries"]}
    assert {("list.refused", "no-such"), ("find-request.refused", "no-such")} <= actions
    assert typed("audit", "verify", config=here.config_path).code == 0


def test_a_command_that_is_none_is_in_the_audit_too(here: Installation, tmp_path: Path) -> None:
    """Words nobody knows are noted where a ledger is; where there is none, none is made, and the answer is the same."""
    assert pitstop("drop", "everything", config=here.config_path).code == 2
    assert pitstop(f"--config={here.config_path}", "pitr", "slips", "--port", "80").code == 2
    entries = pitstop("audit", "export", "--json", config=here.config_path).json["entries"]
    noted = [entry for entry in entries if entry["action"] == "command.refused"]
    assert [entry["subject"] for entry in noted][-2:] == ["drop everything", "pitr slips --port 80"]
    assert json.loads(noted[-1]["detail"])["code"] == "usage"
    other = install(tmp_path / "other", AWAY)
    for file in tmp_path.glob("other/ledger.db*"):
        file.unlink()
    assert pitstop("drop", "everything", config=other.config_path).code == 2
    assert pitstop("drop", "everything", config=tmp_path / "nowhere.toml").code == 2
    assert pitstop("drop", "--config").code == 2
    assert not list(tmp_path.glob("other/ledger.db*"))


def test_an_audit_that_was_changed(here: Installation, tmp_path: Path, typed: Typed) -> None:
    """A changed entry is damage: exit 4, and the report says which entry."""
    import sqlite3

    own = install(tmp_path / "pitstop", AWAY)
    for name in ("one", "two"):
        typed("list", name, config=own.config_path)
    head = typed("audit", "verify", "--json", config=own.config_path).json["head"]
    assert typed("audit", "verify", "--head", head, config=own.config_path).code == 0
    with sqlite3.connect(own.config.ledger) as db:
        for (name,) in db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'"
        ).fetchall():
            db.execute(f"DROP TRIGGER {name}")
        db.execute("UPDATE audit SET actor = 'host/somebody-else' WHERE seq = 1")
    changed = typed("audit", "verify", "--json", config=own.config_path)
    assert (changed.code, changed.json["intact"]) == (4, False)
    assert changed.json["problems"]


def test_questions_without_an_answer_yet(here: Installation, typed: Typed) -> None:
    """Nothing there is no error: each list is an empty document with exit 0, and a sentence for people."""
    for words, key in ((("request", "list"), "requests"), (("server", "list"), "servers"), (("wal", "status"), "wal")):
        assert typed(*words, "--json", config=here.config_path).json == {key: []}
        assert typed(*words, config=here.config_path).out.strip()


def test_the_manifest_and_the_version_need_no_configuration(tmp_path: Path) -> None:
    """Both answer in an empty folder; the manifest is JSON with and without --json."""
    plain, as_json = pitstop("manifest", cwd=tmp_path), pitstop("manifest", "--json", cwd=tmp_path)
    assert plain.json == as_json.json
    assert plain.json["features"]["slash_commands"]
    assert pitstop("--version", cwd=tmp_path).code == 0


def test_no_configuration(tmp_path: Path) -> None:
    """Without a file the answer says where it looked and what to try."""
    said = pitstop("status", "--json", cwd=tmp_path)
    assert said.code == 2
    assert said.json["error"]["code"] == "no-config"
    assert "pitstop demo" in said.json["error"]["hint"]


def test_status_promises_nothing_that_nobody_runs(here: Installation, typed: Typed) -> None:
    """Without a bot no job has a next time; a receiver that runs by itself is said to stream, and otherwise that none does."""
    said = typed("status", "--json", config=here.config_path).json["clusters"]["slips"]
    assert (said["next"], said["receiver"]) == ({}, False)
    assert "WAL is not streamed" in typed("status", config=here.config_path).out
    spool = Spool(here.config.spool / "slips")
    spool.create()
    lock = FileLock(spool.lock_path)
    assert lock.acquire()
    try:
        alone = typed("status", config=here.config_path).out
    finally:
        lock.release()
    assert "streamed by `pitstop wal stream`" in alone
    assert "not streamed" not in alone
    assert "next " not in alone


def test_healthcheck_without_a_bot(here: Installation, typed: Typed) -> None:
    """Nobody leads: exit 1, and it says so."""
    said = typed("healthcheck", "--json", config=here.config_path)
    assert (said.code, said.json["ok"]) == (1, False)


def test_keys_made_without_a_configuration(tmp_path: Path) -> None:
    """`keys init PATH` makes one key file, readable by its owner alone, and never overwrites one."""
    path = tmp_path / "key"
    made = pitstop("keys", "init", str(path), "--json", cwd=tmp_path)
    assert made.code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    content = path.read_bytes()
    again = pitstop("keys", "init", str(path), "--json", cwd=tmp_path)
    assert (again.code, again.json["error"]["code"]) == (1, "key-exists")
    assert path.read_bytes() == content
    assert content.decode().strip() not in made.out + made.err


def test_a_key_that_was_lost_is_not_replaced(tmp_path: Path, typed: Typed) -> None:
    """`keys init` where a repository waits for the key that is missing: refused with the way back, and no stray key is made."""
    own = install(tmp_path / "pitstop", AWAY)
    assert typed("keys", "init", config=own.config_path).code == 0
    (own.home / "key").unlink()
    before = sorted(own.home.rglob("*"))
    said = typed("keys", "init", "--json", config=own.config_path)
    assert (said.code, said.json["error"]["code"]) == (2, "key-missing")
    assert f"COPY {own.home / 'key'}" in said.json["error"]["hint"]
    assert sorted(own.home.rglob("*")) == before


def test_a_reader_that_leaves(here: Installation) -> None:
    """`pitstop audit export | head` ends quietly when the reader has had enough."""
    command = " ".join([*PITSTOP, "--config", str(here.config_path), "audit", "export"])
    done = subprocess.run(["bash", "-c", f"{command} | true"], capture_output=True, text=True, check=False, cwd="/")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_foreign_text_cannot_drive_the_terminal(here: Installation, typed: Typed) -> None:
    """Control characters in names come out as a replacement, in the answer for people; JSON escapes them."""
    said = typed("list", "\x1b[2Jslips\x07", config=here.config_path)
    assert "\x1b" not in said.err
    assert "\x07" not in said.err
    as_json = typed("list", "\x1b[2Jslips\x07", "--json", config=here.config_path)
    assert "\x1b" not in as_json.out
    assert json.loads(as_json.out)["error"]["code"] == "unknown-cluster"


@pytest.mark.parametrize(
    ("harm", "code", "needle"),
    [
        ("open key", "key-not-private", "chmod 600"),
        ("wrong key", "", "key"),
        ("no key", "", "key"),
        ("torn key", "", "key"),
        ("foreign folder", "", "not empty"),
        ("no folder", "repository-missing", "keys init"),
        ("a file", "repository-not-a-folder", "not a folder"),
    ],
)
def test_keys_and_repositories_that_do_not_fit(tmp_path: Path, typed: Typed, harm: str, code: str, needle: str) -> None:
    """A wrong, open, torn or missing key and a folder that is no repository: said so, with exit 2, nothing changed there."""
    own = install(tmp_path / "pitstop", AWAY)
    key, folder = own.home / "key", own.home / "repository"
    if harm != "no folder":
        assert typed("keys", "init", config=own.config_path).code == 0
    if harm == "open key":
        key.chmod(0o644)
    elif harm == "wrong key":
        key.unlink()
        create_key_file(key)
    elif harm == "no key":
        key.unlink()
    elif harm == "torn key":
        key.write_text(key.read_text()[:-9])
    elif harm == "foreign folder":
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (folder / "somebody's thesis.tex").write_text("…")
    elif harm == "a file":
        folder.rename(own.home / "elsewhere")
        folder.write_text("")
    words = ("keys", "init" if harm == "foreign folder" else "rotate" if harm.endswith(" key") else "list")
    before = _listing(own.home)
    said = typed(*words, "--json", config=own.config_path)
    assert said.code == 2, said.out
    assert said.json["error"]["code"] == code or not code
    assert needle in said.json["error"]["message"] + said.json["error"]["hint"]
    assert said.json["error"]["hint"]
    assert _listing(own.home) == before
    checked = typed("check", "--json", config=own.config_path)
    assert checked.code == 1
    assert [p for p in checked.json["points"] if p["about"] == "repository local" and p["level"] == "fail" and p["fix"]]


def _listing(folder: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in folder.rglob("*") if "ledger" not in p.name and p.is_file()}
