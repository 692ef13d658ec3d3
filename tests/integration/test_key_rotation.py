"""Keys around a real server: rotated during a running backup, three generations restored, a lost one, and the yearly reminder."""

from __future__ import annotations

import secrets
import time
from datetime import timedelta
from pathlib import Path

import pytest

from bot import desk
from bot.config import load
from bot.ledger import audit, data_keys
from bot.model.ids import BackupId
from bot.model.runs import Job
from bot.repository.examine import examine
from bot.repository.keys.file import KeyFile
from bot.repository.keys.form import encode
from bot.repository.keys.ring import KeyRing, new_key_id
from bot.repository.keys.uses import uses_of
from bot.repository.stores.files import FilesStore
from bot.repository.transfer import copy_key
from jobs.catalogue import renew_catalogue
from jobs.context import utc_now
from tests.commands import Typed
from tests.integration.backups import started, unpack
from tests.integration.test_monitor import WARN, Watch, over
from tests.integration.wal_truth import switch
from tests.jobs import CLUSTER, Installation, install, wait_for
from tests.servers import PlainServerFactory, execute

pytestmark = pytest.mark.pg

AWAY = "host=/nowhere user=nobody"


def reconfigured(here: Installation, keys: list[str], top: str = "", **extra: str) -> Installation:
    """Write the installation's configuration anew with several keys; what is stored stays."""
    server = here.config.cluster(CLUSTER).observe
    made = install(here.home, server, dict(extra), top)
    text = made.config_path.read_text("utf-8")
    listed = ", ".join(f'"{key}"' for key in keys)
    made.config_path.write_text(text.replace(f'key = "file:{here.home}/key"', f"keys = [{listed}]"), "utf-8")
    return Installation(made.home, made.config_path, load(made.config_path)[0], made.ledger)


def test_three_generations(plain_server: PlainServerFactory, tmp_path: Path, server_home: Path, typed: Typed) -> None:
    """A rotation during a running base backup: the backup goes on with its key and is whole, later ones take the new key. After
    two rotations each of three backups is restored, with either key alone, by a script that knows nothing of Pitstop."""
    server = plain_server(16)
    execute(server, "CREATE TABLE t AS SELECT g AS n, repeat(md5(g::text), 8) AS text FROM generate_series(1, 30000) g")
    slow = install(tmp_path / "pitstop", server, {"max_rate_kib": "16384"})
    keys = [f"file:{slow.home}/key", f"file:{slow.home}/second"]
    slow = reconfigured(slow, keys, max_rate_kib="16384")
    assert typed("keys", "init", config=slow.config_path).code == 0
    generations: list[tuple[BackupId, str, int]] = []

    run, process = slow.spawn(Job.BASE_BACKUP)
    wait_for(lambda: any((slow.home / "repository").glob("*/*/volumes/*/base/.*")), what="the copy")
    first = slow.repository_of_all().keys.current()[0]
    done = typed("keys", "rotate", "--json", config=slow.config_path)
    assert done.code == 0, done.out
    assert process.poll() is None, "the backup was still running"
    assert process.wait(120) == 0, (slow.home / f"{run}.log").read_text()
    generations.append((slow.repository().backups()[0].id, first, 30000))

    fast = reconfigured(slow, keys)
    with fast.receiving():  # begins after the first rotation, and goes on with its key through the second
        for number in (2, 3):
            execute(server, f"INSERT INTO t SELECT {30000 * number} + g, 'x' FROM generate_series(1, 1000) g")
            made = BackupId(str(fast.run(Job.BASE_BACKUP)["id"]))
            generations.append((made, fast.repository_of_all().keys.current()[0], 30000 + 1000 * (number - 1)))
            if number == 2:
                again = typed("keys", "rotate", "--json", config=fast.config_path)
                assert again.json["repositories"][0]["proof"]["backups"] == 2
        switch(server)
    assert len({key for _, key, _ in generations}) == 3
    uses = uses_of(fast.repository_of_all().store)
    assert {key: [backup for _, backup in uses[key].backups] for _, key, _ in generations} == {
        key: [backup] for backup, key, _ in generations
    }
    listed = typed("keys", "list", "--json", config=fast.config_path).json["keys"]
    assert [(row["key"], row["backups"]) for row in listed] == [(key, 1) for _, key, _ in generations]
    assert all([form["state"] for form in row["forms"]] == ["opens", "opens"] for row in listed)
    assert typed("keys", "check", config=fast.config_path).code == 0
    assert list(examine(fast.repository())) == [], "the bot reads every object of all three"
    for number, (backup, _, rows) in enumerate(generations):
        key = fast.home / ("key", "second")[number % 2]
        home = server_home / f"restored-{number}"
        home.mkdir(mode=0o711)
        data = unpack(fast, server, fast.repository().manifest(backup), home, key=key)
        with started(server, data) as copy:
            [(count,)] = execute(copy, "SELECT count(*) FROM t")
            assert int(str(count)) >= rows, "and what the WAL after it brings"


def test_a_lost_key_says_what_it_takes_along(plain_server: PlainServerFactory, tmp_path: Path, typed: Typed) -> None:
    """With the only key of the first generation gone, list and check name its backups, a restore says how many it takes along,
    nothing is expired, and backups go on under the new key; when it comes back, all is as before."""
    server = plain_server(16)
    here = install(tmp_path / "pitstop", server)
    assert typed("keys", "init", config=here.config_path).code == 0
    old = here.run(Job.BASE_BACKUP)["id"]
    newer = reconfigured(here, [f"file:{here.home}/newer", f"file:{here.home}/key"])
    assert typed("keys", "init", config=newer.config_path).code == 0
    alone = reconfigured(here, [f"file:{here.home}/newer"])
    second = KeyRing(FilesStore(here.home / "repository"), KeyFile(here.home / "newer")).create()
    (here.home / "key").rename(here.home / "kept")

    new = alone.run(Job.BASE_BACKUP)["id"]
    assert [backup for _, backup in uses_of(FilesStore(here.home / "repository"))[second].backups] == [new]
    listed = {
        one["id"]: one["damaged"] for one in typed("list", CLUSTER, "--json", config=alone.config_path).json["backups"]
    }
    assert listed[new] is None
    assert "does not open now" in listed[old]
    checked = typed("keys", "check", config=alone.config_path)
    assert checked.code == 4
    assert "LOST  No key under [encryption] opens the data key" in checked.out
    assert "It takes along 1 backup from" in checked.out
    assert old in checked.out
    words = (
        "restore",
        CLUSTER,
        old,
        "--into-directory",
        str(tmp_path / "copy"),
        "--reason",
        "why",
        "--dry-run",
        "--json",
    )
    refused = typed(*words, config=alone.config_path)
    assert refused.code != 0
    assert "It takes along 1 backup from" in refused.json["error"]["message"]
    assert old in refused.json["error"]["message"]
    kept = typed("expire", CLUSTER, "--json", config=alone.config_path)
    assert kept.code != 0
    assert "It takes along 1 backup" in kept.out
    scrubbed = typed("scrub", CLUSTER, "--all", "--json", config=alone.config_path)
    assert scrubbed.json["damaged"] == []
    assert "It takes along 1 backup" in scrubbed.json["problems"][0]
    assert typed("keys", "rotate", "--json", config=alone.config_path).code == 4

    (here.home / "kept").rename(here.home / "key")
    newer = reconfigured(here, [f"file:{here.home}/newer", f"file:{here.home}/key"])
    again = {
        one["id"]: one["damaged"] for one in typed("list", CLUSTER, "--json", config=newer.config_path).json["backups"]
    }
    assert set(again.values()) == {None}
    assert typed("keys", "rotate", "--rewrap-only", "--json", config=newer.config_path).json["ok"] is True
    assert typed("keys", "check", config=newer.config_path).code == 0


def test_the_reminder_comes_and_goes(tmp_path: Path, typed: Typed) -> None:
    """A repository whose data key is older than a year raises one warning; rotating it ends it, and stands in ledger and audit."""
    here = install(tmp_path / "pitstop", AWAY)
    store = here.home / "repository"
    store.mkdir(mode=0o700)
    begun = int((time.time() - timedelta(days=366).total_seconds()) * 1000).to_bytes(
        6, "big"
    ).hex() + secrets.token_hex(10)
    form = KeyFile(here.home / "key").wrap(begun, secrets.token_bytes(32))
    FilesStore(store).put(f"keys/{begun}/1", [encode(form)])
    renew_catalogue(here.config, here.ledger, CLUSTER)
    watch = Watch(here)
    assert watch.sees("key-age", "local", "") == WARN
    said = typed("keys", "rotate", "--json", config=here.config_path)
    assert said.code == 0, said.out + said.err
    assert over(watch.sees("key-age", "local", ""))
    with here.ledger.read() as tx:
        kept = data_keys.known(tx, "local")
        entries = [entry for entry in audit.entries(tx, subject="local") if entry.action == "keys.rotate"]
        assert audit.verify(tx).intact
    assert [one.key for one in kept] == [begun, said.json["repositories"][0]["data_key"]]
    assert all(one.proved_at and utc_now() - one.proved_at < timedelta(minutes=5) for one in kept)
    assert len(entries) == 1
    assert '"holds":true' in entries[0].detail


def test_a_rotation_that_was_killed_makes_no_second_key(tmp_path: Path, typed: Typed) -> None:
    """Killed after the new data key was stored and before its proof, the same command goes on with that key and says since when;
    then a further one makes another."""
    here = install(tmp_path / "pitstop", AWAY)
    here = reconfigured(here, [f"file:{here.home}/key", f"passphrase:{here.home}/passphrase"])
    assert typed("keys", "init", config=here.config_path).code == 0
    ring = here.repository_of_all().keys
    made, at = new_key_id(ring.ids()), utc_now() - timedelta(hours=3, minutes=20)
    desk.begin_rotation(here.ledger, repository="local", key=made, at=at)
    ring.create(made)  # as far as the killed one came
    said = typed("keys", "rotate", config=here.config_path)
    assert (
        f"a rotation that began 3 h 20 min ago did not come to its end: going on with the data key {made}" in said.err
    )
    assert f"local: the newest data key is {made}." in said.out
    assert typed("keys", "rotate", "--json", config=here.config_path).json["repositories"][0]["made"] is True
    assert len(here.repository_of_all().keys.ids()) == 3


def test_a_rotation_that_was_killed_before_its_key_was_stored(tmp_path: Path, typed: Typed) -> None:
    """What it noted and never stored is no data key: the same command makes one, and nothing is left noted."""
    here = install(tmp_path / "pitstop", AWAY)
    assert typed("keys", "init", config=here.config_path).code == 0
    desk.begin_rotation(here.ledger, repository="local", key=new_key_id(), at=utc_now())
    done = typed("keys", "rotate", "--json", config=here.config_path).json["repositories"][0]
    assert done["made"] is True
    with here.ledger.read() as tx:
        assert data_keys.begun(tx, "local") is None


def test_a_rotation_right_after_two_repositories_were_begun(tmp_path: Path, typed: Typed) -> None:
    """Each repository holds its own first data key and, copied by a sync, the other's: young, and not proved. Rotating makes a new
    one in both, newer than anything there was; and so does rotating again."""
    here = install(tmp_path / "pitstop", AWAY, top=f'[repositories.second]\nurl = "file://{tmp_path}/second"\n')
    assert typed("keys", "init", config=here.config_path).code == 0
    both = [here.repository_of_all(name) for name in ("local", "second")]
    for source, target in (both, both[::-1]):
        for key_id in source.keys.ids():
            copy_key(source, target, key_id)
    known = both[0].keys.ids()
    assert known == both[1].keys.ids()
    assert len(known) == 2
    for _ in range(2):
        said = typed("keys", "rotate", "--json", config=here.config_path)
        assert said.code == 0, said.out + said.err
        newest = {one["repository"]: one["data_key"] for one in said.json["repositories"] if one["made"]}
        assert newest == {repository.name: repository.keys.ids()[-1] for repository in both}
        assert min(newest.values()) > max(known)
        known = list(newest.values())


def test_a_mistyped_passphrase(tmp_path: Path, typed: Typed) -> None:
    """The check fails and says what it is not; rotating, and beginning a further repository, are refused with both ways on; said
    to be meant, it wraps everything."""
    here = install(tmp_path / "pitstop", AWAY)
    keys = [f"file:{here.home}/key", f"passphrase:{here.home}/passphrase"]
    here = reconfigured(here, keys)
    assert typed("keys", "init", config=here.config_path).code == 0
    (here.home / "passphrase").write_text("correct horse battery stapel\n")
    checked = typed("keys", "check", config=here.config_path)
    assert checked.code == 1
    assert f"FAIL  passphrase:{here.home}/passphrase" in checked.out
    assert "is not the passphrase that made these forms in repository local" in checked.out
    assert "WARN" not in checked.out
    assert "--rewrap-only" not in checked.out + checked.err
    begun = typed("keys", "init", config=here.config_path)
    assert "is not the passphrase that made these forms" in begun.out
    assert "--rewrap-only" not in begun.out
    refused = typed("keys", "rotate", "--json", config=here.config_path)
    assert (refused.code, refused.json["error"]["code"]) == (2, "key-changed")
    assert "pitstop keys rotate --key-changed" in refused.json["error"]["hint"]
    further = reconfigured(here, keys, top=f'[repositories.second]\nurl = "file://{tmp_path}/second"\n')
    begun = typed("keys", "init", "--json", config=further.config_path)
    assert (begun.code, begun.json["error"]["code"]) == (2, "key-changed")
    assert not (tmp_path / "second").exists()
    point = next(
        one for one in typed("check", "--json", config=here.config_path).json["points"] if one["code"] == "key-changed"
    )
    assert point["level"] == "fail"
    here = reconfigured(here, keys)
    meant = typed("keys", "rotate", "--key-changed", "--json", config=here.config_path)
    assert meant.code == 0, meant.out
    assert typed("keys", "check", config=here.config_path).code == 0


def test_the_list_names_the_keys(tmp_path: Path, typed: Typed) -> None:
    """Each form names the setting that opens it, form 1 before 2, whatever salt a run took; what nothing opens has an id, which
    is explained."""
    here = install(tmp_path / "pitstop", AWAY)
    keys = [f"file:{here.home}/key", f"passphrase:{here.home}/passphrase"]
    here = reconfigured(here, keys)
    for words in (("init",), ("rotate",)):
        assert typed("keys", *words, config=here.config_path).code == 0
    said = typed("keys", "list", config=here.config_path)
    table = [line.split() for line in said.out.splitlines()[1:] if "passphrase:" in line or "file:" in line]
    assert [row[row.index("yes") - 2 : row.index("yes")] for row in table] == [["1", keys[0]], ["2", keys[1]]] * 2
    assert "id names" not in said.err
    alone = reconfigured(here, keys[:1])
    said = typed("keys", "list", config=alone.config_path)
    assert said.out.count("passphrase, id ") == 2
    assert "a passphrase has one with each salt, so several of them" in said.err


def test_the_list_with_a_key_that_opens_nothing(tmp_path: Path, typed: Typed) -> None:
    """With the wrong key alone, or one that cannot be read, the forms are listed all the same, and the key that opens none of
    them is named with what may be wrong."""
    here = install(tmp_path / "pitstop", AWAY)
    keys = [f"file:{here.home}/key", f"passphrase:{here.home}/passphrase"]
    here = reconfigured(here, keys)
    assert typed("keys", "init", config=here.config_path).code == 0
    typo = reconfigured(here, [f"passphrase:{here.home}/typo"])
    (here.home / "typo").write_text("correct horse battery stapel\n")
    (here.home / "typo").chmod(0o600)
    said = typed("keys", "list", config=typo.config_path)
    assert said.code == 0
    assert "file, id " in said.out
    assert "passphrase, id " in said.out
    assert f"Note: passphrase:{here.home}/typo is not the passphrase that made these forms" in said.err
    assert "Mistyped?" in said.err
    (here.home / "key").chmod(0o644)
    unread = reconfigured(here, keys[:1])
    said = typed("keys", "list", config=unread.config_path)
    assert (said.code, len(said.out.splitlines())) == (0, 3)
    assert (
        f"Note: {keys[0]} opens nothing in local: The key file {here.home}/key in [encryption] can be read by others"
        in said.err
    )


@pytest.mark.parametrize("harm", ["mode", "content"])
def test_a_key_that_cannot_be_read_lacks_no_form(tmp_path: Path, typed: Typed, harm: str) -> None:
    """What is wrong with its file is said once; forms that it may well have are not asked for, by either check."""
    here = install(tmp_path / "pitstop", AWAY)
    here = reconfigured(here, [f"file:{here.home}/key", f"passphrase:{here.home}/passphrase"])
    assert typed("keys", "init", config=here.config_path).code == 0
    if harm == "mode":
        (here.home / "passphrase").chmod(0o644)
    else:
        (here.home / "passphrase").write_text("short\n")
    checked = typed("keys", "check", config=here.config_path)
    assert checked.code == 1
    assert f"FAIL  passphrase:{here.home}/passphrase: " in checked.out
    assert "WARN" not in checked.out
    assert "--rewrap-only" not in checked.out + checked.err
    points = typed("check", "--json", config=here.config_path).json["points"]
    assert not [one for one in points if one["code"] == "forms-missing"]


def test_what_is_to_be_kept(tmp_path: Path, typed: Typed) -> None:
    """With one key file its copy; with a passphrase beside it, that any one opens everything, and how to read it; where what was
    stored before is not wrapped with the new one yet, that it comes first."""
    here = install(tmp_path / "pitstop", AWAY)
    file, passphrase = f"{here.home}/key", f"{here.home}/passphrase"
    said = typed("keys", "init", config=here.config_path).out
    assert said.endswith(
        f"Keep a copy of the key file {file} away from this machine. Without it no backup can ever be read.\n"
    )
    here = reconfigured(here, [f"file:{file}", f"passphrase:{passphrase}"])
    first = typed("keys", "init", config=here.config_path).out
    opens = "one of these 2 keys opens everything; without all of them no backup can ever be read."
    assert "pitstop keys rotate --rewrap-only\nAfter that any " + opens in first
    assert "After that any " + opens in typed("keys", "init", config=here.config_path).out, "still"
    assert typed("keys", "rotate", "--rewrap-only", config=here.config_path).code == 0
    again = typed("keys", "init", config=here.config_path).out
    assert again.splitlines()[-3:] == [
        "Any " + opens,
        f"Keep a copy of the key file {file} away from this machine.",
        f"Read the passphrase and write it down, to be kept away from this machine: sudo cat {passphrase}",
    ]
    assert (here.home / "passphrase").read_text().strip() not in said + first + again


def test_a_lost_passphrase_is_replaced(tmp_path: Path, typed: Typed) -> None:
    """With the key file left, `keys init` makes another passphrase and says the command that wraps everything with it; with that,
    and what the lost one made dropped, all is well."""
    here = install(tmp_path / "pitstop", AWAY)
    here = reconfigured(here, [f"file:{here.home}/key", f"passphrase:{here.home}/passphrase"])
    assert typed("keys", "init", config=here.config_path).code == 0
    (here.home / "passphrase").unlink()
    said = typed("keys", "init", config=here.config_path).out
    command = "pitstop keys rotate --rewrap-only --key-changed"
    assert f"What local holds is not wrapped with all of them yet: {command}\n" in said
    done = typed(*command.split()[1:], "--drop-unused", "--json", config=here.config_path).json["repositories"][0]
    assert (len(done["added"]), len(done["dropped"])) == (1, 1)
    assert typed("keys", "check", config=here.config_path).code == 0
