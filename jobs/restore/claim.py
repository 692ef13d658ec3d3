"""Claim: look again at the dump and at the server, and take the approved request, once; or take up what a crash interrupted."""

from __future__ import annotations

from bot.config import Config
from bot.errors import Corruption, Usage
from bot.model.destinations import EmptyTables, NewDatabase, NewSchema
from bot.model.holding import ObservedServer
from bot.model.plans import Plan
from bot.postgres.archive_choice import missing
from bot.postgres.restore_place import Place, look_at_place, obstacles, require_primary, row_obstacles
from bot.postgres.transport import require_verified
from bot.repository.cluster import ClusterRepository
from jobs.claimed import claim_request
from jobs.context import JobContext
from jobs.elsewhere import open_copies
from jobs.restore.contents import read_contents
from jobs.restore.work import RestoreWork

DAMAGED = "damaged"
"""Stands for the hash of a manifest that is there and cannot be trusted."""


def claim(context: JobContext) -> RestoreWork:
    """Take the run's request. Raises like `claim_request`."""
    context.phase("claim")
    require_verified(context.config.cluster(context.run.cluster))
    return RestoreWork(context, claim_request(context, observe))


def observe(config: Config, plan: Plan) -> ObservedServer:
    """Return what is true now of the dump, the server and the destination.

    Raises:
        Unavailable: repository or server cannot be asked now; nothing is known then.
    """
    steps = plan.steps
    cluster = config.cluster(steps.cluster)
    repository = open_copies(config, steps).cluster
    place = look_at_place(cluster.restoring, cluster.restoring, cluster.data_directory)
    require_primary(place)
    manifests = _manifests(plan, repository)
    in_the_way = _in_the_way(cluster.restoring, plan, place)
    if all(manifests.get(link.backup) == link.manifest_sha256 for link in steps.chain):
        in_the_way += _lacking(cluster.restoring, plan, repository, place)
    return ObservedServer(
        manifests=manifests,
        disk_free=place.disk_free,
        policy_version=cluster.policy.version,
        system_id=place.system_id,
        server_version=place.version_num,
        obstacles=tuple(in_the_way),
    )


def _manifests(plan: Plan, repository: ClusterRepository) -> dict[str, str]:
    found: dict[str, str] = {}
    for link in plan.steps.chain:
        try:
            found[link.backup] = repository.manifest(link.backup).sha256
        except Usage:
            continue
        except Corruption:
            found[link.backup] = DAMAGED
    return found


def _in_the_way(dsn: str, plan: Plan, place: Place) -> list[str]:
    destination = plan.steps.destination
    if isinstance(destination, EmptyTables):
        return []  # what the tables say is looked at with the dump in hand, in `_lacking`
    assert isinstance(destination, NewDatabase | NewSchema)
    try:
        return list(obstacles(dsn, place, destination))
    except Usage as error:
        return [error.message]


def _lacking(dsn: str, plan: Plan, repository: ClusterRepository, place: Place) -> list[str]:
    """Say which roles went since the plan was made, and which tables are not empty any more: both may change while it waits."""
    manifest = repository.manifest(plan.steps.chain[0].backup)
    contents = read_contents(repository, manifest, plan.steps.restoration)
    if isinstance(plan.steps.destination, EmptyTables):
        return row_obstacles(dsn, place, plan.steps.destination, contents.choice.entries)
    lacking = missing(contents.choice.roles(), place.roles)
    return [f"The server lacks roles that the dump needs by now: {', '.join(lacking[:8])}."] if lacking else []
