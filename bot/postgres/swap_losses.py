"""What a database swap takes from whom: what stays with the old database, who is connected, what refers to it by name."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from bot.errors import PitstopError
from bot.postgres.connect import Connection, connect
from bot.postgres.maintenance import translated


@dataclass(frozen=True, slots=True)
class Losses:
    """`sentences` for the approver; `connections` of clients to the database now; `prepared` the ids of prepared transactions."""

    sentences: tuple[str, ...]
    connections: int
    prepared: tuple[str, ...]


def read_losses(connection: Connection, dsn: str, database: str) -> Losses:
    """Look for everything that a swap of `database` leaves behind or surprises. `connection` leads to another database."""
    said: list[str] = []
    with translated():
        for slot, plugin, active in connection.execute(_SLOTS, [database]).fetchall():
            who = "its subscriber stops and has to be set up anew" if active else "it keeps WAL until somebody drops it"
            said.append(f"Logical slot {slot} ({plugin}) stays with the old database: {who}.")
        for name, enabled in connection.execute(_SUBSCRIPTIONS, [database]).fetchall():
            state = "it would stop receiving" if enabled else "it is disabled now"
            said.append(f"Subscription {name} stays with the old database; {state}.")
        for provider, label in connection.execute(_LABELS, [database]).fetchall():
            said.append(f"The security label “{label}” of {provider} stays with the old database.")
        counted = connection.execute(_CONNECTIONS, [database]).fetchone()
        prepared = connection.execute(
            "SELECT gid FROM pg_prepared_xacts WHERE database = %s ORDER BY prepared", [database]
        ).fetchall()
    said += _publications(dsn, database)
    said += _cron(connection, dsn, database)
    return Losses(tuple(said), int(counted[0]) if counted else 0, tuple(str(row[0]) for row in prepared))


def tables_lost(dsn: str, database: str, dumped: Collection[tuple[str, str]]) -> list[str]:
    """Say which tables of the live database are not among the `dumped` ones (schema, name): in place, nobody has them any more.

    Tables of extensions come back with their extension, and are not counted.
    """
    try:
        with connect(dsn, dbname=database) as inside, translated():
            live = [(str(schema), str(name)) for schema, name in inside.execute(_TABLES).fetchall()]
    except PitstopError:
        return []  # said already: its publications are not known
    lost = [f"{schema}.{name}" for schema, name in live if (schema, name) not in dumped]
    if not lost:
        return []
    more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
    what = "this table" if len(lost) == 1 else f"these {len(lost)} tables"
    return [f"The dump lacks {what} of {database}, left to the kept database alone: {', '.join(lost[:_NAMED])}{more}."]


def _publications(dsn: str, database: str) -> list[str]:
    """Say whose subscribers will be ahead of what comes back."""
    try:
        with connect(dsn, dbname=database) as inside, translated():
            names = [str(row[0]) for row in inside.execute("SELECT pubname FROM pg_publication ORDER BY 1").fetchall()]
    except PitstopError:
        return [f"{database} does not let Pitstop in, so its publications are not known."]
    return [f"Subscribers of the publication {name} will be ahead of what comes back." for name in names]


def _cron(connection: Connection, dsn: str, database: str) -> list[str]:
    """Say which pg_cron jobs run in the database; they name it by name, so they go on in the new one."""
    with translated():
        found = connection.execute("SELECT current_setting('cron.database_name', true)").fetchone()
    home = str(found[0]) if found and found[0] else None
    if home is None:
        return []
    if home == database:
        return ["pg_cron keeps its jobs in this database: they will be those of the backup."]
    try:
        with connect(dsn, dbname=home) as inside, translated():
            jobs = inside.execute(
                "SELECT coalesce(jobname, jobid::text), schedule FROM cron.job WHERE database = %s AND active",
                [database],
            ).fetchall()
    except PitstopError:
        return [f"pg_cron's jobs in {home} cannot be read; those for {database} would go on in the new database."]
    return [f"The pg_cron job {name} ({schedule}) goes on in the new database." for name, schedule in jobs]


_NAMED = 8
_TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2
"""
_SLOTS = "SELECT slot_name::text, plugin::text, active FROM pg_replication_slots WHERE database = %s ORDER BY 1"
_SUBSCRIPTIONS = """
SELECT s.subname::text, s.subenabled FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = %s ORDER BY 1
"""
_LABELS = """
SELECT l.provider, l.label FROM pg_shseclabel l JOIN pg_database d ON d.oid = l.objoid
WHERE l.classoid = 'pg_database'::regclass AND d.datname = %s ORDER BY 1
"""
_CONNECTIONS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
