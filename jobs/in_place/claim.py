"""Claim: look again at the server, and for a restore at the dump, and take the approved request once."""

from __future__ import annotations

from dataclasses import replace

from bot.config import Config
from bot.errors import Conflict
from bot.host.residence import jobs_outlive_us
from bot.model.destinations import InPlace, NewDatabase
from bot.model.holding import ObservedServer
from bot.model.plans import Plan
from bot.model.restores import Restoration
from bot.postgres.maintenance import connect_beside, database_oids
from bot.postgres.restore_place import look_at_place, require_primary
from bot.postgres.swap import refuse_prepared
from bot.postgres.transport import require_verified
from jobs.claimed import claim_request
from jobs.context import JobContext
from jobs.in_place.work import SwapWork
from jobs.restore.claim import observe as observe_restore

ENDS_WITH_THE_BOT = (
    "Pitstop is a container's main process here: a restart would end a swap half way, the application stopped."
)


def claim(context: JobContext) -> SwapWork:
    """Take the run's request. Raises like `claim_request`."""
    context.phase("claim")
    require_verified(context.config.cluster(context.run.cluster))
    return SwapWork(context, claim_request(context, observe))


def observe(config: Config, plan: Plan) -> ObservedServer:
    """Return what is true now of the server, the databases of the swap, and for a restore of the dump.

    Raises:
        Unavailable: repository or server cannot be asked now; nothing is known then.
    """
    steps = plan.steps
    cluster = config.cluster(steps.cluster)
    blocks = tuple(obstacles(cluster.restoring, steps.in_place))
    if isinstance(steps.work, Restoration):
        # A restore in place makes one more database: the name under which the old one is kept must be free, as for a new one.
        beside = replace(plan, steps=replace(steps, destination=NewDatabase(steps.in_place.kept)))
        seen = observe_restore(config, beside)
        return replace(seen, obstacles=(*seen.obstacles, *blocks))
    place = look_at_place(cluster.restoring, cluster.restoring, cluster.data_directory)
    require_primary(place)
    return ObservedServer({}, place.disk_free, cluster.policy.version, place.system_id, place.version_num, blocks)


def obstacles(dsn: str, place: InPlace) -> list[str]:
    """Say in sentences what stands in the way of a swap: other databases than planned, prepared transactions, our own lodging."""
    said = [] if jobs_outlive_us() else [ENDS_WITH_THE_BOT]
    with connect_beside(dsn, place.database, place.incoming, place.kept) as connection:
        there = database_oids(connection)
        if there.get(place.database) != place.oid:
            said.append(f"The database {place.database} is not the one the plan was made for.")
        if place.incoming_oid is not None and there.get(place.incoming) != place.incoming_oid:
            said.append(f"The database {place.incoming} is not there any more.")
        if place.kept in there:
            said.append(f"There is a database {place.kept} already.")
        try:
            refuse_prepared(connection, place.database, place.incoming)
        except Conflict as error:
            said.append(error.message)
    return said
