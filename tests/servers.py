"""Real PostgreSQL servers for tests: fast, private, and gone afterwards.

A cluster is made with initdb once per major and session, and copied for each test. Import the fixtures into a
conftest: `pg15`, `pg16`, `pg18`, `plain_server`, `server_home`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import psycopg
import pytest

from bot.errors import Unavailable
from bot.host.accounts import Account, server_account
from bot.postgres.binaries import Binaries, find
from bot.postgres.plain import PlainServer, initdb
from tests.places import for_servers

FAST = {"fsync": "off", "shared_buffers": "16MB", "max_wal_size": "256MB", "max_wal_senders": "6"}


class PlainServerFactory(Protocol):
    """`plain_server(18, settings={...})`: a fresh server, stopped and removed after the test."""

    def __call__(
        self,
        binaries: Binaries | int = 18,
        *,
        settings: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> PlainServer:
        """Copy the template made with initdb `options`, and start it with `settings` over the fast defaults."""
        ...


def binaries_or_skip(major: int) -> Binaries:
    """Return PostgreSQL `major`, or skip the test with the line that installs it."""
    try:
        return find(major)
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def pg15() -> Binaries:
    """PostgreSQL 15."""
    return binaries_or_skip(15)


@pytest.fixture(scope="session")
def pg16() -> Binaries:
    """PostgreSQL 16."""
    return binaries_or_skip(16)


@pytest.fixture(scope="session")
def pg18() -> Binaries:
    """PostgreSQL 18."""
    return binaries_or_skip(18)


@pytest.fixture(scope="session")
def server_user() -> Account:
    """The account test servers run as."""
    return server_account()


@pytest.fixture
def server_home(server_user: Account) -> Iterator[Path]:
    """A folder the servers' account may enter (pytest's own is 0700), with a short path; removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="ps-", dir=for_servers()))
    folder.chmod(0o755)
    if not server_user.is_current:
        os.chown(folder, server_user.uid, server_user.gid)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def cluster_template(server_user: Account) -> Iterator[Callable[[Binaries, Sequence[str]], Path]]:
    """A function that makes a cluster with initdb once and returns its folder, to be copied."""
    home = Path(tempfile.mkdtemp(prefix="ps-template-", dir=for_servers()))
    home.chmod(0o755)
    made: dict[tuple[int, tuple[str, ...]], Path] = {}

    def template(binaries: Binaries, options: Sequence[str]) -> Path:
        key = (binaries.version_num, tuple(options))
        if key not in made:
            made[key] = home / str(len(made))
            initdb(binaries, made[key], server_user, options=options)
        return made[key]

    yield template
    shutil.rmtree(home)


@pytest.fixture
def plain_server(
    server_home: Path,
    server_user: Account,
    cluster_template: Callable[[Binaries, Sequence[str]], Path],
) -> Iterator[PlainServerFactory]:
    """A factory of fresh servers; each is in `server_home/<n>`, with its socket in `server_home/<n>/socket`."""
    with ExitStack() as stack:
        count = 0

        def start(
            binaries: Binaries | int = 18,
            *,
            settings: Mapping[str, str] | None = None,
            options: Sequence[str] = (),
        ) -> PlainServer:
            nonlocal count
            chosen = binaries_or_skip(binaries) if isinstance(binaries, int) else binaries
            home = server_home / str(count)
            count += 1
            home.mkdir(mode=0o755)
            socket_dir = home / "socket"
            socket_dir.mkdir(mode=0o700)
            if not server_user.is_current:
                os.chown(socket_dir, server_user.uid, server_user.gid)
            data = home / "data"
            subprocess.run(["cp", "-a", cluster_template(chosen, options), data], check=True)
            server = PlainServer.start(
                chosen, data, server_user, socket_dir=socket_dir, settings={**FAST, **(settings or {})},
                log=home / "server.log",
            )  # fmt: skip
            stack.callback(server.stop, "immediate")
            return server

        yield start


def execute(server: PlainServer, sql: str, *, dbname: str = "postgres") -> list[tuple[object, ...]]:
    """Run one statement as the superuser outside any transaction, and return its rows."""
    with psycopg.connect(server.dsn(dbname), autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []
