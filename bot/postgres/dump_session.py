"""The sessions of a dump: ours and pg_dump's, which no setting of the role or the database steers or stops."""

from __future__ import annotations

import os
from dataclasses import dataclass

from bot.errors import Usage
from bot.postgres.connect import Connection, connect, dsn_fields, make_dsn
from bot.postgres.own_session import session_options

_NOT_OURS = ("PGOPTIONS", "PGCLIENTENCODING", "PGAPPNAME", "PGDATABASE", "PGTZ", "PGDATESTYLE", "PGGEQO")


@dataclass(frozen=True, slots=True)
class DumpSession:
    """How to reach one database for a dump.

    `encoding` is the client's: UTF8, SQL_ASCII where the database has none and every byte counts, or None for the database's own.
    """

    dsn: str
    dbname: str
    major: int
    application_name: str
    encoding: str | None = "UTF8"

    def conninfo(self, **settings: str) -> str:
        """Return the libpq string of a session of our own, with `settings` of the server over the usual ones."""
        named = {"dbname": self.dbname, "application_name": self.application_name}
        if self.encoding is not None:
            named["client_encoding"] = self.encoding
        return make_dsn(self.dsn, **named, options=self._options(**settings))

    def connect(self, **settings: str) -> Connection:
        """Open a session of our own.

        Raises:
            Unavailable, Usage: see `bot.postgres.connect.connect`.
        """
        return connect(self.conninfo(**settings), dbname=self.dbname, application_name=self.application_name)

    def program_conninfo(self) -> str:
        """Return the libpq string for pg_dump's command line: everybody can read it, so without the password.

        Raises:
            Usage: the DSN holds the passphrase of a TLS key, for which programs have no other way.
        """
        fields = dict(dsn_fields(self.dsn))
        fields.pop("password", None)
        if fields.pop("sslpassword", None) is not None:
            raise Usage(
                "The DSN holds `sslpassword`, which would stand on pg_dump's command line for everybody to read.",
                hint="Write it into a pg_service.conf, and name that in the DSN: service=…",
                code="sslpassword",
            )
        fields.pop("client_encoding", None)
        named = {"dbname": self.dbname, "application_name": self.application_name, "options": self._options()}
        return make_dsn("", **{**fields, **named})

    def program_environment(self) -> dict[str, str]:
        """Return the environment for pg_dump: ours, with the password, without what would steer its session."""
        env = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
        password = dsn_fields(self.dsn).get("password")
        if password is not None:
            env["PGPASSWORD"] = password
        return {**env, "LC_ALL": "C"}

    def _options(self, **settings: str) -> str:
        # Event triggers fire on changes alone, and only a superuser may turn them off.
        always = {
            "row_security": "off",
            "client_connection_check_interval": "5s",
            "event_triggers": "",
            "DateStyle": "ISO",
            "TimeZone": "UTC",
        }
        own = session_options(self.major, **always, **settings)
        given = dsn_fields(self.dsn).get("options", "")
        return f"{given} {own}".strip()
