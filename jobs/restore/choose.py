"""Choose the backup a restore starts from: by its id, the newest, or the newest that a drill proved."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from bot.config import Config
from bot.errors import Corruption, PitstopError, Unavailable, Usage
from bot.model.backups import BackupSummary
from bot.model.ids import ClusterName, SystemId, is_backup_id
from bot.model.restores import LATEST, VERIFIED, Wanted
from bot.model.typed import quoted
from bot.repository.cluster import ClusterRepository
from bot.repository.manifest import Manifest
from bot.repository.open import open_repository
from jobs.elsewhere import Elsewhere

_LOOKED_INTO = 60
"""How many dumps are opened, newest first, for one that holds the database."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A backup, and the repository it is read from; `away` says in sentences which others could not be, or are passed over.

    `elsewhere` says what was damaged there, and was read from another one.
    """

    backup: BackupSummary
    repository: ClusterRepository
    away: tuple[str, ...] = ()
    elsewhere: Elsewhere = field(default_factory=Elsewhere)

    def manifest(self) -> Manifest:
        """Read its manifest; it must be the one its summary speaks of.

        Raises:
            Corruption: it is not, or it is damaged.
        """
        manifest = self.repository.manifest(self.backup.id)
        if manifest.sha256 != self.backup.manifest_sha256:
            raise Corruption(
                f"The manifest of {self.backup.id} is not the one its summary was made for.",
                hint=f"Is the repository sound? `pitstop list {self.backup.cluster}` shows other backups.",
                code="manifest-differs",
            )
        return manifest


def choose(config: Config, cluster: ClusterName, wanted: Wanted) -> Chosen:
    """Return the backup that `wanted` names, whichever system of the cluster's name it is of: dumps outlive upgrades.

    `latest` and `verified` choose among sound dumps of everything, with a database also among those that hold it whole; an id
    may name a dump of a part, and a base backup too.

    Raises:
        Usage: `unknown-backup` with the nearest ids, `no-dump`, `none-verified`. Corruption: it is damaged.
        Unavailable: no repository can be reached.
    """
    found, away = _everything(config, cluster)
    if wanted.backup in {LATEST, VERIFIED}:
        return _newest(found, away, cluster, wanted)
    same = [(backup, repository) for backup, repository in found if backup.id == wanted.backup]
    if not same:
        raise _unknown(wanted.backup, found, away, cluster)
    sound = [one for one in same if not one[0].damaged]
    if not sound:
        for backup, repository in same:
            repository.manifest(backup.id)  # a data key that does not open says what it takes along
        raise Corruption(
            f"The backup {wanted.backup} is damaged: {same[0][0].damaged}",
            hint=f"`pitstop list {cluster}` shows sound ones.",
            code="backup-damaged",
        )
    return _beside(Chosen(*sound[0], away), found)


def _beside(chosen: Chosen, found: list[tuple[BackupSummary, ClusterRepository]]) -> Chosen:
    """Put the other holders of the chosen backup beside it, and say which nearer copies are passed over as damaged."""
    same = [(backup, repository) for backup, repository in found if backup.id == chosen.backup.id]
    nearer = same[: [repository for _, repository in same].index(chosen.repository)]
    passed = [f"The copy in {r.repository.name} is passed over: {b.damaged}" for b, r in nearer if b.damaged]
    elsewhere = Elsewhere()
    others = [repository for backup, repository in same if repository is not chosen.repository and not backup.damaged]
    cluster = elsewhere.watch(chosen.repository, others)
    return replace(chosen, repository=cluster, away=(*passed, *chosen.away), elsewhere=elsewhere)


def _everything(
    config: Config, cluster: ClusterName
) -> tuple[list[tuple[BackupSummary, ClusterRepository]], tuple[str, ...]]:
    found: list[tuple[BackupSummary, ClusterRepository]] = []
    problems: list[PitstopError] = []
    for name, settings in config.nearest_repositories(cluster).items():
        try:
            opened = open_repository(name, settings, config.encryption)
            for system in opened.systems(cluster):
                repository = opened.cluster(cluster, SystemId(system))
                found += [(backup, repository) for backup in repository.backups()]
        except (Unavailable, Usage) as error:
            problems.append(error)
    if not found and problems:
        raise next((problem for problem in problems if isinstance(problem, Unavailable)), problems[0])
    return found, tuple(problem.message for problem in problems)


def _newest(
    found: list[tuple[BackupSummary, ClusterRepository]], away: tuple[str, ...], cluster: ClusterName, wanted: Wanted
) -> Chosen:
    verified, database = wanted.backup == VERIFIED, wanted.database
    sound = [(backup, repository) for backup, repository in found if backup.kind == "dump" and not backup.damaged]
    # What holds a part comes by its id alone: whoever wants the newest wants everything in it.
    dumps = [one for one in sound if not one[0].partial or (database is not None and one[0].whole_databases)]
    if not dumps:
        part = max((backup.id for backup, _ in sound), default=None)
        there = f" {part} is of a part, or imported: it comes by its id." if part else ""
        raise Usage(
            f"There is no sound dump of {cluster}{' that holds everything' if part else ''}.",
            hint=f"Take one: `pitstop backup dump {cluster}`.{there or ' A base backup is named by its id.'}",
            code="no-dump",
        )
    if verified:
        dumps = [(backup, repository) for backup, repository in dumps if backup.verified_at]
        if not dumps:
            raise Usage(
                f"No drill has proved a dump of {cluster} yet.",
                hint=f"`pitstop verify {cluster}` proves the newest.",
                code="none-verified",
            )
    newest_first = sorted(dumps, key=lambda one: one[0].id, reverse=True)
    if database is not None:
        for backup, repository in newest_first[:_LOOKED_INTO]:
            if any(
                record.get("name") == database for record in repository.manifest(backup.id).body.get("databases", ())
            ):
                return _beside(Chosen(backup, repository, away), found)
    return _beside(Chosen(*newest_first[0], away), found)


def _unknown(
    typed: str, found: list[tuple[BackupSummary, ClusterRepository]], away: tuple[str, ...], cluster: ClusterName
) -> PitstopError:
    if away:
        return Unavailable(
            f"The backup {quoted(typed, 60)} is in no repository that answers: {away[0]}",
            hint="Is the repository back soon?",
            code="unknown-backup",
        )
    near = get_close_matches(typed[:80], sorted({str(backup.id) for backup, _ in found}), n=2, cutoff=0.6)
    form = "" if is_backup_id(typed) else " An id looks like 20261122T023000Z-dump-7f3a."
    return Usage(
        f"There is no backup {quoted(typed, 60)} of {cluster}.",
        hint=f"Did you mean {' or '.join(near)}?" if near else f"`pitstop list {cluster}` shows what there is.{form}",
        code="unknown-backup",
    )
