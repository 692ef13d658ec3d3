"""Opening ordinary connections; libpq's errors become ours here, with what to do about them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bot.errors import PitstopError, Unavailable, Usage

Connection = psycopg.Connection[tuple[Any, ...]]
OLDEST_MAJOR = 14

_NEVER_HEALS = ("28P01", "28000", "3D000", "42501")
_NO_ENTRY = re.compile(
    r"no pg_hba\.conf entry for (?P<replication>replication connection from )?host \"(?P<host>[^\"]+)\", "
    r"user \"(?P<user>[^\"]+)\"(?:, database \"(?P<database>[^\"]+)\")?(?P<ssl>, SSL encryption)?"
)
_NO_LETTERS = re.compile(r'"[^"]*\\x[89a-f][0-9a-f][^"]*"(?= does not exist)')
"""A database that is not there under the name `AnyText` read."""
_QUOTED = re.compile(r'"[^"]*"')
_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")


def connect(
    dsn: str,
    *,
    dbname: str | None = None,
    autocommit: bool = True,
    timeout_s: int = 10,
    application_name: str = "pitstop",
) -> Connection:
    """Open a connection to `dsn`, to `dbname` when given (any name PostgreSQL allows), else the DSN's or `postgres`.

    Text comes as `AnyText` reads it; where the DSN names SQL_ASCII as the client's encoding, as the bytes that were sent.

    Raises:
        Unavailable: the server does not answer, is starting up, or has no connection left.
        Usage: the DSN cannot be read, the server turns the role, password or database down, or is too old.
    """
    conninfo = make_dsn(dsn, dbname=dbname or dsn_field(dsn, "dbname") or "postgres", application_name=application_name)
    try:
        connection = psycopg.connect(conninfo, autocommit=autocommit, connect_timeout=timeout_s)
    except psycopg.Error as error:
        raise connection_error(str(error), dsn, sqlstate=error.sqlstate) from None
    try:
        require_supported(connection.info.server_version, dsn)
    except Usage:
        connection.close()
        raise
    if dsn_field(dsn, "client_encoding") != "SQL_ASCII":
        for name in _TEXTS:
            connection.adapters.register_loader(name, AnyText)
    return connection


def require_supported(version_num: int, dsn: str) -> None:
    """Refuse a server of which nothing here was ever tried, before it is asked for anything.

    Raises:
        Usage: `server-too-old`.
    """
    if version_num < OLDEST_MAJOR * 10000:
        shown = version_num // 10000 if version_num >= 100_000 else f"{version_num // 10000}.{version_num // 100 % 100}"
        raise Usage(
            f"PostgreSQL at {server_place(dsn)} is {shown}; Pitstop works with {OLDEST_MAJOR} and later.",
            hint=f"Upgrade the server to {OLDEST_MAJOR} or later. Does the DSN lead to the right one?",
            code="server-too-old",
        )


class AnyText(Loader):
    """Text from a server; bytes that its encoding has no letters for come as escapes, as in `caf\\xe9`.

    A database in SQL_ASCII has no encoding at all, and the names of databases and roles, which all databases of a cluster
    share, may come from one with another encoding.
    """

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        encoding = self.connection.info.encoding if isinstance(self.connection, psycopg.Connection) else "ascii"
        self._encoding = "utf-8" if encoding == "ascii" else encoding

    def load(self, data: Buffer) -> str:
        """Return the text; nothing is ever refused."""
        return bytes(data).decode(self._encoding, "backslashreplace")


_TEXTS = ("text", "name", "varchar", "bpchar", '"char"')


def make_dsn(dsn: str, **overrides: str) -> str:
    """Return `dsn` (a libpq string or URI) with `overrides` in place of its own values.

    Raises:
        Usage: `dsn` cannot be read.
    """
    try:
        return make_conninfo(dsn, **overrides)
    except psycopg.Error as error:
        raise _unreadable(error, dsn) from None


def dsn_field(dsn: str, name: str) -> str | None:
    """Return one value written in `dsn`, or None.

    Raises:
        Usage: `dsn` cannot be read.
    """
    return dsn_fields(dsn).get(name)


def dsn_fields(dsn: str) -> Mapping[str, str]:
    """Return all values written in `dsn`.

    Raises:
        Usage: `dsn` cannot be read.
    """
    try:
        return {key: str(value) for key, value in conninfo_to_dict(dsn).items() if value is not None}
    except psycopg.Error as error:
        raise _unreadable(error, dsn) from None


def server_place(dsn: str) -> str:
    """Name the server a DSN leads to, without secrets: `/var/run/postgresql:5432`."""
    fields = dsn_fields(dsn)
    host = fields.get("host") or fields.get("hostaddr") or fields.get("service") or "the default host"
    return f"{host}:{fields.get('port', '5432')}"


def is_local(dsn: str) -> bool:
    """Say whether a DSN leads over a Unix socket or the loopback interface."""
    fields = dsn_fields(dsn)
    hosts = (fields.get("hostaddr") or fields.get("host") or "").split(",")
    return all(h in {"", "localhost"} or Path(h).is_absolute() or h.startswith("@") or _is_loopback(h) for h in hosts)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def quote_ident(name: str) -> str:
    """Return `name` as a quoted SQL identifier; it may contain anything but NUL."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """Return `text` as an SQL string for replication commands, whose grammar knows only doubled quotes."""
    return "'" + text.replace("'", "''") + "'"


def _one_line(message: str) -> str:
    """Return libpq's lines as sentences of one line; the last goes without its end, which our own sentence brings."""
    said = " ".join(message.split()).replace(" Is the server running", ". Is the server running")
    return said.removesuffix("?")


def connection_error(message: str, dsn: str, *, sqlstate: str | None = None) -> PitstopError:
    """Translate libpq's refusal to connect. `message` is libpq's text, in any language; the cause is never lost."""
    place, text = server_place(dsn), _one_line(message).removeprefix("connection failed: ")
    if line := hba_line(text):
        return Usage(
            f"PostgreSQL at {place} turned the connection down: {text}.",
            hint=f"{line}  # add this to pg_hba.conf, then: SELECT pg_reload_conf();",
            code="hba-replication" if " replication " in line else "hba",
        )
    if missing := _NO_LETTERS.search(text):
        return Usage(
            f"The database {missing[0]} has letters in its name that are no UTF-8: it cannot be connected to.",
            hint="Give it another one, in a database of its own encoding: ALTER DATABASE … RENAME TO …;",
            code="database-name",
        )
    for needle, code, hint in _REFUSALS:
        if needle in text:
            user = quote_ident(dsn_field(dsn, "user") or "the role")
            return Usage(
                f"PostgreSQL at {place} turned the connection down: {text}.",
                hint=hint.format(user=user),
                code=code,
            )
    if sqlstate in _NEVER_HEALS:
        return Usage(
            f"PostgreSQL at {place} turned the connection down: {text}.",
            hint="Are user, password and database right? Try the same DSN with psql.",
            code="login-refused",
        )
    return Unavailable(
        f"PostgreSQL at {place} does not answer: {text}.",
        hint="Is the server running, and do host and port in the DSN lead to it?",
        code="server-down",
    )


_REFUSALS = (
    (
        "must be superuser or replication role",
        "not-replication",
        "ALTER ROLE {user} WITH REPLICATION; -- as superuser",
    ),
    (
        "permission denied to start WAL sender",
        "not-replication",
        "ALTER ROLE {user} WITH REPLICATION; -- as superuser",
    ),
    ("is not permitted to log in", "no-login", "ALTER ROLE {user} WITH LOGIN; -- as superuser"),
    (
        "number of requested standby connections exceeds",
        "max-wal-senders",
        "ALTER SYSTEM SET max_wal_senders = 10; -- then restart the server",
    ),
    ("password authentication failed", "password", "Is the password in the DSN, in ~/.pgpass or PGPASSWORD right?"),
    (
        "no password supplied",
        "password",
        "Put the password into ~/.pgpass, a passfile named in the DSN, or PGPASSWORD.",
    ),
    ("Peer authentication failed", "peer", "Run Pitstop as that user, or map it in pg_ident.conf."),
    ("does not exist", "unknown-role-or-database", "Is the name in the DSN right?"),
)


def hba_line(message: str) -> str | None:
    """Return the pg_hba.conf line that lets in whom the server just turned away for want of one, or None. Pure."""
    found = _NO_ENTRY.search(message)
    if found is None:
        return None
    host = found["host"]
    where = "local" if host == "[local]" else "hostssl" if found["ssl"] else "host"
    address = "" if where == "local" else f" {host}/{128 if ':' in host else 32}"
    database = "replication" if found["replication"] else _hba_name(found["database"] or "all")
    return f"{where} {database} {_hba_name(found['user'])}{address} scram-sha-256"


def _hba_name(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) and name not in {"all", "replication"} else quote_ident(name)


def _unreadable(error: psycopg.Error, dsn: str) -> Usage:
    said = " ".join(str(error).split())
    if "password" in dsn.lower() or "@" in dsn:
        said = _QUOTED.sub('"…"', said)  # the word libpq stumbled over may be half a password
    return Usage(
        f"The DSN cannot be read: {said}.",
        hint='Write it as libpq does: "host=/var/run/postgresql user=pitstop"; a value with spaces in single quotes.',
        code="bad-dsn",
    )
