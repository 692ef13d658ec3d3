"""Letting people in to a restored server: a role with a password only its passfile knows."""

from __future__ import annotations

import secrets

import psycopg
from psycopg import sql

from bot.errors import Failed
from bot.host.files import write_durable
from bot.postgres.isolated import IsolatedServer
from bot.postgres.recovery import supervise

_HOSTS = ("127.0.0.1", "localhost")


def grant_access(server: IsolatedServer, name: str, *, dbname: str = "postgres", port: int | None = None) -> str:
    """Let role `name` in and return the libpq string that works for this process's user; a second call renews the password.

    The role is a superuser of the copy: looking, comparing and copying back need every right, and the copy can harm
    nobody. With `port` the string leads through the forwarder on 127.0.0.1. The password stands in a 0600 file alone.

    Raises:
        Unavailable: the server takes no connections.
        Failed: it refused to make the role.
    """
    password = secrets.token_urlsafe(24)
    _make_role(server, name, password)
    server.admit(name)
    hosts = [(str(server.socket_dir), 5432)] + ([(host, port) for host in _HOSTS] if port else [])
    lines = [":".join(_escape(part) for part in (host, str(number), "*", name, password)) for host, number in hosts]
    write_durable(server.folder.passfile, ("\n".join(lines) + "\n").encode(), mode=0o600)
    host, number = ("127.0.0.1", port) if port else hosts[0]
    passfile = str(server.folder.passfile)
    return psycopg.conninfo.make_conninfo(host=host, port=number, user=name, dbname=dbname, passfile=passfile)


def _make_role(server: IsolatedServer, name: str, password: str) -> None:
    with supervise(server) as connection:
        # The hash is made here: the statement, and with it every log, never carries the password.
        hashed = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
        known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone()
        verb = sql.SQL("ALTER ROLE" if known else "CREATE ROLE")
        try:
            connection.execute(
                sql.SQL("{} {} LOGIN SUPERUSER BYPASSRLS VALID UNTIL 'infinity' PASSWORD {}").format(
                    verb, sql.Identifier(name), sql.Literal(hashed)
                )
            )
        except psycopg.Error as error:
            raise Failed(f"The role {name} cannot be made: {error}.", code="no-role") from error


def _escape(part: str) -> str:
    return part.replace("\\", "\\\\").replace(":", "\\:")
