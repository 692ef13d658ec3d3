"""Prove a base backup and its WAL: restore both into a scratch server, replay to the target, and look at everything."""

from __future__ import annotations

import threading
import time

from bot.errors import Failed
from bot.host.accounts import Account
from bot.model.backups import BackupSummary
from bot.model.drills import Question, judge_expected
from bot.model.timelines import lineage
from bot.model.wal import Lsn, parse_history
from bot.postgres.binaries import find
from bot.postgres.isolated import IsolatedServer, prepare, system_python
from bot.postgres.isolated_folder import ServerFolder
from bot.postgres.isolated_settings import RecoverySettings
from bot.postgres.latest import Latest
from bot.postgres.page_checksums import check_pages
from bot.postgres.recovery import RecoveryProof, recover
from bot.postgres.wal_service import WalService
from bot.repository.manifest import Manifest
from bot.repository.unpack import unpack
from jobs.accounts import copy_account
from jobs.drill.aim import Aim, aim
from jobs.drill.examine import Examination, bounds_of
from jobs.drill.history import History, live_latest
from jobs.drill.objects import read_manifest
from jobs.drill.scratch import room_needed, scratch
from jobs.drill.work import Answers, Drill
from jobs.pitr.stock import Stock
from jobs.pitr.wal import ServedWal

_STALL_AFTER_S = 600.0


def prove_base(drill: Drill, backup: BackupSummary, history: History, answers: Answers) -> None:
    """Restore `backup` with its WAL and answer the checklist. Slow; damage is raised, everything else is an answer.

    Raises:
        Cancelled: the run was asked to stop.
        Corruption: an object, or WAL on the way, is damaged or missing.
        Refused: too little disk. Unavailable, Failed: it could not be done here.
    """
    manifest = read_manifest(drill, backup)
    expected = live_latest(drill)
    aimed = aim(drill, backup, answers)
    if aimed is None:
        answers.say(Question.DONE, False, "not restored: its own WAL is missing")
        return
    wal_bytes = aimed.target.lsn - manifest.start_lsn
    with scratch(drill.context, "base", room_needed(manifest.bytes_read, wal_bytes)) as folder:
        account = copy_account(drill.config, manifest.body["server_facts"])
        server, proof = _recover(drill, manifest, aimed, folder, account, answers)
        answers.say(
            Question.TARGET,
            True,
            f"replay ended before {aimed.target.lsn} on timeline {aimed.target.timeline}, at {proof.reached_lsn}",
        )
        _examine(drill, server, aimed, history, expected, answers)
        drill.context.phase("base: pages")
        server.stop()
        sound, said = check_pages(server)
        answers.damaged |= sound is False
        answers.say(Question.PAGES, sound, said)


def _recover(
    drill: Drill, manifest: Manifest, aimed: Aim, folder: ServerFolder, account: Account, answers: Answers
) -> tuple[IsolatedServer, RecoveryProof]:
    """Fetch, prepare, and replay to exactly the target; the time until the server takes connections is the restore's."""
    context, began = drill.context, time.monotonic()
    _fetch(drill, manifest, folder, account)
    answers.whole(manifest)
    holdings = drill.holdings
    histories = holdings.source.histories()
    forks = {timeline: parse_history(data.decode()) for timeline, data in histories.items()}
    stock = Stock(holdings.places[manifest.id], holdings.source, lineage(aimed.target.timeline, forks), histories)
    served = ServedWal(stock, aimed.target)
    total = aimed.target.lsn - manifest.start_lsn
    with WalService(
        folder.socket_dir(account), served.fetch, segment_bytes=manifest.segment_bytes, python=system_python()
    ) as wal:
        context.phase("base: prepare")
        context.check_cancelled()
        server = prepare(
            folder,
            facts=manifest.body["server_facts"],
            binaries=find(manifest.server_version // 10000, extra=drill.config.postgres.bin_directories),
            account=account,
            recovery=RecoverySettings(aimed.target, wal.restore_command),
        )
        context.phase("base: recover")

        def on_progress(position: Lsn) -> None:
            context.progress(min(total, max(0, position - manifest.start_lsn)), total)

        proof = recover(
            server,
            target=aimed.target,
            on_progress=on_progress,
            stall_after_s=_STALL_AFTER_S,
            wal=wal,
            segment_bytes=manifest.segment_bytes,
            check=context.check_cancelled,
        )
    answers.seconds = time.monotonic() - began
    answers.bytes, answers.wal_bytes = manifest.bytes_read, total
    answers.target = aimed.target.as_json()
    return server, proof


def _fetch(drill: Drill, manifest: Manifest, folder: ServerFolder, account: Account) -> None:
    context = drill.context
    context.phase("base: fetch")
    total = sum(archive.bytes_read for archive in manifest.archives if archive.index is not None)
    lock, done = threading.Lock(), [0]

    def on_bytes(count: int) -> None:
        context.check_cancelled()
        with lock:
            done[0] += count
            context.progress(done[0], total)

    unpack(
        drill.holdings.places[manifest.id],
        manifest,
        folder.data,
        tablespace_dir=folder.tablespace,
        workers=drill.config.restore.workers or None,
        on_bytes=on_bytes,
        owner=None if account.is_current else (account.uid, account.gid),
    )


def _examine(
    drill: Drill, server: IsolatedServer, aimed: Aim, history: History, expected: dict[str, Latest], answers: Answers
) -> None:
    look = Examination(drill, server, answers, "base")
    look.canaries(aimed.canaries)
    look.latest(expected)
    counts = look.count()
    look.tables(counts, history.tables)
    answers.add(judge_expected(counts, history.baselines, bounds_of(drill)))
    look.keys()
    look.indexes(deep=True)
    look.checks()
    if not server.running:
        raise Failed("The restored server died while it was looked at.", code="server-gone")
