"""Prove the file of an old backup where it lies, without importing it: decrypted, unzipped, restored into a scratch server."""

from __future__ import annotations

from bot.errors import Corruption, PitstopError
from bot.model.backups import BackupSummary
from bot.model.drills import Proof, Question
from bot.model.ids import BackupId, SystemId
from bot.model.wal import Lsn
from bot.repository.manifest import Archive, Manifest
from jobs.context import JobContext
from jobs.drill.dump import Dump, prove_dump
from jobs.drill.history import History
from jobs.drill.work import Answers, Drill
from jobs.old_backups.archive import Opened, open_archive
from jobs.old_backups.files import list_old, named, settings_of
from jobs.plan.holdings import nothing_held

_UNPACKED = 5
"""How much larger than its file an archive is taken to be, as far as disk is concerned."""


def prove_old(context: JobContext, name: str) -> Proof:
    """Restore the old backup of that name, or path, and answer the checklist; damage is an answer.

    It is in no repository: nothing is recorded beside it, and it is the newest of nothing.

    Raises:
        Usage: `unknown-file`, `wrong-passphrase`, `no-passphrase`, `plain-sql`, `no-old-backups`.
        Cancelled: the run was asked to stop.
    """
    drill = Drill(context, nothing_held(context.run.cluster))
    settings_of(context.config, context.run.cluster)
    file = named(list_old(context.config.cluster(context.run.cluster), {}), name)
    since = len(context.phases())
    context.phase("dump: open")
    answers = Answers(_summary(context, file.path.name, file.bytes), str(file.path.parent))
    answers.say(Question.NEWEST, None, "a file of an older script: it is held against no other")
    answers.say(Question.SIZE, None, f"{file.bytes:,} bytes; it is compared with nothing")
    try:
        opened = open_archive(context, file)
        prove_dump(drill, _dump(context, opened), History(), None, answers)
    except Corruption as error:
        answers.damage(error, own=False)
    except PitstopError as error:
        if error.reason_code in {"wrong-passphrase", "no-passphrase", "plain-sql"}:
            raise
        answers.say(Question.DONE, False, f"{error.message} {error.hint}".strip())
    return answers.proof(drill, since)


def _summary(context: JobContext, name: str, size: int) -> BackupSummary:
    now = context.now()
    nothing = SystemId("")
    return BackupSummary(
        BackupId(name), "dump", context.run.cluster, nothing, now, now, 0, Lsn(0), Lsn(0), size, size, 0, 0, ""
    )


def _dump(context: JobContext, opened: Opened) -> Dump:
    """Return an opened file as a dump of one archive, whose roles nobody recorded."""
    guess = opened.old.bytes * _UNPACKED
    archives = (Archive("db-0", None, None, guess, (), None, None, 0),)
    manifest = Manifest(
        id=BackupId(opened.old.path.name),
        cluster=context.run.cluster,
        system_id=SystemId(""),
        started_at=opened.made_at,
        finished_at=opened.made_at,
        timeline=0,
        start_lsn=Lsn(0),
        end_lsn=Lsn(0),
        server_version=opened.server_version,
        segment_bytes=0,
        codec="",
        piece_bytes=0,
        archives=archives,
        body=opened.body,
    )

    return Dump(manifest, lambda _archive: opened.pieces)
