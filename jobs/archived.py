"""Backups in an archive (Glacier): what a plan says of them, and fetching them back once that was approved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from bot.config import RepositoryConfig
from bot.errors import Unavailable
from bot.model.amounts import size, span
from bot.model.ids import BackupId
from bot.model.plans import Facts
from bot.repository.archived import Archived, archived, retrieve
from bot.repository.cluster import ClusterRepository
from jobs.context import JobContext

LOOK_EVERY_S = 300.0
_HOURS = {
    ("s3", "bulk"): (5.0, 12.0),
    ("s3", "standard"): (3.0, 5.0),
    ("s3", "expedited"): (1 / 60, 5 / 60),
    ("azure", "bulk"): (1.0, 15.0),
    ("azure", "standard"): (1.0, 15.0),
    ("azure", "expedited"): (0.25, 1.0),
}
"""How long retrievals take, in hours: the storages' own words."""


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What is said of a backup's archived objects: one sentence, and the seconds until all are back (None: not asked for)."""

    sentence: str
    seconds: float | None


def said_of(settings: RepositoryConfig, name: str, what: Archived) -> Retrieval | None:
    """Return what a plan says of archived objects, or None where there are none. Pure."""
    if not what.objects:
        return None
    objects = "object" if len(what.objects) == 1 else "objects"
    place = "Glacier" if settings.scheme == "s3" else "the archive tier"
    told = f"{len(what.objects)} {objects} of {size(what.size)} in {name} are in {place} and have to be retrieved first"
    if settings.retrieval is None and len(what.asked) < len(what.objects):
        return Retrieval(f"{told}: nobody asks for them until repositories.{name}.retrieval is set.", None)
    least, most = _HOURS[settings.scheme, settings.retrieval or "standard"]
    how = "it is on its way" if len(what.asked) == len(what.objects) else "asked for once this is approved"
    speed = f"{settings.retrieval or 'standard'} retrieval takes {span(timedelta(hours=least))} to {span(timedelta(hours=most))}"
    return Retrieval(f"{told}: {speed}, {how}. It costs money.", most * 3600)


def with_retrieval(
    facts: Facts,
    settings: RepositoryConfig,
    cluster: ClusterRepository,
    backup: BackupId,
    archives: Iterable[str] | None = None,
) -> Facts:
    """Add to a plan's facts what has to be retrieved of its backup, and how long that takes: hours, to which a recovery that was
    never timed adds little, and no time at all where nobody asks for it.
    """
    found = said_of(settings, cluster.repository.name, archived(cluster, backup, archives))
    if found is None:
        return facts
    seconds = None if found.seconds is None else found.seconds + (facts.estimate_s or 0)
    waits = "with the retrieval" if seconds is not None else "until somebody retrieves what is archived"
    basis = f"{waits}; {facts.basis}" if facts.basis else waits
    return replace(facts, estimate_s=seconds, basis=basis, warnings=(found.sentence, *facts.warnings))


def wake(
    context: JobContext,
    settings: RepositoryConfig,
    cluster: ClusterRepository,
    backup: BackupId,
    archives: Iterable[str] | None = None,
    *,
    look_every_s: float = LOOK_EVERY_S,
) -> None:
    """Ask for what is archived of an approved request's backup, and wait until all of it can be read. Takes hours then.

    A run that was killed meanwhile goes on waiting when it is taken up again: asking twice changes nothing.

    Raises:
        Cancelled: the run was asked to stop.
        Unavailable: `storage-archived`, retrieval is not configured; `storage-forbidden`; the storage is away.
    """
    chosen = None if archives is None else tuple(archives)
    found = archived(cluster, backup, chosen)
    if not found.objects:
        return
    context.phase("retrieve")
    said = said_of(settings, cluster.repository.name, found)
    assert said is not None, "there are some"
    if said.seconds is None:
        raise Unavailable(
            said.sentence,
            hint=f'Set [repositories.{cluster.repository.name}] retrieval = "bulk" (or standard, expedited): it costs money.'
            " Then ask again.",
            code="storage-archived",
        )
    total = found.size
    retrieve(cluster, found)
    context.note(said.sentence)
    while found.objects:
        context.progress(total - found.size, total)
        context.wait_cancelled(look_every_s)
        context.check_cancelled()
        found = archived(cluster, backup, chosen)
    context.progress(total, total)
