"""A new, empty isolated server that a dump can be restored into; the dumps' own programs fill it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from bot.host.accounts import Account
from bot.host.children import Child
from bot.postgres.binaries import Binaries
from bot.postgres.connect import connect, make_dsn, quote_ident
from bot.postgres.isolated import IsolatedServer, prepare
from bot.postgres.isolated_folder import ServerFolder
from bot.postgres.own_session import session_options
from bot.postgres.plain import initdb
from bot.postgres.recovery import supervise
from bot.postgres.restore_program import in_memory

_LOOK_EVERY_S = 0.5
_PRESENT = ("postgres", "template1")
_ERROR = re.compile(r"^pg_restore: (?:error|fatal): (?P<text>.*)$", re.MULTILINE)
_TOTAL = re.compile(r"errors ignored on restore: (\d+)")


def start_empty(
    folder: ServerFolder, *, facts: Mapping[str, Any], binaries: Binaries, account: Account
) -> IsolatedServer:
    """Make a cluster with initdb in a claimed folder, with the recorded superuser, and start it in its room.

    Raises:
        Unavailable: this machine lacks a locale of the databases. Failed: initdb refused, or the server did not start.
    """
    initdb(binaries, folder.data, account, options=["-U", facts["bootstrap_superuser"]])
    server = prepare(folder, facts=facts, binaries=binaries, account=account, recovery=None)
    server.start(ready=True)
    return server


def restore_archive(
    server: IsolatedServer,
    database: str,
    pieces: Iterable[bytes],
    *,
    programs: Binaries,
    options: Sequence[str] = (),
    chosen: bytes | None = None,
    schemas: Sequence[str] = (),
    check: Callable[[], None],
) -> tuple[int, list[str]]:
    """Restore a custom archive into its database; return how many statements failed, and the first of them. Slow.

    The archive itself makes the database, under its own name; one that initdb made is filled as it is. `chosen` is the list of
    what is taken of it (None: everything), `schemas` are made beforehand, because the archive does not.

    Raises:
        Unavailable: pg_restore is missing. Whatever `pieces` and `check` raise.
    """
    if schemas:
        _make_schemas(server, database, schemas)
    by_archive = database not in _PRESENT and not schemas
    target = "template1" if by_archive else database
    dsn = make_dsn(server.dsn(target), options=session_options(server.binaries.major, search_path=""))
    env = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    with ExitStack() as stack:
        lists = [] if chosen is None else [stack.enter_context(in_memory(chosen))]
        argv = [
            os.fspath(programs.tool("pg_restore")),
            "--no-password",
            "--no-tablespaces",
            *(["--create"] if by_archive else []),
            *options,
            *(f"--use-list=/proc/self/fd/{one}" for one in lists),
            "--dbname",
            dsn,
        ]
        child = stack.enter_context(Child(argv, env={**env, "LC_ALL": "C"}, fed=True, files=lists))
        _feed(child, pieces, check)
        while not child.ended(_LOOK_EVERY_S):
            check()
        code, said = child.wait()
    errors = [found["text"][:300] for found in _ERROR.finditer(said)]
    total = _TOTAL.search(said)
    number = int(total[1]) if total else len(errors)
    if code != 0 and not number:
        errors, number = [f"pg_restore ended with {code}: {' '.join(said.split())[-200:]}"], 1
    return number, errors[:5]


def _feed(child: Child, pieces: Iterable[bytes], check: Callable[[], None]) -> None:
    """Write all pieces; where the program takes no more, the rest is still read, so that what is wrong with it is found."""
    taking = True
    for piece in pieces:
        rest = memoryview(piece)
        while taking and rest:
            check()
            written = child.write(rest, _LOOK_EVERY_S)
            taking = written is not None
            rest = rest[written or 0 :]
        check()
    child.end_input()


def _make_schemas(server: IsolatedServer, database: str, schemas: Sequence[str]) -> None:
    """Make a database, where initdb did not, and the schemas that an archive of chosen tables is in."""
    if database not in _PRESENT:
        with supervise(server) as connection:
            connection.execute(f"CREATE DATABASE {quote_ident(database)} TEMPLATE template0".encode())
    with connect(server.dsn(database)) as connection:
        for schema in schemas:
            connection.execute(f"CREATE SCHEMA {quote_ident(schema)}".encode())
