"""A repository in a folder with a ledger beside it and a history of days, for the jobs that look after what is kept."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bot import desk
from bot.config import load
from bot.job import job_function
from bot.ledger import Ledger
from bot.model.backups import BackupSummary
from bot.model.ids import BackupId, stamp
from bot.model.runs import Job, Run
from bot.model.wal import Lsn
from bot.repository.cluster import ClusterRepository
from bot.repository.keys.file import create_key_file
from bot.repository.open import open_repository
from jobs.context import JobContext
from tests.unit.repository.sample import NAME, SEGMENT_BYTES, SMALL_CUT, SYSTEM, data_directory, write_archives

START = datetime(2026, 1, 1, 2, 0, tzinfo=UTC)
SEGMENTS_A_DAY = 2


def day(number: float) -> datetime:
    """Return 02:00 of a day, the first being 0."""
    return START + timedelta(days=number)


class World:
    """One cluster, one repository, a ledger, and a clock that stands where it is put."""

    def __init__(self, home: Path, extra: str = "", place: str = "") -> None:
        """Make it in `home`; `place` are the repository's lines where it is no folder there."""
        self.home = home
        place = place or f'url = "file://{home}/repository"'
        create_key_file(home / "key")
        self.path = home / "pitstop.toml"
        self.path.write_text(
            f'ledger = "{home}/ledger.db"\nspool = "{home}/spool"\n'
            f"[repositories.local]\n{place}\n"
            f'[encryption]\nkey = "file:{home}/key"\n'
            f'[clusters.{NAME}]\ndsn = "host=/nowhere"\nshared_disk = true\n{extra}\n',
            "utf-8",
        )
        self.config, _ = load(self.path)
        self.ledger = Ledger(self.config.ledger)
        self.ledger.create()
        self.now = day(0)
        settings = self.config.repositories["local"]
        self.opened = open_repository("local", settings, self.config.encryption, create=True)
        self.cluster: ClusterRepository = self.opened.cluster(NAME, SYSTEM, create=True, segment_bytes=SEGMENT_BYTES)

    def back_up(self, number: int, kind: str = "base", *, content: bool = False, **given: Any) -> BackupSummary:
        """Write a backup of a day; its WAL begins in the first segment of that day."""
        backup = BackupId(f"{stamp(day(number))}-{kind}-{number:04x}")
        start = number * SEGMENTS_A_DAY * SEGMENT_BYTES + 40
        with self.cluster.begin(backup, workers=1, cut=SMALL_CUT) as writer:
            if content:
                write_archives(writer, data_directory(number))
            else:
                archive = writer.archive("globals", tar=False)
                archive.write(b"SELECT 1;\n")
                archive.close()
            return writer.commit(
                {"server_facts": {"version_num": 150018}},
                started_at=day(number),
                finished_at=day(number) + timedelta(minutes=3),
                timeline=1,
                start_lsn=Lsn(start),
                end_lsn=Lsn(start + 200),
                server_version=150018,
                **given,
            )

    def back_up_at(self, at: datetime, number: int, kind: str = "base") -> BackupSummary:
        """Write a small backup of any moment, for those whose clock is the real one; its WAL begins in segment `number`."""
        backup = BackupId(f"{stamp(at)}-{kind}-{number:04x}")
        with self.cluster.begin(backup, workers=1, cut=SMALL_CUT) as writer:
            archive = writer.archive("db-0" if kind == "dump" else kind, tar=False)
            archive.write(b"x" * 100_000)
            archive.close()
            start = number * SEGMENT_BYTES
            return writer.commit(
                {"server_facts": {"version_num": 150018}}, started_at=at, finished_at=at + timedelta(minutes=1),
                timeline=1, start_lsn=Lsn(start + 40), end_lsn=Lsn(start + 400), server_version=150018,
            )  # fmt: skip

    def days(self, until: int, since: int = 0) -> None:
        """Write a base backup and the WAL of each day."""
        for number in range(since, until):
            self.back_up(number)
            for half in range(SEGMENTS_A_DAY):
                self.cluster.wal.put_segment(1, number * SEGMENTS_A_DAY + half, bytes(SEGMENT_BYTES))

    def queue(self, job: Job, **args: Any) -> Run:
        """Queue a run."""
        return desk.queue_run(
            self.ledger, job=job, cluster=NAME, args=args, by="pitstop", at=self.now, entropy=os.urandom(8)
        )

    def context(self, job: Job, **args: Any) -> JobContext:
        """Queue and start a run, and return what its job gets."""
        run = desk.start_run(self.ledger, self.queue(job, **args).id, self.now)
        return JobContext(run, self.config, self.ledger, now=lambda: self.now)

    def run(self, job: Job, **args: Any) -> dict[str, Any]:
        """Execute a job and end its run with what it answered."""
        context = self.context(job, **args)
        try:
            result = job_function(job)(context)
        except BaseException as error:
            context.close()
            desk.fail_run(self.ledger, context.run.id, {"message": str(error)}, self.now)
            raise
        context.close()
        desk.finish_run(self.ledger, context.run.id, result, self.now)
        return result

    def segments(self) -> list[int]:
        """Return the numbers of the stored segments."""
        return self.cluster.wal.inventory().segments.get(1, [])

    def ids(self) -> list[BackupId]:
        """Return what the repository lists."""
        return [backup.id for backup in self.cluster.backups()]


class Two(World):
    """A world with a second repository, and if asked a third."""

    def __init__(self, home: Path, *, third: bool = False) -> None:
        names = ["offsite", *(["third"] if third else [])]
        super().__init__(home, "".join(f'[repositories.{name}]\nurl = "file://{home}/{name}"\n' for name in names))

    def at(self, name: str) -> ClusterRepository:
        """Open what a repository holds of the cluster."""
        return open_repository(name, self.config.repositories[name], self.config.encryption).cluster(NAME, SYSTEM)

    def folder(self, name: str) -> Path:
        """Return a repository's folder."""
        return self.home / ("repository" if name == "local" else name)

    def tree(self, name: str) -> dict[str, bytes]:
        """Return every object of a repository but its data keys."""
        root = self.folder(name)
        found = (path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))
        return {str(path.relative_to(root)): path.read_bytes() for path in found if "keys" not in path.parts}

    def of(self, result: dict[str, Any], name: str) -> dict[str, Any]:
        """Return what a result says of one repository."""
        [found] = [one for one in result["repositories"] if one["repository"] == name]
        return dict(found)
