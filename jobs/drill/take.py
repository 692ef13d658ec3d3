"""The DRILL job: one backup after another is restored, looked at, and reported; damage is a result."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from bot.errors import Corruption, PitstopError
from bot.model.backups import BackupSummary
from bot.model.drills import Proof, Question
from bot.model.old_backups import names_old_backup
from jobs.context import JobContext
from jobs.drill.base import prove_base
from jobs.drill.choose import Chosen, choose, judge_newest
from jobs.drill.dump import prove_dump, stored
from jobs.drill.history import history_of, judge_size_of
from jobs.drill.objects import is_of
from jobs.drill.old_file import prove_old
from jobs.drill.report import record, result
from jobs.drill.scratch import remove_leftovers
from jobs.drill.work import Answers, Drill
from jobs.plan.holdings import open_holdings


def run(context: JobContext) -> dict[str, Any]:
    """Prove the newest base backup with its WAL and the newest dump, each in a scratch server; or the run's `backup` alone.

    That may be the file of an old backup too, which is read where it lies and not imported.

    1. Clear away what a drill that was killed left.
    2. Choose: the exact newest, damaged or not.
    3. Of each: restore it, answer the checklist, remove the scratch server.
    4. Report: events beside the backup, the list renewed, the result.

    {"ok", "damaged", "proofs": [see `Proof.as_json`], "seconds", "warnings"}

    A backup that fails is a result, not an error, and the others are still proved.

    Raises:
        Usage: there is no such backup, or none at all.
        Unavailable: no repository could be read; nothing was proved either way.
    """
    began = time.monotonic()
    context.phase("prepare")
    remove_leftovers(context.config, context.run.cluster)
    wanted = context.run.args.get("backup")
    if wanted is not None and names_old_backup(wanted):
        return result([prove_old(context, wanted)], [], time.monotonic() - began)
    holdings = open_holdings(context.config, context.ledger, context.run.cluster)
    drill = Drill(context, holdings)
    proofs, warnings = list[Proof](), list[str]()
    for chosen in choose(holdings, drill.cluster.databases, wanted):
        proof = _prove(drill, chosen, proofs, named=wanted not in {None, "latest"})
        warnings += record(drill, chosen.backup, proof)
        proofs.append(proof)
    return result(proofs, warnings, time.monotonic() - began)


def _prove(drill: Drill, chosen: Chosen, before: list[Proof], *, named: bool) -> Proof:
    """Answer the checklist for one backup; whatever goes wrong, a proof comes back, unless the run was asked to stop."""
    backup = chosen.backup
    answers = Answers(backup, drill.repository(backup).repository.name)
    since = len(drill.context.phases())
    newest = judge_newest(drill.context.ledger, drill.holdings, chosen)
    answers.newest = newest.ok
    # Who names an older one knows; it is told, and never called the newest.
    answers.add(replace(newest, ok=newest.ok or None) if named else newest, judge_size_of(drill, backup))
    try:
        _by_kind(drill, backup, before, answers)
    except Corruption as error:
        answers.damage(error, own=is_of(error, backup))
    except PitstopError as error:
        answers.say(Question.DONE, False, f"{error.message} {error.hint}".strip())
    return answers.proof(drill, since)


def _by_kind(drill: Drill, backup: BackupSummary, before: list[Proof], answers: Answers) -> None:
    history = history_of(drill, backup)
    if backup.damaged:
        raise Corruption(f"It is known to be damaged: {backup.damaged}", code="known-damaged")
    if backup.kind == "dump":
        base = next((proof for proof in before if proof.kind == "base" and proof.counts), None)
        prove_dump(drill, stored(drill, backup), history, base, answers)
    else:
        prove_base(drill, backup, history, answers)
