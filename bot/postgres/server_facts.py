"""What a backup records about its server, so that a restore can be prepared without it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from bot.errors import PitstopError, Unavailable
from bot.postgres.config_files import ConfigFile, config_files
from bot.postgres.connect import Connection, connect, is_local, server_place

__all__ = ["ServerFacts", "ConfigFile", "server_facts"]

_UNITS = {"kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """A server at one moment; JSON types only below the first level.

    Attributes:
        settings: every setting the role may see, as SHOW gives it.
        config_missing: why configuration files are not stored, or None.
        hba_rules: pg_hba_file_rules, or empty where the role may not read it.
        databases: name, oid, encoding, collate, ctype, provider, locale, collation_version, collation_version_actual,
            allow_connections.
        extensions: database, name, version.
        collations: those that indexes use: database, name, provider, version, version_actual.
        tablespaces: oid, name, location.
        slots: name, type, plugin, database.
        unread: what the role could not read, one sentence each.
    """

    version_num: int
    version: str
    system_id: str
    segment_bytes: int
    block_bytes: int
    data_checksums: bool
    data_directory: str | None
    in_recovery: bool
    bootstrap_superuser: str
    settings: dict[str, str]
    config_files: tuple[ConfigFile, ...]
    config_missing: str | None
    hba_rules: list[dict[str, Any]]
    databases: list[dict[str, Any]]
    extensions: list[dict[str, Any]]
    collations: list[dict[str, Any]]
    tablespaces: list[dict[str, Any]]
    slots: list[dict[str, Any]]
    operating_system: str
    unread: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only, as stored in the backup's manifest."""
        return asdict(self)


def server_facts(observe_dsn: str, data_directory: Path | None) -> ServerFacts:
    """Read everything a restore will want to know; what the role may not read is left out, visibly.

    `data_directory` is the configured one; it says that the server's files are on this host.

    Raises:
        Unavailable: the server went away.
        Usage: the role cannot log in.
    """
    with connect(observe_dsn) as conn:
        try:
            return _read(conn, observe_dsn, local=data_directory is not None or is_local(observe_dsn))
        except psycopg.Error as error:
            raise Unavailable(
                f"Reading the settings of PostgreSQL at {server_place(observe_dsn)} failed: {error}.",
                hint="Was the server stopped meanwhile?",
                code="server-gone",
            ) from None


def _read(conn: Connection, dsn: str, *, local: bool) -> ServerFacts:
    major = conn.info.server_version // 10000
    settings = dict(
        _rows(conn, "SELECT name, current_setting(name) AS value FROM pg_settings ORDER BY name", pairs=True)
    )
    files, missing = config_files(settings, conn, local=local)
    databases = _rows(conn, _databases_query(major))
    extensions, collations, unread = _by_database(dsn, databases)
    hba, hba_unread = _hba_rules(conn)
    [(version, system_id, in_recovery, superuser)] = conn.execute(
        "SELECT version(), (SELECT system_identifier::text FROM pg_control_system()), pg_is_in_recovery(),"
        " (SELECT rolname FROM pg_roles WHERE oid = 10)"
    ).fetchall()
    return ServerFacts(
        version_num=conn.info.server_version,
        version=settings["server_version"],
        system_id=system_id,
        segment_bytes=_bytes(settings["wal_segment_size"]),
        block_bytes=int(settings["block_size"]),
        data_checksums=settings["data_checksums"] == "on",
        data_directory=settings.get("data_directory"),
        in_recovery=in_recovery,
        bootstrap_superuser=superuser,
        settings=settings,
        config_files=files,
        config_missing=missing,
        hba_rules=hba,
        databases=databases,
        extensions=extensions,
        collations=collations,
        tablespaces=_rows(
            conn,
            "SELECT oid::bigint AS oid, spcname AS name, pg_tablespace_location(oid) AS location FROM pg_tablespace"
            " WHERE oid NOT IN (1663, 1664) ORDER BY oid",
        ),
        slots=_rows(
            conn,
            "SELECT slot_name AS name, slot_type AS type, plugin, database FROM pg_replication_slots ORDER BY slot_name",
        ),
        operating_system=version,
        unread=(*unread, *hba_unread),
    )


def _databases_query(major: int) -> str:
    locale = {14: "NULL", 15: "daticulocale", 16: "daticulocale"}.get(major, "datlocale")
    provider = "datlocprovider::text" if major >= 15 else "'c'"
    version = "datcollversion" if major >= 15 else "NULL"
    actual = "pg_database_collation_actual_version(oid)" if major >= 15 else "NULL"
    return (
        "SELECT datname AS name, oid::bigint AS oid,"  # noqa: S608 - what is put in are the fixed column names above
        " pg_encoding_to_char(encoding) AS encoding, datcollate AS collate,"
        f" datctype AS ctype, {provider} AS provider, {locale} AS locale, {version} AS collation_version,"
        f" {actual} AS collation_version_actual, datallowconn AS allow_connections FROM pg_database ORDER BY oid"
    )


def _by_database(
    dsn: str, databases: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], tuple[str, ...]]:
    """Return (extensions, collations that indexes use, databases that could not be read) over all databases."""
    extensions: list[dict[str, Any]] = []
    collations: list[dict[str, Any]] = []
    unread = []
    for database in databases:
        name = database["name"]
        if not database["allow_connections"]:
            continue
        try:
            with connect(dsn, dbname=name) as conn:
                extensions += [{"database": name, **row} for row in _rows(conn, _EXTENSIONS)]
                collations += [{"database": name, **row} for row in _rows(conn, _COLLATIONS)]
        except (PitstopError, psycopg.Error) as error:
            unread.append(f"The database {name} was not looked into: {str(error).splitlines()[0]}")
    return extensions, collations, tuple(unread)


_EXTENSIONS = "SELECT extname AS name, extversion AS version FROM pg_extension ORDER BY extname"
_COLLATIONS = (
    "SELECT DISTINCT c.collname AS name, c.collprovider::text AS provider, c.collversion AS version,"
    " pg_collation_actual_version(c.oid) AS version_actual FROM pg_collation c"
    " JOIN (SELECT unnest(indcollation) AS oid FROM pg_index) used USING (oid) WHERE c.collprovider <> 'd' ORDER BY 1"
)


def _hba_rules(conn: Connection) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    try:
        rules = _rows(
            conn,
            "SELECT line_number, type, database, user_name, address, netmask, auth_method, options, error"
            " FROM pg_hba_file_rules() ORDER BY line_number",
        )
    except psycopg.errors.InsufficientPrivilege:
        return [], ("pg_hba_file_rules was not read: the role lacks EXECUTE on pg_hba_file_rules().",)
    return rules, ()


def _rows(conn: Connection, query: str, *, pairs: bool = False) -> Any:
    if pairs:
        return conn.execute(query.encode()).fetchall()
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode()).fetchall()


def _bytes(shown: str) -> int:
    return int(shown[:-2]) * _UNITS[shown[-2:]]
