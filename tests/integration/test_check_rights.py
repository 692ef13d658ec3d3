"""Each right and setting taken away is found, and the line that is printed, pasted, puts it right."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.postgres.findings import Finding
from tests.commands import pitstop
from tests.jobs import wait_for
from tests.places import another_disk
from tests.roles import MARK, READY, Observed, observed
from tests.servers import PlainServerFactory, execute

pytestmark = pytest.mark.pg

RIGHTS = {
    "right-pg-monitor": "REVOKE pg_monitor FROM pitstop_observe",
    "right-pg-read-all-data": "REVOKE pg_read_all_data FROM pitstop_observe",
    "right-bypass-rls": "ALTER ROLE pitstop_observe NOBYPASSRLS",
    "right-pg-create-restore-point": "REVOKE EXECUTE ON FUNCTION pg_create_restore_point(text) FROM pitstop_observe",
    "right-pg-switch-wal": "REVOKE EXECUTE ON FUNCTION pg_switch_wal() FROM pitstop_observe",
    "right-pg-hba-file-rules": "REVOKE EXECUTE ON FUNCTION pg_hba_file_rules() FROM pitstop_observe",
    "right-pg-ident-file-mappings": "REVOKE EXECUTE ON FUNCTION pg_ident_file_mappings() FROM pitstop_observe",
    "right-connect": 'REVOKE CONNECT ON DATABASE "odd ""name" FROM PUBLIC',
    "not-replication": "ALTER ROLE pitstop_stream NOREPLICATION",
    "no-login": "ALTER ROLE pitstop_stream NOLOGIN",
}
READING = (
    "REVOKE pg_read_server_files FROM pitstop_observe",
    "REVOKE EXECUTE ON FUNCTION pg_read_file(text,bigint,bigint,boolean) FROM pitstop_observe",
    "REVOKE EXECUTE ON FUNCTION pg_ls_dir(text,boolean,boolean) FROM pitstop_observe",
)
SETTINGS = {
    "slot-unbounded": {"max_slot_wal_keep_size": "-1"},
    "full-page-writes": {"full_page_writes": "off"},
    "synchronous-star": {"synchronous_standby_names": "*"},
    "remote-apply": {"synchronous_standby_names": "ANY 1 (pitstop_slips)", "synchronous_commit": "remote_apply"},
}


@pytest.fixture
def away() -> Iterator[Path]:
    """A folder on another disk than the servers'."""
    place = another_disk()
    if place is None:
        pytest.skip("/dev/shm is not a disk of its own here; mount -t tmpfs tmpfs /dev/shm")
    with tempfile.TemporaryDirectory(prefix="ps-", dir=place) as folder:
        yield Path(folder)


@pytest.fixture
def there(plain_server: PlainServerFactory, tmp_path: Path) -> Observed:
    """A PostgreSQL 16 with the README's roles."""
    return observed(plain_server(16, settings=READY, options=["--data-checksums"]), tmp_path / "pitstop")


@pytest.mark.parametrize("major", [15, 18])
def test_a_server_set_up_as_the_readme_says_is_green(plain_server: PlainServerFactory, away: Path, major: int) -> None:
    """The README's SQL, word for word, leaves nothing to complain about; the password is in no output of `check`."""
    server = plain_server(major, settings={**READY, "fsync": "on"}, options=["--data-checksums"])
    there = observed(server, away / "pitstop", extra={"shared_disk": "false"})
    assert there.bad() == {}
    with there.here.config_path.open("a") as file:
        file.write(f'[restore]\ndirectory = "{away}/restores"\n')
    assert pitstop("keys", "init", config=there.here.config_path).code == 0
    checked = pitstop("check", "--json", config=there.here.config_path)
    assert checked.code == 0, checked.out
    assert {point["code"] for point in checked.json["points"] if point["level"] != "ok"} == {
        "requesters",
        "approvers",
        "fallback",
        "heartbeat",
        "no-slack",
    }
    assert MARK not in checked.out + checked.err


def test_each_missing_right_names_the_grant_that_restores_it(there: Observed) -> None:
    """Taking one right away gives exactly that finding; pasting its line makes the check as good as before."""
    execute(there.server, 'CREATE DATABASE "odd ""name"')
    before = there.bad()
    takings = list(RIGHTS.items()) + [("right-read-config", sql) for sql in READING]
    for code, sql in takings:
        execute(there.server, sql)
        found = there.bad()
        assert code in found, (code, sorted(found))
        there.paste(found[code].fix)
        assert there.bad() == before, code


def test_each_bad_setting_names_the_line_that_mends_it(there: Observed) -> None:
    """Settings that lose data or hang commits are found; the line, pasted, ends the finding."""
    execute(there.server, "SELECT pg_reload_conf()")
    for code, settings in SETTINGS.items():
        for name, value in settings.items():
            execute(there.server, f"ALTER SYSTEM SET {name} = '{value}'")
        execute(there.server, "SELECT pg_reload_conf()")
        found = _eventually(there, code, there_is=True)
        there.paste(found[code].fix)
        _eventually(there, code, there_is=False)
        execute(there.server, "ALTER SYSTEM RESET ALL")
        execute(there.server, "SELECT pg_reload_conf()")


def test_settings_that_need_a_restart(there: Observed) -> None:
    """wal_level = minimal and no WAL senders are found; after both lines and a restart nothing is left of them."""
    for name, value in {"wal_level": "minimal", "max_wal_senders": "0", "max_replication_slots": "0"}.items():
        execute(there.server, f"ALTER SYSTEM SET {name} = '{value}'")
    restarted = there.restart()
    try:
        found = restarted.bad()
        assert {"wal-level", "max-wal-senders", "max-replication-slots"} <= set(found)
        for code in ("wal-level", "max-wal-senders", "max-replication-slots"):
            assert found[code].level == "fail"
            restarted.paste(found[code].fix)
        mended = restarted.restart()
    except BaseException:
        restarted.server.stop("immediate")
        raise
    try:
        assert not {"wal-level", "max-wal-senders", "max-replication-slots"} & set(mended.bad())
        assert mended.findings()["streaming"].level == "ok"
    finally:
        mended.server.stop("immediate")


def test_the_replication_line_of_pg_hba(there: Observed) -> None:
    """Without its line streaming is turned away; the line printed, put into pg_hba.conf, lets it in."""
    hba = there.server.data_directory / "pg_hba.conf"
    hba.write_text(hba.read_text().replace("local replication pitstop_stream scram-sha-256\n", ""))
    execute(there.server, "SELECT pg_reload_conf()")
    found = _eventually(there, "hba-replication", there_is=True)["hba-replication"]
    assert found.level == "fail"
    assert found.fix.startswith("local replication pitstop_stream scram-sha-256")
    with hba.open("a") as file:
        file.write(found.fix + "\n")
    execute(there.server, "SELECT pg_reload_conf()")
    _eventually(there, "hba-replication", there_is=False)
    assert there.findings()["streaming"].level == "ok"


def test_the_line_of_pg_hba_over_tcp(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """Over TCP the line printed names exactly the address the connection came from, and works as it stands."""
    address = _loopback()
    server = plain_server(18, settings={**READY, "listen_addresses": address})
    there = observed(server, tmp_path / "pitstop", host=address)
    hba = server.data_directory / "pg_hba.conf"
    found = there.bad()
    assert found["hba-replication"].fix.startswith("host replication pitstop_stream 127.")
    assert found["hba"].fix.startswith("host postgres pitstop_observe 127.")
    for code in ("hba-replication", "hba"):
        with hba.open("a") as file:
            file.write(found[code].fix + "\n")
    execute(server, "SELECT pg_reload_conf()")
    left = _eventually(there, "hba-replication", there_is=False)
    assert left["hba"].fix.startswith("host postgres pitstop_stream 127.")


def test_rules_open_to_the_world(there: Observed) -> None:
    """`trust` from anywhere fails the check, a password from anywhere warns, a broken line is named; narrowed they are gone."""
    there.rules(
        "host all all 0.0.0.0/0 trust", "host all all ::/0 scram-sha-256", "host all all 10.0.0.0/8 no-such-method"
    )
    findings = [f for f in there.all_findings() if f.code.startswith("hba-")]
    assert [(f.level, f.code) for f in findings] == [("fail", "hba-open"), ("warn", "hba-open"), ("warn", "hba-broken")]
    assert "line 4" in findings[0].sentence
    assert "scram-sha-256" in findings[0].fix
    there.rules("host all all 127.0.0.1/32 scram-sha-256")
    assert not [f for f in there.all_findings() if f.code.startswith("hba-")]


def test_one_disk_for_both(there: Observed) -> None:
    """Spool and repository on the database's disk fail the check unless the configuration accepts it."""
    assert there.bad()["shared-disk"].level == "warn"
    text = there.here.config_path.read_text().replace("shared_disk = true", "shared_disk = false")
    there.here.config_path.write_text(text)
    refused = pitstop("check", "--json", config=there.here.config_path)
    assert refused.code == 1
    shared = [point for point in refused.json["points"] if point["code"] == "shared-disk"]
    assert [point["level"] for point in shared] == ["fail", "fail"]
    assert "shared_disk = true" in shared[0]["fix"]


def test_missing_programs(there: Observed, tmp_path: Path) -> None:
    """A major that is not installed, and one without pg_waldump, are named with the line that installs them."""
    partial = tmp_path / "partial" / "bin"
    partial.mkdir(parents=True)
    fake = partial / "postgres"
    fake.write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 16.99'\n")
    fake.chmod(0o755)
    text = there.here.config_path.read_text() + f'\n[postgres]\nbin_directories = ["{partial}"]\n'
    there.here.config_path.write_text(text)
    checked = pitstop("check", "--json", config=there.here.config_path)
    [point] = [p for p in checked.json["points"] if p["code"] == "programs"]
    assert checked.code == 1
    assert "pg_waldump of PostgreSQL 16" in point["sentence"]
    assert "apt-get install postgresql-16" in point["fix"]


def _eventually(there: Observed, code: str, *, there_is: bool) -> dict[str, Finding]:
    """Check until the server has taken its reload up, and return what is bad then."""
    wait_for(lambda: (code in there.bad()) is there_is, what=f"{code} {'appearing' if there_is else 'going away'}")
    return there.bad()


def _loopback() -> str:
    """Return a loopback address of this test's own: no other server listens there, whatever the port."""
    return f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(256)}.{secrets.randbelow(254) + 1}"
