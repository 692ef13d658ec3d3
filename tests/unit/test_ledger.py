"""The ledger's file: made once, private, locked and full in ways that are told apart, and an audit that shows tampering."""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.errors import Conflict, Corruption, Unavailable, Usage
from bot.ledger import audit, cards, catalogue, inbox, leases, people, runs, servers, settings, wal_status
from bot.ledger.database import Ledger, Tx, filesystem_of
from bot.ledger.wal_status import WalStatus
from bot.model.audit import GENESIS, Anchor, check
from bot.model.backups import BackupSummary
from bot.model.ids import BackupId, RequestId, RunId, SystemId
from bot.model.requests import State
from bot.model.servers import Server, ServerState
from bot.model.wal import Lsn
from tests.unit.desk_world import ALICE, BACKUP, CAROL, DAN, NOON, SLIPS, World, facts, group, new_world


@pytest.fixture
def world() -> Iterator[World]:
    """Return a world of its own for each test."""
    with new_world() as made:
        yield made


def test_it_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    """Creating again changes nothing; file and journals are 0600 also where a copy was open to others, the folder 0700."""
    ledger = Ledger(tmp_path / "state" / "ledger.db")
    ledger.create()
    with ledger.transaction() as tx:
        settings.put(tx, "x", "kept")
    ledger.path.chmod(0o644)
    ledger.create()
    with ledger.kept_open(), ledger.transaction() as tx:
        assert settings.get(tx, "x") == "kept"
        names = sorted(path.name for path in ledger.path.parent.iterdir())
        assert names == ["ledger.db", "ledger.db-shm", "ledger.db-wal"]
        assert {stat.S_IMODE(path.stat().st_mode) for path in ledger.path.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(ledger.path.parent.stat().st_mode) == 0o700


def test_what_is_wrong_with_the_file_is_told_apart(tmp_path: Path, world: World) -> None:
    """Missing, locked and full are Unavailable and change nothing; damage is Corruption; a newer version's file is Usage."""
    with pytest.raises(Unavailable, match="no ledger"), Ledger(tmp_path / "none.db").read():
        pass
    with (
        world.ledger.transaction() as tx,
        pytest.raises(Unavailable, match="locked"),
        world.ledger.transaction(timeout_s=0.01),
    ):
        settings.put(tx, "never", "reached")
    with pytest.raises(Unavailable, match="full"), world.ledger.transaction() as tx:
        settings.put(tx, "before", "the disk was full")
        tx.execute(f"PRAGMA max_page_count={tx.execute('PRAGMA page_count').fetchone()[0]}")
        settings.put(tx, "big", "x" * 100_000)
    with world.ledger.read() as tx:
        assert settings.get(tx, "before") is None
    with world.ledger.transaction() as tx:
        settings.put(tx, "schema", "99")
    with pytest.raises(Usage, match="newer"):
        world.ledger.create()
    (tmp_path / "other").write_bytes(b"not a database " * 100)
    with pytest.raises(Corruption):
        Ledger(tmp_path / "other").create()
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(Unavailable):
        Ledger(tmp_path / "folder.db").create()


def test_a_ledger_from_before_a_table_gets_it(world: World) -> None:
    """A newer program adds the table and keeps every row; the audit's head is never written anew."""
    with world.ledger.transaction() as tx:
        settings.put(tx, "kept", "as it was")
        tx.execute("DROP TABLE old_backups")
        tx.execute("DELETE FROM settings WHERE name = 'audit-anchor'")
    world.ledger.create()
    with world.ledger.read() as tx:
        assert list(tx.query("SELECT * FROM old_backups")) == []
        assert settings.get(tx, "kept") == "as it was"
        assert settings.get(tx, "audit-anchor") is None


def test_a_row_never_points_at_nothing(world: World) -> None:
    """Foreign keys are enforced, and what a failed transaction wrote before is gone."""
    with pytest.raises(sqlite3.IntegrityError), world.ledger.transaction() as tx:
        settings.put(tx, "x", "y")
        tx.execute("INSERT INTO locks (run, name, mode) VALUES ('nobody', 'cluster:slips', 'check')")
    with world.ledger.read() as tx:
        assert settings.get(tx, "x") is None


MOUNTS = r"""
/dev/sda1 / ext4 rw 0 0
server:/x /srv/state nfs4 rw 0 0
tmpfs /srv/state/fast tmpfs rw 0 0
server:/y /mnt/two\040words cifs rw 0 0
/dev/sdb1 /data ext4 rw 0 0
server:/z /data fuse.sshfs rw 0 0
""".strip()


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/srv/state/pitstop", "nfs4"),
        ("/srv/state", "nfs4"),
        ("/srv/statement", "ext4"),
        ("/srv/state/fast/x", "tmpfs"),
        ("/mnt/two words/x", "cifs"),
        ("/data/x", "fuse.sshfs"),
        ("/", "ext4"),
    ],
)
def test_the_file_system_is_that_of_the_innermost_mount(folder: str, kind: str) -> None:
    """The longest mount point counts, the later of two at one place, and blanks in paths are read."""
    assert filesystem_of(folder, MOUNTS) == kind
    assert filesystem_of(folder, "") == ""


def test_a_link_leads_to_the_folder_it_names(tmp_path: Path) -> None:
    """A ledger reached through a link is judged where it really is: on /proc, as a stand-in for another file system."""
    (tmp_path / "link").symlink_to("/proc/self")
    resolved = (tmp_path / "link" / "ledger.db").resolve().parent
    mounts = Path("/proc/mounts").read_text()
    assert filesystem_of(str(resolved), mounts) == "proc"
    Ledger(tmp_path / "link" / "ledger.db")


# The audit


def told(world: World) -> list[str]:
    """Return what a check of the audit finds."""
    with world.ledger.read() as tx:
        return list(audit.verify(tx).problems)


def tamper(world: World, *statements: str) -> None:
    """Change rows as somebody with the file in their hands can."""
    with world.ledger.transaction() as tx:
        tx.execute("DROP TRIGGER IF EXISTS audit_no_update")
        tx.execute("DROP TRIGGER IF EXISTS audit_no_delete")
        for statement in statements:
            tx.execute(statement)


def test_the_audit_is_append_only(world: World) -> None:
    """Entries can neither be changed nor deleted through the ledger."""
    world.approved()
    for statement in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"), world.ledger.transaction() as tx:
            tx.execute(statement)
    assert told(world) == []


@pytest.mark.parametrize("column", ["at", "actor", "action", "subject", "detail", "prev", "hash"])
def test_a_changed_entry_shows(world: World, column: str) -> None:
    """Whatever is changed in an entry, the check names that entry."""
    world.approved()
    tamper(world, f"UPDATE audit SET {column} = {column} || ' ' WHERE seq = 3")
    assert any("Entry 3 " in problem or "entry 3" in problem for problem in told(world))


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (["DELETE FROM audit WHERE seq = 3"], "missing between"),
        (["DELETE FROM audit WHERE seq > 4"], "cut off"),
        (["DELETE FROM audit"], "cut off"),
        (["DELETE FROM audit", "DELETE FROM settings WHERE name = 'audit-anchor'"], "head kept beside"),
        (["UPDATE settings SET value = 'gibberish' WHERE name = 'audit-anchor'"], "head kept beside"),
        ([f"UPDATE settings SET value = '0:{GENESIS}' WHERE name = 'audit-anchor'"], "goes on to"),
        (
            [
                "UPDATE audit SET seq = -3 WHERE seq = 3",
                "UPDATE audit SET seq = 3 WHERE seq = 4",
                "UPDATE audit SET seq = 4 WHERE seq = -3",
            ],
            "Entry 3 was changed",
        ),
    ],
)
def test_missing_and_reordered_entries_show(world: World, statements: list[str], words: str) -> None:
    """An entry taken out, a tail cut off, all of it gone, the head removed or set back, two swapped: all are found."""
    world.approved()
    tamper(world, *statements)
    assert any(words in problem for problem in told(world))


def test_a_cut_tail_stays_visible_when_the_chain_grows_again(world: World) -> None:
    """What happens after the cut is chained to the head that was cut off, so that the hole remains."""
    request = world.approved()
    tamper(world, "DELETE FROM audit WHERE seq > 4")
    world.cancel(request.id)
    assert any("missing between" in problem for problem in told(world))


def test_a_chain_written_anew_is_caught_by_a_head_written_down_elsewhere(world: World) -> None:
    """Whoever rewrites chain and head in the file cannot rewrite the head that somebody else has."""
    world.pending()
    with world.ledger.read() as tx:
        known = audit.head(tx)
        entries = list(audit.entries(tx))
    tamper(world, "DELETE FROM audit", f"UPDATE settings SET value = '0:{GENESIS}' WHERE name = 'audit-anchor'")
    with world.ledger.transaction() as tx:
        for entry in entries:
            actor = "T1/USOMEONE" if entry.seq == 1 else entry.actor
            audit.append(tx, NOON, actor, entry.action, entry.subject, json.loads(entry.detail))
    assert told(world) == []
    with world.ledger.read() as tx:
        problems = audit.verify(tx, [known]).problems
    assert any("written anew" in problem for problem in problems)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE requests SET state = 'approved'",
        "UPDATE requests SET state = 'approved', version = version + 1",
        "INSERT INTO decisions SELECT id, 'T1/UDAN', 'approve', '', '', steps_hash, 'Dan' FROM requests",
    ],
)
def test_rows_changed_behind_the_desk_show(world: World, statement: str) -> None:
    """A state or an approval written past the desk has no entry that tells of it, and the check says so."""
    world.policy = type(world.policy)(("everyone",), ("UCAROL", "UDAN"), 2, 1800, 600, "v1")
    request = world.pending()
    world.approve(request.id, CAROL)
    assert told(world) == []
    tamper(world, statement)
    assert any(request.id in problem for problem in told(world))


def test_an_exported_audit_is_the_chain(world: World) -> None:
    """Lines exported and read back are the entries, hashes and all; one that was cut off is missed by the head."""
    world.approved()
    with world.ledger.read() as tx:
        lines, entries, head = list(audit.export(tx)), list(audit.entries(tx)), audit.head(tx)
    assert audit.import_lines(lines) == entries
    assert check(audit.import_lines(lines), [head]).intact
    assert not check(audit.import_lines(lines[:-1]), [head]).intact
    assert Anchor.parse(str(head)) == head


# Rows


def test_a_card_is_out_of_date_until_what_it_shows_was_sent() -> None:
    """Every change makes a card out of date; a post without buttons leaves it so, an edit of an older version too."""
    with new_world() as world, world.ledger.transaction() as tx:
        cards.want(tx, "request", "r1", "approvals", urgent=True)
        (card,) = cards.stale(tx)
        cards.posted(tx, card.id, version=card.wanted, channel="C", ts="1", armed=False, at=NOON)
        assert cards.stale(tx)[0].urgent
        cards.edited(tx, card.id, version=1, at=NOON)
        assert cards.stale(tx) == []
        assert cards.bump(tx, "request", "r1") == 1
        cards.want(tx, "request", "r1", "approvals")
        cards.edited(tx, card.id, version=2, at=NOON)
        (late,) = cards.stale(tx)
        assert (late.wanted, late.posted, late.urgent) == (3, 2, False)
        cards.edited(tx, card.id, version=1, at=NOON)
        assert cards.stale(tx)[0].posted == 2
        cards.failed(tx, card.id, "is_archived")
        assert cards.stale(tx) == []
        assert cards.retry(tx) == 1
        cards.lost(tx, card.id)
        (again,) = cards.stale(tx)
        assert (again.ts, again.armed, again.posted) == (None, False, 0)
        assert cards.shown_at(tx, "C", "1") is None


def test_urgent_cards_come_first_then_the_oldest() -> None:
    """Decisions and alerts are sent before progress, and otherwise in the order they were asked for."""
    with new_world() as world, world.ledger.transaction() as tx:
        for subject, urgent in (("a", False), ("b", True), ("c", False), ("d", True)):
            cards.want(tx, "run", subject, "results", urgent=urgent)
        assert [card.subject for card in cards.stale(tx)] == ["b", "d", "a", "c"]


def test_an_item_is_recorded_and_handled_once() -> None:
    """The same key again changes nothing, before and after the item was handled."""
    with new_world() as world, world.ledger.transaction() as tx:
        assert inbox.put(tx, "k", "click", {"a": 1}, NOON)
        assert not inbox.put(tx, "k", "click", {"a": 2}, NOON)
        (item,) = inbox.open(tx)
        assert (item.payload, item.received_at) == ({"a": 1}, NOON)
        assert inbox.done(tx, item.id, {"done": True}, NOON)
        assert not inbox.done(tx, item.id, {"done": False}, NOON)
        assert not inbox.put(tx, "k", "click", {"a": 3}, NOON)
        assert (inbox.open(tx), inbox.outcome(tx, "k")) == ([], {"done": True})


def _summary(backup: str) -> BackupSummary:
    return BackupSummary(
        id=BackupId(backup),
        kind="base",
        cluster=SLIPS,
        system_id=SystemId("7"),
        started_at=NOON,
        finished_at=NOON,
        timeline=1,
        start_lsn=Lsn(16),
        end_lsn=Lsn(32),
        bytes_read=9,
        bytes_stored=5,
        server_version=160002,
        segment_bytes=16777216,
        manifest_sha256="ab" * 32,
        verified_at=NOON,
    )


def test_the_catalogue_is_what_the_repositories_hold() -> None:
    """A backup in two repositories is listed once, newest first; replacing one repository's copy leaves the other's."""
    first, second = "20261121T020000Z-base-0001", "20261122T020000Z-base-0002"
    with new_world() as world, world.ledger.transaction() as tx:
        catalogue.replace(tx, SLIPS, "local", [_summary(first), _summary(second)])
        catalogue.replace(tx, SLIPS, "offsite", [_summary(first)])
        assert [summary.id for summary in catalogue.list(tx, SLIPS)] == [second, first]
        assert list(catalogue.copies(tx, SLIPS, BackupId(first))) == ["local", "offsite"]
        catalogue.replace(tx, SLIPS, "local", [_summary(second)])
        assert list(catalogue.copies(tx, SLIPS, BackupId(first))) == ["offsite"]
        assert catalogue.find(tx, SLIPS, BackupId(second)) == _summary(second)
        assert catalogue.find(tx, SLIPS, BackupId("20261123T020000Z-base-0003")) is None


def test_rows_come_back_as_they_were_written(world: World) -> None:
    """Requests with decisions, runs, servers, leases, people, groups and WAL status are equal after a round through SQL."""
    request, run = world.running()
    status = WalStatus(SLIPS, "local", SystemId("7"), 1, Lsn(3), Lsn(2), Lsn(4), ({"from": "a", "to": "b"},), NOON)
    server = Server(
        request.id, SLIPS, ServerState.RUNNING, 1, ALICE, "/x", "host=/x", 7, NOON, NOON + timedelta(hours=1), {"a": 1}
    )
    with world.ledger.transaction() as tx:
        wal_status.put(tx, status)
        servers.insert(tx, server)
        people.put(tx, facts(DAN, NOON, guest=True))
        people.put_group(tx, group(CAROL, DAN))
    with world.ledger.read() as tx:
        assert runs.get(tx, run.id) == run
        assert servers.get(tx, request.id) == server
        assert wal_status.list(tx, SLIPS) == [status]
        assert people.get(tx, DAN) == facts(DAN, NOON, guest=True)
        assert people.groups(tx, [group().group]) == {group().group: group(CAROL, DAN)}
        (lease,) = leases.held(tx, SLIPS)
    assert (lease.request, lease.backups) == (request.id, (BACKUP,))


def test_a_change_over_another_version_is_a_conflict(world: World) -> None:
    """Runs and servers, like requests, are written over the version that was read, or not at all."""
    request, run = world.running()
    server = Server(request.id, SLIPS, ServerState.RUNNING, 1, ALICE, "/x", "host=/x", 7, NOON, NOON, {})
    with world.ledger.transaction() as tx:
        servers.insert(tx, server)
        with pytest.raises(Conflict, match="same moment"):
            servers.update(tx, server)
        with pytest.raises(Conflict, match="same moment"):
            runs.update(tx, run)


def test_names_that_are_not_there_are_usage_errors(world: World) -> None:
    """Asking for an unknown run or server says what to look at."""
    with world.ledger.read() as tx:
        for ask in (_run, _server):
            with pytest.raises(Usage) as caught:
                ask(tx)
            assert "pitstop" in caught.value.hint


def _run(tx: Tx) -> object:
    return runs.get(tx, RunId("none"))


def _server(tx: Tx) -> object:
    return servers.get(tx, RequestId("none"))


def test_runs_whose_request_ended_without_them_are_unwanted(world: World) -> None:
    """A cancelled request's running executor is named for the supervisor to stop, and no longer once it ended."""
    request, run = world.running()
    with world.ledger.read() as tx:
        assert runs.unwanted(tx) == []
    world.cancel(request.id)
    assert world.state(request.id) is State.CANCELLED
    with world.ledger.read() as tx:
        assert [found.id for found in runs.unwanted(tx)] == [run.id]


def test_a_ledger_in_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    """A folder that is a file, as after a wrong path, is said with a hint instead of a traceback."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(Unavailable, match="cannot be made"):
        Ledger(tmp_path / "file" / "ledger.db").create()


def test_a_window_outlives_the_receiver_that_worked_it_out(world: World) -> None:
    """A receiver that has just begun leaves the window as it is, unless the server is another one; one that is empty is written."""
    window = ({"from": "a", "to": "b"},)
    status = WalStatus(SLIPS, "local", SystemId("7"), 1, Lsn(3), Lsn(2), Lsn(4), (), NOON)

    def then(**how: bool) -> tuple[dict[str, str], ...]:
        wal_status.put(tx, status, **how)
        [found] = wal_status.list(tx, SLIPS)
        return found.window

    with world.ledger.transaction() as tx:
        assert then(window_known=False) == ()
        wal_status.put(tx, replace(status, window=window))
        assert then(window_known=False) == window
        assert then() == ()
        wal_status.put(tx, replace(status, window=window, system_id=SystemId("6")))
        assert then(window_known=False) == ()


def test_a_server_that_is_away_is_not_forgotten(world: World) -> None:
    """Since when the server does not answer, and when it last said where it stands, outlive a receiver that never reached it."""
    later = NOON + timedelta(minutes=5)
    status = WalStatus(SLIPS, "local", SystemId("7"), 1, Lsn(3), Lsn(2), Lsn(4), (), NOON, server_at=NOON)
    with world.ledger.transaction() as tx:
        wal_status.put(tx, status)
        wal_status.put_away(tx, SLIPS, later)
        wal_status.put_away(tx, SLIPS, later + timedelta(minutes=1))
        assert wal_status.list(tx, SLIPS) == [replace(status, away_since=later)]
        wal_status.put(tx, replace(status, server_at=None, at=later, away_since=later))
        assert wal_status.list(tx, SLIPS) == [replace(status, at=later, away_since=later)]
        wal_status.put(tx, replace(status, server_at=later, at=later))
        wal_status.put(tx, replace(status, server_at=later, at=later))
        assert wal_status.list(tx, SLIPS)[0].away_since is None
