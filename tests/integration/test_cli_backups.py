"""The command line against a real server: keys, a backup, the list, a restore point."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bot.model.ids import is_backup_id
from bot.postgres.connect import connect
from tests.commands import pitstop
from tests.jobs import Installation, install, wait_for
from tests.servers import PlainServerFactory

pytestmark = pytest.mark.pg


@pytest.fixture
def here(plain_server: PlainServerFactory, tmp_path: Path) -> Installation:
    """An installation beside a fresh PostgreSQL 16, without a bot."""
    return install(tmp_path / "pitstop", plain_server(16))


def test_a_backup_without_a_bot(here: Installation) -> None:
    """Without a leader the command starts the job itself, follows it, and answers one document; `list` and `status` show it."""
    init = pitstop("keys", "init", "--json", config=here.config_path)
    assert (init.code, init.json["made"], init.json["repositories"]) == (0, False, ["local"])
    made = pitstop("backup", "base", "slips", "--json", config=here.config_path)
    assert made.code == 0, made.err
    assert is_backup_id(made.json["id"])
    assert made.json["bytes_read"] > made.json["bytes_stored"] > 0
    assert made.json["seconds"] > 0
    listed = pitstop("list", "slips", "--json", config=here.config_path)
    assert listed.code == 0, listed.err
    assert [backup["id"] for backup in listed.json["backups"]] == [made.json["id"]]
    assert listed.json["backups"][0]["repositories"] == ["local"]
    status = pitstop("status", "--json", config=here.config_path)
    assert status.json["clusters"]["slips"]["last_backup"]["id"] == made.json["id"]
    assert status.json["leader"] is False
    assert made.json["id"] in pitstop("list", "slips", config=here.config_path).out
    assert pitstop("audit", "verify", config=here.config_path).code == 0


def test_the_list_needs_only_the_repository(here: Installation) -> None:
    """With the ledger gone, `list` shows the same backups from the repository alone."""
    made = pitstop("backup", "base", "slips", "--json", config=here.config_path)
    assert made.code == 0, made.err
    for file in here.home.glob("ledger.db*"):
        file.unlink()
    shutil.rmtree(here.config.runs_directory)
    listed = pitstop("list", "slips", "--json", config=here.config_path)
    assert listed.code == 0, listed.err
    assert [backup["id"] for backup in listed.json["backups"]] == [made.json["id"]]


def test_a_backup_of_a_server_that_is_down(here: Installation) -> None:
    """A server that is away is one sentence with a hint and exit 1, and the failed run is in the status."""
    here.config_path.write_text(here.config_path.read_text().replace("host=", "host=/nowhere/at/all options="))
    failed = pitstop("backup", "base", "slips", "--json", config=here.config_path)
    assert failed.code == 1
    assert failed.json["error"]["hint"]
    assert "Traceback" not in failed.err
    status = pitstop("status", config=here.config_path)
    assert "last attempt failed" in status.out


def test_a_restore_point(here: Installation) -> None:
    """`mark` answers where the point is; a name that is too long is refused with a hint."""
    marked = pitstop("mark", "slips", "before migration 42", "--json", config=here.config_path)
    assert marked.code == 0, marked.err
    assert "/" in marked.json["lsn"]
    assert marked.json["warnings"] == []
    again = pitstop("mark", "slips", marked.json["name"], "--json", config=here.config_path)
    assert marked.json["lsn"] in again.json["warnings"][0]
    long = pitstop("mark", "slips", "x" * 64, config=here.config_path)
    assert long.code == 2
    assert "63" in long.err


def test_check_finds_what_is_fine_and_what_is_not(here: Installation) -> None:
    """`check --json` is one document with a point per checked thing; a missing key fails it, with the line that helps."""
    pitstop("keys", "init", config=here.config_path)
    checked = pitstop("check", "--json", config=here.config_path)
    levels = {(point["about"], point["code"]): point["level"] for point in checked.json["points"]}
    assert levels["repository local", "write-read"] == "ok"
    assert levels["cluster slips", "requesters"] == "warn"
    assert checked.json["configuration"]["effective"]["clusters"]["slips"]["repositories"] == ["local"]
    assert ("cluster slips", "idle-slots") not in levels
    assert "same-server" not in {code for _, code in levels}
    with connect(here.config.cluster("slips").stream) as sql:
        for name in ("pitstop_slips", "pitstop_slips_keep"):
            sql.execute("SELECT pg_create_physical_replication_slot(%s, true)", [name])
        idle = pitstop("check", "--json", config=here.config_path)
        [warned] = [point for point in idle.json["points"] if point["code"] == "idle-slots"]
        assert warned["level"] == "warn"
        assert "pitstop_slips (" in warned["sentence"]
        for line in warned["fix"].partition(": ")[2].split("; "):
            sql.execute(line.encode())
        assert not sql.execute("SELECT 1 FROM pg_replication_slots").fetchall(), "the lines to drop them do not"
    said = pitstop("check", "--configuration", config=here.config_path).out
    assert said.index("to look at") < said.index("# What is in force") < said.index('repositories = ["local"]')
    (here.home / "key").unlink()
    again = pitstop("check", config=here.config_path)
    assert again.code == 1
    assert "FAIL" in again.out


def test_another_server_under_the_same_name(plain_server: PlainServerFactory, here: Installation) -> None:
    """A DSN that leads to another server of the same major is refused with exit 3 and nothing stored, also where a receiver brought
    WAL of it; an upgrade is not, and the check warns while it may be another server all the same.
    """
    first = pitstop("backup", "base", "slips", "--json", config=here.config_path)
    assert first.code == 0, first.err
    other = plain_server(16, options=["--data-checksums"])  # a copy of the template would be the same system
    install(here.home, other)
    before = sorted((here.home / "repository").rglob("*"))
    refused = pitstop("backup", "base", "slips", "--json", config=here.config_path)
    assert refused.code == 3, refused.err
    assert refused.json["error"]["code"] == "foreign-cluster"
    assert "DSN" in refused.json["error"]["hint"]
    assert sorted((here.home / "repository").rglob("*")) == before
    checked = pitstop("check", "--json", config=here.config_path)
    assert [p for p in checked.json["points"] if p["code"] == "foreign-cluster" and p["level"] == "fail"]
    with install(here.home, other).receiving():  # a receiver may be there before any backup
        wait_for(lambda: len(list((here.home / "repository/slips").iterdir())) == 2, what="a history of WAL alone")
    for kind in ("base", "dump"):
        refused = pitstop("backup", kind, "slips", "--json", config=here.config_path)
        assert (refused.code, refused.json["error"]["code"]) == (3, "foreign-cluster"), refused.err
    shutil.rmtree(here.home / "spool")
    install(here.home, plain_server(18))
    assert levels(here)["two-servers"] == "warn", "none of it yet"
    upgraded = pitstop("backup", "base", "slips", "--json", config=here.config_path)
    assert upgraded.code == 0, upgraded.err
    assert "two-servers" not in levels(here)
    assert levels(here)["history"] == "ok"
    listed = pitstop("list", "slips", "--json", config=here.config_path)
    assert upgraded.json["id"] in [backup["id"] for backup in listed.json["backups"]]


def levels(here: Installation) -> dict[str, str]:
    """Return the level of each of the check's points by its code."""
    return {
        point["code"]: point["level"] for point in pitstop("check", "--json", config=here.config_path).json["points"]
    }


def test_one_server_under_two_names(here: Installation) -> None:
    """Two names that lead to the same server, into one repository: each has its own backups, and neither sees the other's; the
    check warns of it.
    """
    text = here.config_path.read_text("utf-8")
    table = text[text.index("[clusters.slips]") :]
    here.config_path.write_text(text + table.replace("[clusters.slips]", "[clusters.again]"), "utf-8")
    made = {}
    for name in ("slips", "again"):
        taken = pitstop("backup", "base", name, "--json", config=here.config_path)
        assert taken.code == 0, taken.err
        made[name] = taken.json["id"]
    for name, backup in made.items():
        listed = pitstop("list", name, "--json", config=here.config_path)
        assert [one["id"] for one in listed.json["backups"]] == [backup]
        scrubbed = pitstop("scrub", name, "--all", "--json", config=here.config_path)
        assert (scrubbed.code, scrubbed.json["damaged"]) == (0, [])
    systems = {path.parent.name for path in (here.home / "repository").glob("*/*/cluster.json")}
    assert len(systems) == 1, "the same server"
    checked = pitstop("check", "--json", config=here.config_path).json["points"]
    [warned] = [point for point in checked if point["code"] == "same-server"]
    assert (warned["about"], warned["level"]) == ("cluster again", "warn")
    assert (
        f"the same server as slips, or its standby or copy: the system identifier of both is {systems.pop()}"
        in warned["sentence"]
    )
