"""A configured SQL check, run on a copy: what it says is a result, also when it fails."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from bot.errors import PitstopError
from bot.model.sql_checks import SqlCheck
from bot.postgres.connect import Connection
from bot.postgres.isolated import IsolatedServer
from bot.postgres.look import looking

_STATEMENT_S = 300.0
_SHOWN = 200


def run_check(server: IsolatedServer, check: SqlCheck, *, cancelled: Callable[[], bool]) -> tuple[bool, str]:
    """Run one check in a read-only transaction of a copy; return whether it passed, and what was found, in a few words.

    It passes when the first column of the first row is `expect` as text, or with `expect` None, when there is any row. An
    SQL error, a database that is not there and a statement that takes longer than five minutes are failed checks.
    """
    try:
        with looking(server, check.database, timeout_s=_STATEMENT_S, cancelled=cancelled, own_path=True) as connection:
            return ask(connection, check)
    except psycopg.Error as error:
        return False, _short(str(error))
    except PitstopError as error:
        return False, _short(error.message)


def ask(connection: Connection, check: SqlCheck) -> tuple[bool, str]:
    """Run one check on a connection that only reads; see `run_check`."""
    try:
        result = connection.execute(check.sql.encode()).pgresult
    except psycopg.errors.QueryCanceled:
        return False, f"not finished after {_STATEMENT_S:.0f} s"
    except psycopg.Error as error:
        return False, _short(str(error))
    if result is None or result.nfields == 0:
        return False, "it returns no rows: a check has to be a query"
    if result.ntuples == 0:
        return False, "no row"
    value = result.get_value(0, 0)
    text = "NULL" if value is None else value.decode("utf-8", "backslashreplace")
    if check.expect is None:
        return True, _short(text)
    passed = value is not None and text == check.expect
    return passed, f"{_short(text)}, as expected" if passed else f"{_short(text)} instead of {_short(check.expect)}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"
