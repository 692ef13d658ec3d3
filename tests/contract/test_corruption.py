"""Any corruption of any stored object is found at restore and by scrub, and the object is named: seeded, counted, none missed."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot import desk
from bot.errors import Corruption, PitstopError
from bot.model.restores import Wanted
from bot.model.runs import Job
from bot.model.targets import ResolvedTarget
from bot.model.timelines import lineage
from bot.model.wal import Lsn, history_name, parse_history, segment_name
from bot.repository import layout
from bot.repository.unpack import unpack
from jobs.context import JobContext
from jobs.pitr.stock import Stock
from jobs.pitr.wal import ServedWal
from jobs.plan.holdings import Holdings, open_holdings
from jobs.restore.choose import choose
from jobs.scrub import run as scrub
from tests.contract.corruption import (
    DUMP,
    FIRST_SEGMENT,
    KINDS,
    LAST_SEGMENT,
    PIECE_END,
    Case,
    Ground,
    build,
    table,
)
from tests.unit.repository.sample import NAME, SECOND, SEGMENT_BYTES

SEED = int(os.environ.get("PITSTOP_SEED", "20261124"))
TARGET = ResolvedTarget(2, Lsn((LAST_SEGMENT + 1) * SEGMENT_BYTES + PIECE_END - 100), record_exists=True)
NOT_READ = {"summary"}
"""What no restore needs: a summary says what its manifest says, and is made anew from it. One that can be read and says something
else stops the restore: nobody can tell which of the two is right."""
UNNEEDED = {("event", "delete")}
SAYS_NOTHING_BY_ITS_ABSENCE = {"summary", "event", "piece"}
"""What scrub cannot miss: a summary is made anew; events are optional; how far pieces reached is known to the receiver, which
the WAL check asks. The runbook and its script, which are plain text, are compared and written anew with every backup."""


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """The repository to spoil, in memory where there is a file system for that: 10,000 times nothing has to reach a disk."""
    memory = Path("/dev/shm")
    home = Path(tempfile.mkdtemp(prefix="ps-corruption-", dir=memory if os.access(memory, os.W_OK) else None))
    yield build(home)
    shutil.rmtree(home)


class Hurried(JobContext):
    """A context in which waiting takes no time: WAL that is missing here is not on its way."""

    def wait_cancelled(self, timeout_s: float) -> bool:
        """Return at once."""
        return self.cancelled()


def scrubbed(ground: Ground) -> set[str]:
    """Scrub everything as the job does, and return the paths it calls damaged."""
    ground.world.now += timedelta(seconds=1)  # ids of runs begin with the second, and have to differ ten thousand times
    context = ground.world.context(Job.SCRUB, all=True)
    hurried = Hurried(context.run, context.config, context.ledger, context.now)
    try:
        found = {damage["path"] for damage in scrub(hurried)["damaged"]}
    finally:
        hurried.close()
        desk.finish_run(ground.world.ledger, context.run.id, {}, ground.world.now)
    return found


def restored(ground: Ground) -> str:
    """Restore the base backup with all WAL to the target, and the dump, as the jobs do; return what stopped it, or ""."""
    place = Path(tempfile.mkdtemp(dir=ground.world.home))
    try:
        holdings = open_holdings(ground.world.config, None, NAME)
        restore_base(holdings, place)
        serve_all(holdings)
        chosen = choose(ground.world.config, NAME, Wanted(DUMP))
        manifest = chosen.manifest()
        for archive in manifest.archives:
            for _ in chosen.repository.read_archive(manifest, archive.name):
                pass
    except PitstopError as error:
        return error.message
    finally:
        shutil.rmtree(place)
    return ""


def restore_base(holdings: Holdings, place: Path) -> None:
    """Restore the files of the second base backup, the one a plan was made for."""
    listed = {backup.id: backup for backup in holdings.backups}
    backup = listed.get(SECOND)
    manifest = holdings.repositories[0].manifest(SECOND)
    if backup is None or backup.damaged or manifest.sha256 != backup.manifest_sha256:
        raise Corruption(f"{SECOND}: {backup.damaged if backup else 'not listed'}")
    unpack(holdings.repositories[0], manifest, place / "data", tablespace_dir=lambda oid: place / str(oid), workers=1)


def serve_all(holdings: Holdings) -> None:
    """Serve every file of the line of descent to the target, as a recovering server asks for them."""
    histories = holdings.source.histories()
    line = lineage(TARGET.timeline, {t: parse_history(data.decode()) for t, data in histories.items()})
    served = ServedWal(Stock(holdings.repositories[0], holdings.source, line, histories), TARGET)
    for number in range(FIRST_SEGMENT, LAST_SEGMENT + 2):
        served.fetch(segment_name(line.file_timeline(number, SEGMENT_BYTES), number, SEGMENT_BYTES))
    served.fetch(history_name(2))


def named(message: str, case: Case, ground: Ground, touched: set[str]) -> bool:
    """Say whether what stopped a restore names the object; what is gone from the WAL by its file's name, else by its path."""
    path = ground.kinds[case.kind]
    if case.operation == "delete" and case.kind in {"segment", "piece", "history"}:
        return path.split("/")[4].removesuffix(layout.PARTIAL) in message
    if case.kind in {"manifest", "summary"} and case.operation in {"delete", "same keys"}:
        return SECOND in message
    if case.kind == "wrapped key":
        return any(key.rsplit("/", 1)[0] in message for key in touched)
    return any(one in message for one in touched)


def misses(ground: Ground, case: Case) -> list[str]:
    """Do one corruption, and return in words what was not found that should have been, or the other way round."""
    wrong = []
    with ground.spoiled(case, random.Random(f"{SEED}:{case.number}")) as touched:
        message = restored(ground)
        if (case.kind, case.operation) in UNNEEDED or (case.kind in NOT_READ and case.operation != "same keys"):
            if message:
                wrong.append(f"a restore ended by what it does not need: {message}")
        elif not named(message, case, ground, touched):
            wrong.append(f"a restore says {message!r}")
        found = scrubbed(ground)
        if case.operation == "delete" and case.kind in SAYS_NOTHING_BY_ITS_ABSENCE:
            allowed: set[str] = set()
            ok = not found
        elif (case.kind, case.operation) == ("manifest", "same keys"):
            allowed = touched
            ok = bool(found) and all(SECOND in one for one in found)
        elif case.kind in {"cluster.json", "wrapped key"}:
            allowed = touched
            ok = bool(found & touched) and found <= touched
        else:
            allowed = touched
            ok = found == touched
        if not ok:
            wrong.append(f"scrub names {sorted(found)} instead of {sorted(allowed)}")
    return wrong


def sweep(ground: Ground, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Do `count` corruptions, print the table, and fail with everything needed to do one again."""
    done, missed, words = [], [], []
    for number in range(count):
        case = ground.case(number)
        done.append(case)
        wrong = misses(ground, case)
        if wrong:
            missed.append(case)
            words.append(f"{case}: {'; '.join(wrong)}")
    with capsys.disabled():
        print(f"\n{table(done, missed)}")
    assert not words, f"seed {SEED} (PITSTOP_SEED), " + "\n".join(words[:40])


def test_the_ground_is_sound(ground: Ground) -> None:
    """Unspoiled, everything is restored, scrub finds nothing, and each kind is an object of its own."""
    assert restored(ground) == ""
    assert scrubbed(ground) == set()
    assert all((ground.root / path).is_file() for path in ground.kinds.values())
    assert len(set(ground.kinds.values())) == len(KINDS)


def test_500_corruptions(ground: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    """Each cell of object kind, operation and region at least once: a restore stops and scrub tells, both naming the object."""
    sweep(ground, 500, capsys)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_10000_corruptions(ground: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    """The same ten thousand times."""
    sweep(ground, 10_000, capsys)
