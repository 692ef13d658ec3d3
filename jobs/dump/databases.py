"""Which databases a dump takes, looked up on the server before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import psycopg

from bot.config import ClusterConfig
from bot.errors import Unavailable, Usage
from bot.model.dumps import Selection, Table, matching, require_known
from bot.model.typed import quoted
from bot.postgres.connect import OLDEST_MAJOR, Connection, dsn_field, quote_ident, server_place
from bot.postgres.dump_session import DumpSession

_DATABASES = (
    rb"SELECT replace(datname::text, '\', '\\')::bytea, pg_encoding_to_char(encoding),"
    b" datallowconn AND datconnlimit <> -2, datistemplate, has_database_privilege(oid, 'CONNECT')"
    b" FROM pg_database ORDER BY datname"
)


@dataclass(frozen=True, slots=True)
class Database:
    """A database of the server; `encoding` is its own, as PostgreSQL writes it."""

    name: str
    encoding: str
    open: bool
    template: bool
    may_connect: bool


@dataclass(frozen=True, slots=True)
class Server:
    """The server a dump reads, as the role that dumps sees it."""

    major: int
    system_id: str
    superuser: bool
    role: str
    maintenance: str
    """The database of the first connection: what belongs to no database is read there."""
    databases: tuple[Database, ...]


def look_at_server(cluster: ClusterConfig) -> Server:
    """Read what a dump has to know before it begins.

    Raises:
        Unavailable, Usage: the server does not answer, or turns the role down.
    """
    try:
        with maintenance_session(cluster, OLDEST_MAJOR).connect() as connection:
            return _look(connection)
    except psycopg.Error as error:
        raise Unavailable(
            f"Listing the databases of {server_place(cluster.dumping)} failed: {' '.join(str(error).split())}",
            hint="Was the server stopped meanwhile?",
            code="server-gone",
        ) from None


def maintenance_session(cluster: ClusterConfig, major: int) -> DumpSession:
    """Return how the server is asked about itself, in the database of the DSN. Pure."""
    dbname = dsn_field(cluster.dumping, "dbname") or "postgres"
    return DumpSession(cluster.dumping, dbname, major, "pitstop dump", encoding=None)


def _look(connection: Connection) -> Server:
    [(system_id, superuser, role, maintenance)] = connection.execute(
        "SELECT (SELECT system_identifier::text FROM pg_control_system()), rolsuper, rolname, current_database()"
        " FROM pg_roles WHERE rolname = current_user"
    ).fetchall()
    rows = connection.execute(_DATABASES).fetchall()
    found = [Database(bytes(name).decode("utf-8", "backslashreplace"), *rest) for name, *rest in rows]
    return Server(
        connection.info.server_version // 10000, str(system_id), superuser, str(role), str(maintenance), tuple(found)
    )


def wanted_databases(cluster: ClusterConfig, selection: Selection, server: Server) -> list[Database]:
    """Return the databases to dump: those asked for, else the configured ones, else all that can be connected to. Pure.

    Raises:
        Usage: one does not exist (`unknown-database`, with the nearest names), takes no connections, or none from this role.
    """
    known = {database.name: database for database in server.databases}
    names = selection.databases or cluster.databases
    chosen = [_known(name, known) for name in dict.fromkeys(names)] if names else _all_open(server)
    for database in chosen:
        if not database.open:
            raise Usage(
                f"The database {database.name} takes no connections.",
                hint=f"ALTER DATABASE {quote_ident(database.name)} WITH ALLOW_CONNECTIONS true;",
                code="closed-database",
            )
    for database in chosen:
        if not database.may_connect:
            raise Usage(
                f"The role {server.role} may not connect to {database.name}.",
                hint=f"GRANT CONNECT ON DATABASE {quote_ident(database.name)} TO {quote_ident(server.role)};",
                code="right-connect",
            )
    return chosen


def _all_open(server: Server) -> list[Database]:
    found = [database for database in server.databases if database.open and not database.template]
    if not found:
        raise Usage(
            "The server has no database that can be dumped.", hint="Name one in `databases`.", code="no-database"
        )
    return found


def _known(name: str, known: dict[str, Database]) -> Database:
    if name in known:
        return known[name]
    lower = {other.lower(): other for other in known}
    near = get_close_matches(name.lower()[:200], list(lower), n=1, cutoff=0.6)
    raise Usage(
        f"There is no database {quoted(name, 80)} on the server.",
        hint=f"Did you mean {lower[near[0]]}?" if near else f"There are: {', '.join(sorted(known)[:20])}.",
        code="unknown-database",
    )


def session_for(cluster: ClusterConfig, server: Server, database: Database, backup: str) -> DumpSession:
    """Return how a database is reached for the dump `backup`. Pure."""
    encoding = "SQL_ASCII" if database.encoding == "SQL_ASCII" else "UTF8"
    return DumpSession(cluster.dumping, database.name, server.major, f"pitstop dump {backup}", encoding)


def require_tables(selection: Selection, tables: Mapping[str, Sequence[Table]]) -> None:
    """Make sure that each table named is in one of the databases, whose `tables` are given by its name. Pure.

    Raises:
        Usage: one is in none of them (`unknown-table`, with the nearest names), or nothing is left to dump (`nothing-chosen`).
    """
    everything = [table for found in tables.values() for table in found]
    require_known((*selection.tables, *selection.exclude_tables), everything, ", ".join(tables))
    if selection.tables and not any(selection.chosen(found) for found in tables.values()):
        raise Usage("Every table that was chosen is left out as well.", hint="Leave out less?", code="nothing-chosen")


def vanished(words: Sequence[str], tables: Mapping[str, Sequence[Table]]) -> list[str]:
    """Return those of the configured exclusions that name no table of any database (any more). Pure."""
    return [word for word in words if not any(matching(word, found) for found in tables.values())]
