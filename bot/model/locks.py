"""Named locks: what each run needs to itself, and the table of what conflicts.

A lock is a name and a mode. Names are paths (`chain:slips/20261122T020000Z-base-7f3a`); a name covers everything below it, so a
lock on `chain:slips` meets one on any of its backups, and two restores meet when one's folder lies inside the other's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from bot.errors import Conflict
from bot.model.destinations import Beside, EmptyTables, InPlace, NewDatabase, NewSchema
from bot.model.ids import ClusterName, RequestId, RunId
from bot.model.plans import Plan, Steps
from bot.model.runs import Job


class Mode(StrEnum):
    """What a run does with the thing it locks."""

    BASE_BACKUP = "base-backup"
    DUMP = "dump"
    STREAM = "stream"
    CHECK = "check"
    DRILL = "drill"
    IN_PLACE = "in-place"
    RETENTION = "retention"
    SCRUB = "scrub"
    SYNC = "sync"
    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    USE = "use"
    ANSWER = "answer"
    STOP = "stop"


SELF = frozenset
"""A pair of one mode: `SELF({mode})`, two runs doing the same."""

CONFLICTS: Mapping[str, frozenset[frozenset[Mode]]] = {
    # never two base backups or two dumps of one cluster; an in-place restore replaces what they would read
    "cluster": frozenset(
        {
            SELF({Mode.BASE_BACKUP}),
            SELF({Mode.DUMP}),
            SELF({Mode.STREAM}),
            SELF({Mode.CHECK}),
            SELF({Mode.DRILL}),
            SELF({Mode.RETENTION}),
            SELF({Mode.SCRUB}),
            SELF({Mode.SYNC}),
            SELF({Mode.IN_PLACE}),
            frozenset({Mode.IN_PLACE, Mode.BASE_BACKUP}),
            frozenset({Mode.IN_PLACE, Mode.DUMP}),
            frozenset({Mode.IN_PLACE, Mode.CHECK}),
        }
    ),
    # retention deletes no backup that a restore or a drill is reading, nor one that is being written
    "chain": frozenset(
        {SELF({Mode.DELETE}), frozenset({Mode.DELETE, Mode.READ}), frozenset({Mode.DELETE, Mode.WRITE})}
    ),
    # one word about a backup at a time
    "pin": frozenset({SELF({Mode.USE})}),
    # one digest and one reminder of a cluster at a time
    "message": frozenset({SELF({Mode.USE})}),
    # two restores never share a folder or a port
    "destination": frozenset({SELF({Mode.USE})}),
    "port": frozenset({SELF({Mode.USE})}),
    # two restores never make the same database or schema
    # and none is dropped under a restore or an undo that uses it
    "database": frozenset({SELF({Mode.USE}), SELF({Mode.DELETE}), frozenset({Mode.USE, Mode.DELETE})}),
    # a request is planned or carried out by one process at a time
    # what a lost process left of it is cleared away once, and does not wait for that process to be declared lost
    "request": frozenset({SELF({Mode.USE}), SELF({Mode.STOP})}),
    # one forwarder and one stop at a time; a stop does not wait for the forwarder it will end
    "server": frozenset({SELF({Mode.ANSWER}), SELF({Mode.STOP})}),
}

SHARED_WITHIN_A_REQUEST = frozenset({"chain", "destination", "port", "database"})
"""What belongs to a request rather than to one of its runs: its own forwarder may listen where its executor reserved."""


@dataclass(frozen=True, slots=True, order=True)
class Lock:
    """A named lock; `name` is `kind:path`."""

    name: str
    mode: Mode

    @property
    def kind(self) -> str:
        """The part before the colon: which row of CONFLICTS decides."""
        return self.name.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Held:
    """A lock and the run that holds it, with the request it runs for."""

    lock: Lock
    run: RunId
    request: RequestId | None = None


class Locked(Conflict):
    """Another run holds what this one needs."""

    code = "locked"


def conflict(one: Lock, other: Lock) -> bool:
    """Say whether two runs may not hold these at the same time. Pure and symmetric."""
    if one.kind != other.kind or not _overlap(one.name, other.name):
        return False
    return frozenset({one.mode, other.mode}) in CONFLICTS[one.kind]


def blocking(wanted: Iterable[Lock], held: Sequence[Held], request: RequestId | None = None) -> Held | None:
    """Return the first held lock that stands in the way of a run for `request`, or None. Pure."""
    for lock in wanted:
        for other in held:
            own = request is not None and request == other.request and lock.kind in SHARED_WITHIN_A_REQUEST
            if not own and conflict(lock, other.lock):
                return other
    return None


def needed(
    job: Job, cluster: ClusterName, *, request: RequestId | None, plan: Plan | None, args: Mapping[str, Any]
) -> tuple[Lock, ...]:
    """Return the locks a run takes when it is queued. Pure.

    `args` may name a `port`, for a forwarder, and a `server`, where a run is not for the server's own request.
    """
    server = args.get("server") or request
    match job:
        case Job.BASE_BACKUP | Job.DUMP | Job.IMPORT | Job.WAL_STREAM | Job.WAL_CHECK | Job.DRILL_CLEAN:
            return (Lock(f"cluster:{cluster}", _ON_CLUSTERS[job]),)
        case Job.RETENTION | Job.SCRUB | Job.SYNC:
            # retention locks each backup just before it goes, so that a restore never waits for the whole run; scrub keeps
            # nothing from going, and what goes under it is no damage; sync locks each backup while it copies it
            return (Lock(f"cluster:{cluster}", _ON_CLUSTERS[job]),)
        case Job.DRILL:
            # which backups it reads is decided when it runs: none of the cluster's is deleted meanwhile
            return (Lock(f"cluster:{cluster}", Mode.DRILL), Lock(f"chain:{cluster}", Mode.READ))
        case Job.DIGEST | Job.REHEARSAL:
            return (Lock(f"message:{job.value}/{cluster}", Mode.USE),)
        case Job.PIN:
            backup = f"{cluster}/{args['backup']}"
            return (Lock(f"pin:{backup}", Mode.USE), Lock(f"chain:{backup}", Mode.READ))
        case Job.PLAN:
            return (Lock(f"request:{request}", Mode.USE),)
        case Job.RESTORE_CLEAN:
            return (Lock(f"request:{request}", Mode.STOP),)
        case Job.EXECUTE:
            return (Lock(f"request:{request}", Mode.USE), *(_of_plan(plan) if plan else ()))
        case Job.FORWARD:
            ports = (Lock(f"port:{args['port']}", Mode.USE),) if args.get("port") else ()
            return (Lock(f"server:{server}", Mode.ANSWER), *ports)
        case Job.SERVER_STOP | Job.SERVER_REMOVE:
            return (Lock(f"server:{server}", Mode.STOP),)
        case Job.KEPT_REMOVE:
            return (Lock(f"request:{request}", Mode.USE), Lock(_database(cluster, str(args["database"])), Mode.DELETE))


_ON_CLUSTERS = {
    Job.BASE_BACKUP: Mode.BASE_BACKUP,
    Job.DUMP: Mode.DUMP,
    Job.IMPORT: Mode.DUMP,
    Job.WAL_STREAM: Mode.STREAM,
    Job.WAL_CHECK: Mode.CHECK,
    Job.DRILL_CLEAN: Mode.DRILL,
    Job.RETENTION: Mode.RETENTION,
    Job.SCRUB: Mode.SCRUB,
    Job.SYNC: Mode.SYNC,
}


def _of_plan(plan: Plan) -> tuple[Lock, ...]:
    steps = plan.steps
    locks = [Lock(f"chain:{steps.cluster}/{link.backup}", Mode.READ) for link in steps.chain]
    return (*locks, *_of_destination(steps))


def _of_destination(steps: Steps) -> list[Lock]:
    match steps.destination:
        case Beside(directory, port):
            ports = [Lock(f"port:{port}", Mode.USE)] if port is not None else []
            return [Lock(f"destination:{directory.rstrip('/')}", Mode.USE), *ports]
        case NewDatabase(database) | EmptyTables(database):
            return [Lock(_database(steps.cluster, database), Mode.USE)]
        case NewSchema(database, schema):
            return [Lock(_database(steps.cluster, database, schema), Mode.USE)]
        case InPlace(database=database, incoming=incoming, kept=kept):
            names = (database, incoming, kept)
            used = [Lock(_database(steps.cluster, name), Mode.USE) for name in dict.fromkeys(names)]
            return [Lock(f"cluster:{steps.cluster}", Mode.IN_PLACE), *used]


def _database(*names: str) -> str:
    """Name a database, or a schema in one; a slash in a name is no step of the path."""
    return "database:" + "/".join(quote(name, safe="") for name in names)


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(other + "/") or other.startswith(one + "/")
