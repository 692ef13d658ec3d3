"""Plan a restore: choose the backup, look at the server it goes to, and propose what would be done, or refuse and say why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from bot.config import Config
from bot.errors import Refused, Usage
from bot.ledger.database import Ledger
from bot.model.destinations import EmptyTables, NewDatabase, NewSchema, destination_text
from bot.model.dumps import Part
from bot.model.ids import ClusterName, SystemId
from bot.model.plans import ChainLink, Facts, Plan, Steps
from bot.model.restores import Restoration, Wanted
from bot.model.sql_checks import SqlCheck
from bot.model.targets import Target, TargetKind
from bot.postgres.archive_choice import lacking_schemas, missing
from bot.postgres.connect import quote_ident
from bot.postgres.restore_place import (
    Place,
    key_against,
    look_at_place,
    look_inside,
    obstacles,
    require_primary,
    row_obstacles,
)
from bot.postgres.restore_program import find_pg_restore
from bot.postgres.transport import require_verified
from bot.repository.manifest import Manifest
from jobs.archived import with_retrieval
from jobs.plan.estimate import estimate
from jobs.plan.make import make_plan
from jobs.restore.choose import Chosen, choose
from jobs.restore.contents import Contents, database_record, read_contents, wanted_tables
from jobs.restore.roles import lines_for, shown

GoingTo = NewDatabase | NewSchema | EmptyTables
_MARGIN = 128 * 1024 * 1024


def plan_restore(
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
    """Return what restoring `wanted` to `destination` would do. Writes nothing.

    `destination` is what was asked for: {"kind": "database", "database": name}, {"kind": "schema", "database": name, "schema":
    name}, or for a base backup {"kind": "beside", "directory": path or None, "port": number or None}.

    Raises:
        Usage, Refused, Conflict: it cannot be done so; the sentence says why, the hint what can.
        Unavailable: repository or server is away, or a program is missing. Corruption: the backup is damaged.
    """
    on_note("Looking at the repository")
    chosen = choose(config, cluster, wanted)
    if chosen.backup.kind != "dump":
        return _whole_base_backup(config, ledger, chosen, wanted, destination, name=name, now=now, on_note=on_note)
    going_to = _going_to(destination, wanted.part)
    manifest = chosen.manifest()
    record = database_record(manifest, wanted.database, config.cluster(cluster).databases)
    tables = wanted_tables(record, wanted)
    _require_sense(record["name"], str(manifest.body.get("mode", "full")), wanted, going_to)
    on_note("Looking at the server")
    observe, settings = config.cluster(cluster).observe, config.cluster(cluster)
    if not settings.restoring:
        raise Refused(
            f"No role is configured that may restore into {cluster}.",
            hint="Set restore_dsn; `pitstop check` prints the line that makes the role.",
            code="no-restore-role",
        )
    require_verified(settings)
    place = look_at_place(observe, settings.restoring, settings.data_directory)
    require_primary(place)
    work = Restoration(SystemId(place.system_id), record["name"], record["archive"], _part(manifest, wanted), tables)
    contents = read_contents(chosen.repository, manifest, work)
    _require_fit(config, chosen, manifest, contents, place, going_to, observe)
    steps = _steps(config, chosen, manifest, work, going_to)
    facts = _facts(config, ledger, chosen, manifest, contents, place, going_to, wanted)
    kept_in = config.repositories[chosen.repository.repository.name]
    return Plan(steps, with_retrieval(facts, kept_in, chosen.repository, manifest.id, [contents.record["archive"]]))


def _whole_base_backup(
    config: Config,
    ledger: Ledger | None,
    chosen: Chosen,
    wanted: Wanted,
    destination: Mapping[str, Any],
    *,
    name: str,
    now: datetime,
    on_note: Callable[[str], None],
) -> Plan:
    if destination["kind"] != "beside" or wanted.tables or wanted.database or wanted.part is not Part.FULL:
        raise Usage(
            f"{chosen.backup.id} is a base backup: it comes back whole, as a server in a directory.",
            hint="Use --into-directory alone, and copy what is needed out of that server; or name a dump.",
            code="whole-base-backup",
        )
    return make_plan(
        config,
        ledger,
        cluster=chosen.backup.cluster,
        target=Target(TargetKind.IMMEDIATE),
        target_text=f"the end of {chosen.backup.id}",
        destination=destination,
        name=name,
        now=now,
        on_note=on_note,
        only=chosen.backup.id,
    )


def _going_to(destination: Mapping[str, Any], part: Part) -> GoingTo:
    match destination["kind"]:
        case "database":
            database = str(destination["database"])
            return EmptyTables(database) if part is Part.DATA_ONLY else NewDatabase(database)
        case "schema":
            return NewSchema(str(destination["database"]), str(destination["schema"]))
        case _:
            raise Usage(
                "A dump is restored into a database or a schema of the live server, not into a directory.",
                hint="--into-database NAME, or --into-schema DATABASE.SCHEMA; a base backup goes into a directory.",
                code="dump-into-directory",
            )


def _part(manifest: Manifest, wanted: Wanted) -> Part:
    """Return what comes back: a dump of definitions alone has no more, whatever is wanted of it."""
    return Part.SCHEMA_ONLY if manifest.body.get("mode") == Part.SCHEMA_ONLY.value else wanted.part


def _require_sense(database: str, mode: str, wanted: Wanted, going_to: GoingTo) -> None:
    """Refuse what could not come out of this dump, or would have to write over what exists."""
    if isinstance(going_to, EmptyTables):
        _require_rows(database, mode, wanted)
        return
    if mode == Part.DATA_ONLY.value or wanted.part is Part.DATA_ONLY:
        what = f"The dump of {database} holds rows alone" if mode == Part.DATA_ONLY.value else "Rows alone"
        raise Usage(
            f"{what}; they need tables that exist, and are empty.",
            hint="Name the database that has them: --data-only --into-database NAME.",
            code="rows-alone",
        )
    if isinstance(going_to, NewSchema) and not wanted.tables:
        raise Usage(
            "Into a schema go tables, each named.",
            hint="Name them with --table, or restore the whole into a new database: --into-database NAME.",
            code="no-tables",
        )


def _require_rows(database: str, mode: str, wanted: Wanted) -> None:
    if mode == Part.SCHEMA_ONLY.value:
        raise Usage(f"The dump of {database} has no rows in it.", hint="Name another dump.", code="rows-alone")
    if mode == Part.DATA_ONLY.value and wanted.tables:
        raise Usage(
            f"The dump of {database} holds rows alone, and does not say what belongs to a table.",
            hint="Restore all of its rows, or tables out of a full dump.",
            code="rows-alone",
        )


def _require_fit(
    config: Config,
    chosen: Chosen,
    manifest: Manifest,
    contents: Contents,
    place: Place,
    going_to: GoingTo,
    observe: str,
) -> None:
    """Refuse what the server cannot take.

    1. The destination is free. 2. The restoring role may make databases. 3. The server is not older than the dump's.
    4. pg_restore is here. 5. Roles, extensions and tablespaces are there.
    """
    if isinstance(going_to, EmptyTables):
        _require_empty(config.cluster(chosen.backup.cluster).restoring, contents, place, going_to)
    else:
        for sentence in obstacles(observe, place, going_to):
            raise Refused(sentence, hint="Name another one.", code="destination-taken")
    if not place.may_create and not isinstance(going_to, EmptyTables):
        raise Refused(
            f"The role {place.role} may not make databases.",
            hint=f"ALTER ROLE {quote_ident(place.role)} WITH SUPERUSER; -- or CREATEDB: `pitstop check` says what it takes",
            code="right-createdb",
        )
    dumped_major = manifest.server_version // 10000
    if dumped_major > place.major:
        raise Refused(
            f"The dump is of PostgreSQL {dumped_major}, and the server is PostgreSQL {place.major}: an older one.",
            hint="Restore it into a server of that version or newer.",
            code="older-server",
        )
    find_pg_restore(place.major, contents.toc.tool_major, config.postgres.bin_directories)
    if isinstance(going_to, EmptyTables):
        return
    _require_roles(chosen, manifest, contents, place)
    _require_extensions(contents, place, going_to, observe)
    if lacking := missing(contents.choice.tablespaces(), place.tablespaces):
        raise Refused(
            f"The dump puts tables into the tablespace {lacking[0]}, which the server does not have.",
            hint=f"CREATE TABLESPACE {quote_ident(lacking[0])} LOCATION '…'; -- an empty folder of the server's account",
            code="missing-tablespace",
        )


def _require_empty(dsn: str, contents: Contents, place: Place, going_to: EmptyTables) -> None:
    if not contents.choice.tables:
        raise Refused("No table's rows are in that part of the dump.", hint="Name another dump.", code="no-rows")
    for sentence in row_obstacles(dsn, place, going_to, contents.choice.entries):
        raise Refused(
            sentence,
            hint="Restore the definitions first, into a new database: --schema-only; or name other tables with --table.",
            code="tables-not-ready",
        )
    if not place.superuser and (found := key_against(dsn, going_to, contents.choice.entries)):
        child, parent, key = found
        raise Refused(
            f"The rows of {child} come before those of {parent} in the dump, and the foreign key {key} would refuse them.",
            hint=f"Restore {parent} first, alone (--table), then the others; or let restore_dsn name a superuser.",
            code="foreign-key-order",
        )


def _require_roles(chosen: Chosen, manifest: Manifest, contents: Contents, place: Place) -> None:
    lacking = missing(contents.choice.roles(), place.roles)
    if not lacking:
        return
    archive = manifest.body.get("globals", {}).get("archive")
    globals_sql = chosen.repository.read_archive(manifest, archive) if archive else ()
    more = f" and {len(lacking) - 8} more" if len(lacking) > 8 else ""
    raise Refused(
        f"The server lacks roles that own or use what is in the dump: {', '.join(lacking[:8])}{more}.",
        hint=f"As the dump's globals have them: {shown(lines_for(lacking, globals_sql))}",
        code="missing-roles",
    )


def _require_extensions(contents: Contents, place: Place, going_to: GoingTo, observe: str) -> None:
    names = contents.choice.extensions()
    if lacking := missing(names, place.extensions):
        raise Refused(
            f"The server lacks extensions that the dump needs: {', '.join(lacking[:8])}.",
            hint="Install their packages on the server; pg_available_extensions lists what it has.",
            code="missing-extensions",
        )
    if not isinstance(going_to, NewSchema):
        return
    inside = look_inside(observe, going_to.database).extensions
    for entry in contents.choice.entries:
        if entry.desc == "EXTENSION" and inside.get(entry.tag) is None:
            raise Refused(
                f"The tables need the extension {entry.tag}, which {going_to.database} does not have.",
                hint=f"In {going_to.database}: {entry.defn.strip()}",
                code="missing-extensions",
            )


def _steps(config: Config, chosen: Chosen, manifest: Manifest, work: Restoration, going_to: GoingTo) -> Steps:
    cluster = config.cluster(chosen.backup.cluster)
    return Steps(
        verb="restore",
        cluster=chosen.backup.cluster,
        system_id=chosen.repository.system_id,
        repository=chosen.repository.repository.name,
        chain=(ChainLink(manifest.id, manifest.sha256),),
        work=work,
        destination=going_to,
        overwrites=(),
        checks=_checks(cluster.sql_checks, work),
        policy_version=cluster.policy.version,
    )


def _checks(configured: tuple[SqlCheck, ...], work: Restoration) -> tuple[SqlCheck, ...]:
    """Return the configured checks that have something to look at: of this database, when all of it comes back."""
    if work.tables or work.part is not Part.FULL:
        return ()
    return tuple(check for check in configured if check.database == work.database)


def _facts(
    config: Config,
    ledger: Ledger | None,
    chosen: Chosen,
    manifest: Manifest,
    contents: Contents,
    place: Place,
    going_to: GoingTo,
    wanted: Wanted,
) -> Facts:
    archive = manifest.archive(contents.record["archive"])
    assert archive is not None, "read just before"
    tables = contents.tables()
    needed = disk_needed(sum(table.bytes for table in tables), twice=isinstance(going_to, NewSchema))
    if place.disk_free is not None and place.disk_free < needed:
        raise Refused(
            f"The server's disk has {place.disk_free // 1048576} MiB free, and {destination_text(going_to)} may need"
            f" {needed // 1048576} MiB.",
            hint="Make room there, or restore fewer tables.",
            code="too-little-disk",
        )
    guess = estimate(ledger, chosen.backup.cluster, archive.bytes_read, verb="restore")
    return Facts(
        server_version=place.version_num,
        backup_bytes=archive.bytes_read,
        bytes_to_fetch=archive.bytes_stored,
        wal_bytes=0,
        disk_needed=needed,
        disk_free=place.disk_free,
        wal_complete=True,
        estimate_s=guess.seconds,
        basis=guess.basis,
        target_text=wanted.text(),
        warnings=tuple(_warnings(config, chosen, manifest, contents, place, going_to)),
        rows=sum(counted) if (counted := [table.rows for table in tables if table.rows is not None]) else None,
    )


def disk_needed(table_bytes: int, *, twice: bool) -> int:
    """Return the bytes a restore may need on the server: tables, as much again for indexes, and WAL beside; pure.

    `twice`: what goes into a schema is restored beside first, and copied.
    """
    return (table_bytes * 5 // 2) * (2 if twice else 1) + _MARGIN


def _warnings(
    config: Config, chosen: Chosen, manifest: Manifest, contents: Contents, place: Place, going_to: GoingTo
) -> list[str]:
    said = [*contents.choice.left_out]
    if isinstance(going_to, EmptyTables):
        said.append("Sequences of the existing database get the values that they have in the dump.")
        if not place.superuser:
            said.append("The restoring role is no superuser: triggers fire, and foreign keys are checked row by row.")
    if contents.choice.bare:
        names = ", ".join(table.full_name for table in contents.choice.bare[:5])
        said.append(f"Tables that the chosen ones stand on come without their rows: {names}.")
    if schemas := lacking_schemas(contents.toc):
        said.append(
            f"The dump lacks the schemas of its tables; the restoring role makes them: {', '.join(schemas[:5])}."
        )
    if part := chosen.backup.known_part:
        said.append(f"This dump holds a part only: {part}.")
    if left := (manifest.body.get("selection") or {}).get("exclude_tables"):
        more = f" and {len(left) - 5} more" if len(left) > 5 else ""
        said.append(f"Left out when it was dumped, so not in it: {', '.join(left[:5])}{more}.")
    if not chosen.backup.verified_at:
        said.append("No drill has proved this dump yet.")
    if chosen.repository.system_id != place.system_id:
        said.append("The dump is of another server than the one it goes to: the system identifiers differ.")
    tools = find_pg_restore(place.major, contents.toc.tool_major, config.postgres.bin_directories)
    if tools.major > place.major:
        said.append(
            f"pg_restore here is {tools.version}, newer than the server: it may send what the server does not know."
        )
    said += [str(warning) for warning in (*manifest.body.get("warnings", ()), *contents.record.get("warnings", ()))]
    return [*said, *chosen.away, *chosen.elsewhere.sentences]
