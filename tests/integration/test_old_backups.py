"""Old backups: files made by the script before Pitstop, with the real pg_dump, gzip and openssl, listed, imported and proved."""

from __future__ import annotations

import subprocess
from datetime import datetime
from pathlib import Path

import psycopg
import pytest

from bot.ledger import old_backups
from bot.model.runs import Job
from jobs.old_backups.files import keep_old_backups
from tests.commands import pitstop
from tests.integration.drills import drilled, left_behind, noes, pg_dump, points, shop
from tests.jobs import CLUSTER, Installation
from tests.servers import PlainServerFactory, execute

pytestmark = pytest.mark.pg

SCRIPT = """
set -e
BACKUP_FILE="$1"
gzip "$BACKUP_FILE"
openssl enc -aes-256-cbc -salt -pbkdf2 -in "$BACKUP_FILE.gz" -out "$BACKUP_FILE.gz.enc" -pass "file:$2"
rm "$BACKUP_FILE.gz"
"""


@pytest.fixture
def here(server_home: Path, plain_server: PlainServerFactory) -> Installation:
    """A shop whose scripts left a dump of everything, one of a table, a file of another passphrase, and one that is cut."""
    server = plain_server(18)
    home = server_home / "p"
    old = home / "old"
    old.mkdir(parents=True)
    (home / "secret").write_text("s3cret phrase\nnot this line\n")
    (home / "other").write_text("another\n")
    extra = f'{{ directory = "{old}", passphrase_file = "{home}/secret" }}'
    here = shop(home, server, {"old_backups": extra})
    execute(server, 'CREATE ROLE "Owner"')
    execute(server, 'ALTER TABLE "Users" OWNER TO "Owner"')
    for name, secret, options in (
        ("SlipVerificationDb_full_20260101_020000", "secret", ()),
        ("users", "secret", ("--table", '"Users"')),
        ("foreign", "other", ()),
        ("cut", "secret", ()),
    ):
        file = old / f"{name}.backup"
        file.write_bytes(pg_dump(server, *options))
        subprocess.run(["bash", "-c", SCRIPT, "script", file, home / secret], check=True, capture_output=True)
    whole = (old / "cut.backup.gz.enc").read_bytes()
    (old / "cut.backup.gz.enc").write_bytes(whole[: len(whole) // 32 * 16])
    (old / "plain.backup").write_bytes(pg_dump(server))
    (old / "notes.txt").write_text("not a backup")
    return here


def test_old_backups_come_along(here: Installation) -> None:
    """Listed as they lie, imported once each with the reasons of those that cannot be, then dumps that a drill verifies."""
    assert pitstop("keys", "init", config=here.config_path).code == 0
    listed = pitstop("list", "slips", "--json", config=here.config_path)
    assert sorted(old["file"] for old in listed.json["old_backups"]) == [
        "SlipVerificationDb_full_20260101_020000.backup.gz.enc",
        "cut.backup.gz.enc",
        "foreign.backup.gz.enc",
        "plain.backup",
        "users.backup.gz.enc",
    ]
    done = pitstop("import", "slips", "--all", "--json", config=here.config_path)
    assert done.code == 1, done.err
    refused = {one["file"]: one["code"] for one in done.json["refused"]}
    assert refused == {"cut.backup.gz.enc": "old-backup-damaged", "foreign.backup.gz.enc": "wrong-passphrase"}
    ids = {one["file"]: one["id"] for one in done.json["imported"]}
    full = ids["SlipVerificationDb_full_20260101_020000.backup.gz.enc"]
    [proof] = drilled(here, backup=full)["proofs"]
    assert noes(proof) == {}
    assert proof["verified"]
    assert ["postgres", "public", "Orders", 1500] in proof["tables"]
    [part] = drilled(here, backup=ids["users.backup.gz.enc"])["proofs"]
    assert (noes(part), part["newest"]) == ({}, part["backup"] == max(ids.values()))  # made within a second, by chance
    assert ["postgres", "public", "Users", 400] in part["tables"]
    again = pitstop("import", "slips", "--all", "--json", config=here.config_path)
    assert sorted(again.json["skipped"]) == sorted(ids)
    assert again.json["imported"] == []
    listed = pitstop("list", "slips", "--json", config=here.config_path)
    assert {old["file"]: old["imported"] for old in listed.json["old_backups"] if old["imported"]} == ids
    kept = {backup["id"]: backup for backup in listed.json["backups"]}
    assert kept[full]["pinned"]
    assert kept[full]["verified_at"]
    assert datetime.fromisoformat(kept[full]["started_at"]) <= here_and_now(kept[full]["started_at"])
    assert full in pitstop("list", "slips", config=here.config_path).out
    assert in_the_ledger(here) == {file: ids.get(file) for file in [*ids, *refused]}, "what Slack lists and picks from"
    folder = here.home / "old"
    folder.rename(here.home / "away")
    assert len(in_the_ledger(here)) == 5, "a folder that is not there now says nothing"
    (here.home / "away").rename(folder)
    (folder / "cut.backup.gz.enc").unlink()
    assert "cut.backup.gz.enc" not in in_the_ledger(here)


def in_the_ledger(here: Installation) -> dict[str, str | None]:
    """Renew the ledger's list as the leader does, and return which dump each file became."""
    keep_old_backups(here.config, here.ledger, CLUSTER)
    with here.ledger.read() as tx:
        return {one.path.name: one.imported for one in old_backups.list(tx, CLUSTER)}


def test_one_file_and_bad_words(here: Installation) -> None:
    """A file by its name, a name that is not there with the nearest, and one that cannot be opened: exit codes and sentences."""
    one = pitstop("import", "slips", "plain.backup", config=here.config_path)
    assert one.code == 0, one.err
    assert "plain.backup: " in one.out
    typo = pitstop("import", "slips", "plan.backup", config=here.config_path)
    assert (typo.code, "Did you mean plain.backup?" in typo.err) == (2, True)
    wrong = pitstop("import", "slips", "foreign.backup.gz.enc", config=here.config_path)
    assert (wrong.code, "passphrase is not the one" in wrong.err) == (2, True)
    cut = pitstop("import", "slips", "cut.backup.gz.enc", config=here.config_path)
    assert cut.code == 4
    assert pitstop("import", "slips", config=here.config_path).code == 2
    assert [backup.kind for backup in here.repository().backups()] == ["dump"], "nothing half made is visible"


def test_a_file_is_proved_where_it_lies(here: Installation) -> None:
    """By its name, or path: restored, looked at, and not imported; what is cut is damage, a wrong passphrase a mistake."""
    whole = "SlipVerificationDb_full_20260101_020000.backup.gz.enc"
    done = pitstop("verify", "slips", whole, "--json", config=here.config_path)
    assert done.code == 0, done.err
    [proof] = done.json["proofs"]
    assert (proof["backup"], proof["verified"], noes(proof)) == (whole, True, {})
    assert ["postgres", "public", "Orders", 1500] in proof["tables"]
    points = {point["name"]: point["detail"] for point in proof["points"]}
    assert points["not corrupted"] == "its archive was read and verified"
    assert "dump: globals" not in [phase["name"] for phase in proof["phases"]], "the file has none"
    assert not (here.home / "repository").exists(), "nothing was imported: it needs no repository"
    cut = pitstop("verify", "slips", f"{here.home}/old/cut.backup.gz.enc", "--json", config=here.config_path)
    assert (cut.code, cut.json["damaged"]) == (4, True)
    assert "cut.backup.gz.enc" in noes(cut.json["proofs"][0])["not corrupted"]
    wrong = pitstop("verify", "slips", "foreign.backup.gz.enc", config=here.config_path)
    assert (wrong.code, "passphrase is not the one" in wrong.err) == (2, True)
    typo = pitstop("verify", "slips", "plan.backup", config=here.config_path)
    assert (typo.code, "Did you mean plain.backup?" in typo.err) == (2, True)
    assert left_behind(here) == []
    assert pitstop("keys", "init", config=here.config_path).code == 0
    listed = pitstop("list", "slips", "--json", config=here.config_path).json["old_backups"]
    assert [old["file"] for old in listed if old["verified_at"]] == [whole]


def test_a_file_is_restored_by_its_name(here: Installation) -> None:
    """The plan imports it once, and is of the dump that it became; its rows come back, and a wrong passphrase is refused."""
    whole = "SlipVerificationDb_full_20260101_020000.backup.gz.enc"
    words = ("restore", "slips", whole, "--reason", "an old backup", "--yes", "--json")
    done = pitstop(*words, "--into-database", "old", config=here.config_path)
    assert done.code == 0, done.err
    [dump] = here.repository().backups()
    again = pitstop(*words, "--into-database", "older", "--table", "Users", config=here.config_path)
    assert again.code == 0, again.err
    assert [backup.id for backup in here.repository().backups()] == [dump.id], "imported once"
    assert dump.pinned
    assert {"name": "rows", "ok": None, "detail": "of 2 tables the dump counted no rows"} in done.json["checks"]
    with psycopg.connect(f"{done.json['dsn']} user=postgres") as connection:
        assert connection.execute('SELECT count(*) FROM "Orders"').fetchone() == (1500,)
    wrong = pitstop(
        "restore", "slips", "foreign.backup.gz.enc", "--into-database", "other", "--dry-run", config=here.config_path
    )
    assert (wrong.code, "passphrase is not the one" in wrong.err) == (2, True)
    dry = pitstop("restore", "slips", dump.id, "--into-database", "dry", "--dry-run", "--json", config=here.config_path)
    assert dry.json["facts"]["rows"] is None, "nobody counted them: not 0"


def test_a_file_takes_the_place_of_the_live_database(here: Installation) -> None:
    """The strategy's own restore: the plan says since when, and what the file lacks; one of a table is never `latest`."""
    whole = "SlipVerificationDb_full_20260101_020000.backup.gz.enc"
    there = pitstop("restore", "slips", whole, "--in-place", "--dry-run", "--json", config=here.config_path)
    assert there.code == 0, there.err
    assert there.json["steps"]["destination"]["kind"] == "in-place"
    assert there.json["facts"]["lost"]["since"]
    assert "The dump lacks" not in " ".join(there.json["facts"]["warnings"])
    table = pitstop(
        "restore", "slips", "users.backup.gz.enc", "--in-place", "--dry-run", "--json", config=here.config_path
    )
    assert table.code == 0, table.err
    assert "lacks this table of postgres, left to the kept database alone: public.Orders." in " ".join(
        table.json["facts"]["warnings"]
    )
    newest = pitstop("restore", "slips", "--into-database", "n", "--dry-run", "--json", config=here.config_path)
    assert (newest.code, newest.json["error"]["code"]) == (2, "no-dump")
    assert "it comes by its id" in newest.json["error"]["hint"]


def test_an_imported_dump_is_never_newer_than_it_is(here: Installation) -> None:
    """A dump taken before the import stays the newest one: an import is dated by the archive, not by when it came."""
    taken = here.run(Job.DUMP)["id"]
    here.run(Job.IMPORT, all=True)
    [proof] = drilled(here)["proofs"]
    assert (proof["backup"], proof["newest"]) == (taken, True)
    assert points(proof)["newest backup"][0] is True


def here_and_now(text: str) -> datetime:
    """Return the present time in the zone of a time as text."""
    return datetime.now(datetime.fromisoformat(text).tzinfo)
