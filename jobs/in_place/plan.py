"""Plan a restore in place, or the undo of one: what takes whose name, what is given up, and what stands in the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from bot.config import ClusterConfig, Config
from bot.errors import Conflict, Refused, Usage
from bot.host.hooks import cannot_run
from bot.host.residence import jobs_outlive_us
from bot.ledger import kept as rows
from bot.ledger.database import Ledger
from bot.model.destinations import InPlace
from bot.model.dumps import CHOSEN_DATABASES, IMPORTED, Part, partial_of
from bot.model.hooks import Hooks
from bot.model.ids import ClusterName, RequestId, SystemId
from bot.model.kept import Kept, require_kept
from bot.model.plans import Facts, Lost, Plan, Steps
from bot.model.restores import Restoration, Undoing, Wanted
from bot.model.swaps import kept_name, undone_name
from bot.model.wal import Lsn
from bot.postgres.connect import Connection, quote_ident
from bot.postgres.maintenance import connect_beside, database_oids, translated
from bot.postgres.restore_place import look_at_place, require_primary
from bot.postgres.swap import refuse_prepared
from bot.postgres.swap_losses import Losses, read_losses, tables_lost
from bot.postgres.transport import require_verified
from bot.repository.manifest import Manifest
from jobs.in_place.claim import ENDS_WITH_THE_BOT
from jobs.in_place.lost import count_transactions
from jobs.repositories import open_for_reading
from jobs.restore.contents import database_record, dumped_tables
from jobs.restore.plan import plan_restore
from jobs.restore.work import scratch_name


def plan_in_place(
    config: Config,
    ledger: Ledger | None,
    *,
    cluster: ClusterName,
    wanted: Wanted,
    destination: Mapping[str, Any],
    name: str,
    now: datetime,
    on_note: Callable[[str], None] = lambda _: None,
) -> Plan:
    """Return what putting `wanted` in the place of a live database would do. Writes nothing.

    `destination` is {"kind": "in-place", "database": name or None}: None is the name that the dumped database had.

    Raises:
        Usage, Refused, Conflict: it cannot be done so; the sentence says why, the hint what can.
        Unavailable: repository or server is away. Corruption: the backup is damaged.
    """
    _require_lodging()
    if wanted.tables or wanted.part is not Part.FULL:
        raise Usage(
            "In place comes a whole database, nothing less: what is not in it would be gone.",
            hint="Restore tables into a new schema (--into-schema), and INSERT … SELECT from there.",
            code="in-place-whole",
        )
    kept = kept_name(str(destination.get("database") or wanted.database or "database"), RequestId(name))
    beside = {"kind": "database", "database": kept}
    base = plan_restore(
        config, ledger, cluster=cluster, wanted=wanted, destination=beside, name=name, now=now, on_note=on_note
    )
    if not isinstance(base.steps.work, Restoration):
        raise Usage("A base backup does not come back in place here.", hint="Name a dump.", code="in-place-dump")
    manifest = _manifest(config, base)
    if (part := partial_of(manifest.body)) not in {"", CHOSEN_DATABASES, IMPORTED}:
        raise Usage(
            f"{manifest.id} holds a part only ({part}): in place, what is not in it would be gone.",
            hint="Name a dump of everything, or `latest`; or restore this one beside.",
            code="in-place-whole",
        )
    on_note("Looking at what would be replaced")
    settings = config.cluster(cluster)
    database = str(destination.get("database") or base.steps.work.database)
    place, losses = _look(settings, database, scratch_name(RequestId(name)), None, kept_name(database, RequestId(name)))
    lost = _lost(config, ledger, base, manifest, losses)
    steps = replace(
        base.steps,
        work=replace(base.steps.work, hooks=_hooks(settings)),
        destination=place,
        overwrites=(database,),
    )
    dumped = {
        (table.schema, table.name) for table in dumped_tables(database_record(manifest, steps.restoration.database))
    }
    left = tables_lost(settings.restoring, database, dumped)
    return Plan(steps, replace(base.facts, lost=lost, warnings=(*left, *losses.sentences, *base.facts.warnings)))


def plan_undo(config: Config, ledger: Ledger, *, cluster: ClusterName, wanted: Wanted, name: str) -> Plan:
    """Return what bringing back the database that request `wanted.backup` replaced would do. Writes nothing.

    Raises:
        Usage: that request keeps nothing. Conflict: it is not kept any more, or something stands in the way.
        Refused: jobs would end with the bot. Unavailable: the server is away.
    """
    _require_lodging()
    with ledger.read() as tx:
        kept = rows.get(tx, RequestId(wanted.backup))
    require_kept(kept)
    if kept.cluster != cluster:
        raise Usage(f"Request {kept.id} is of {kept.cluster}.", hint="`pitstop kept list`", code="unknown-kept")
    settings = config.cluster(cluster)
    require_verified(settings)
    there = look_at_place(settings.restoring, settings.restoring, settings.data_directory)
    require_primary(there)
    place, losses = _look(settings, kept.database, kept.name, kept.oid, undone_name(kept.database, RequestId(name)))
    _require_same(kept, place)
    steps = Steps(
        verb="undo",
        cluster=cluster,
        system_id=SystemId(there.system_id),
        repository="",
        chain=(),
        work=Undoing(SystemId(there.system_id), kept.id, _hooks(settings)),
        destination=place,
        overwrites=(kept.database,),
        checks=(),
        policy_version=settings.policy.version,
    )
    facts = Facts(
        server_version=there.version_num,
        backup_bytes=kept.size_bytes,
        bytes_to_fetch=0,
        wal_bytes=0,
        disk_needed=0,
        disk_free=there.disk_free,
        wal_complete=True,
        estimate_s=None,
        basis="two names are changed; what takes time are the commands before and after",
        target_text=wanted.text(),
        warnings=losses.sentences,
        lost=Lost(kept.kept_at.isoformat(), losses.connections),
    )
    return Plan(steps, facts)


def _require_lodging() -> None:
    if not jobs_outlive_us():
        raise Refused(
            ENDS_WITH_THE_BOT,
            hint="Run Pitstop under systemd with KillMode=process; or restore beside, and swap by hand (docs/in-place.md).",
            code="container",
        )


def _look(
    settings: ClusterConfig, database: str, incoming: str, incoming_oid: int | None, kept: str
) -> tuple[InPlace, Losses]:
    """Look at the databases of a swap and what it would leave behind.

    Raises:
        Usage: there is no such database. Conflict: `prepared-transactions`, or a name is taken.
    """
    with connect_beside(settings.restoring, database, incoming, kept) as connection:
        there = database_oids(connection)
        if database not in there:
            raise Usage(
                f"There is no database {database} on the server that could be replaced.",
                hint="Restore it under its name instead: --into-database.",
                code="unknown-database",
            )
        if kept in there:
            raise Conflict(
                f"There is a database {kept} already.", hint="What is it? Rename it.", code="destination-taken"
            )
        if incoming_oid is not None and there.get(incoming) != incoming_oid:
            raise Conflict(
                f"The kept database {incoming} is not there as it was.",
                hint="Did somebody rename or drop it? `psql -l+` shows Pitstop's notes.",
                code="kept-strange",
            )
        refuse_prepared(connection, database, incoming)
        _require_rights(connection, database)
        losses = read_losses(connection, settings.restoring, database)
    return InPlace(database, there[database], incoming, incoming_oid, kept), losses


def _require_rights(connection: Connection, database: str) -> None:
    """Refuse a role that could not finish: it has to own the database's role and end everybody's sessions."""
    with translated():
        row = connection.execute(_RIGHTS, [database]).fetchone()
    if row is not None and not row[0]:
        raise Refused(
            f"The restoring role may not swap {database}: it is no superuser, nor a member of the owner and of pg_signal_backend.",
            hint=f"Name a superuser in restore_dsn; or GRANT pg_signal_backend and {quote_ident(str(row[1]))} to the role.",
            code="restore-rights",
        )


def _require_same(kept: Kept, place: InPlace) -> None:
    if place.oid != kept.current_oid:
        raise Conflict(
            f"{kept.database} is not the database any more that took the place of {kept.name}.",
            hint="Was it replaced again since? `pitstop kept list` shows what can be brought back.",
            code="kept-strange",
        )


def _hooks(settings: ClusterConfig) -> Hooks:
    """Return what runs around the swap.

    Raises:
        Refused: `hook-missing`, a program of it is not there or may not be executed: the application would stay down.
    """
    for when, commands in (("before", settings.hooks.before), ("after", settings.hooks.after)):
        for command in commands:
            if trouble := cannot_run(command):
                raise Refused(
                    f"The command {when} the swap cannot run: {trouble}.",
                    hint=f"Put it there, or change hooks.{when} in the configuration; `pitstop check` looks at all of them.",
                    code="hook-missing",
                )
    return Hooks(
        before=settings.hooks.before,
        after=settings.hooks.after,
        limit_s=int(settings.hooks.limit.total_seconds()),
        health_url=settings.health.url,
        health_s=int(settings.health.within.total_seconds()),
        undo_unless_healthy=settings.health.undo,
    )


def _manifest(config: Config, plan: Plan) -> Manifest:
    steps = plan.steps
    repository = open_for_reading(config, steps.repository, steps.cluster, steps.system_id)
    return repository.manifest(steps.chain[0].backup)


def _snapshot(manifest: Manifest, database: str) -> tuple[datetime, Lsn | None]:
    """Return when the dump of a database was, and where in the WAL; of an imported one nobody knows where."""
    record = next(one for one in manifest.body["databases"] if one["name"] == database)
    lsn = Lsn.parse(str(record["lsn"])) if record["lsn"] is not None else None
    return datetime.fromisoformat(str(record["snapshot_at"])), lsn


def _lost(config: Config, ledger: Ledger | None, plan: Plan, manifest: Manifest, losses: Losses) -> Lost:
    """Return what was written since the dump's snapshot: its WAL and transactions, where the dump is of this very server."""
    steps = plan.steps
    since, start = _snapshot(manifest, steps.restoration.database)
    if steps.system_id != steps.restoration.server or start is None:
        return Lost(since.isoformat(), losses.connections)
    with connect_beside(config.cluster(steps.cluster).restoring) as connection, translated():
        row = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
    assert row is not None
    end = Lsn.parse(str(row[0]))
    counted = count_transactions(config, ledger, steps.cluster, plan.facts.server_version // 10000, start, end)
    return Lost(since.isoformat(), losses.connections, max(0, end - start), counted)


_RIGHTS = """
SELECT rolsuper OR (pg_has_role(current_user, d.datdba, 'MEMBER') AND pg_has_role(current_user, 'pg_signal_backend', 'MEMBER')
       AND rolcreatedb), pg_get_userbyid(d.datdba)::text
FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = %s
"""
