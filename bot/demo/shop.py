"""A small slip-verification shop: three tables, some history, and orders that keep coming in."""

from __future__ import annotations

import contextlib
import hashlib
import random
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import sql

DATABASE = "SlipVerificationDb"
TABLES = ("Users", "Orders", "Transactions")

_SCHEMA = """
CREATE TABLE "Users" (
    "Id" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    "Name" text NOT NULL,
    "Email" text NOT NULL UNIQUE,
    "CreatedAt" timestamptz NOT NULL
);
CREATE TABLE "Orders" (
    "Id" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    "UserId" bigint NOT NULL REFERENCES "Users",
    "Amount" numeric(12, 2) NOT NULL CHECK ("Amount" > 0),
    "CreatedAt" timestamptz NOT NULL
);
CREATE TABLE "Transactions" (
    "Id" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    "OrderId" bigint NOT NULL REFERENCES "Orders",
    "SlipReference" text NOT NULL,
    "Status" text NOT NULL CHECK ("Status" IN ('verified', 'rejected', 'pending')),
    "CreatedAt" timestamptz NOT NULL
);
CREATE INDEX ON "Transactions" ("OrderId");
"""
_FIRST = ("Anong", "Boonsri", "Chai", "Dara", "Ekachai", "Fah", "Kanya", "Lek", "Malee", "Niran", "Pim", "Somsak")
_LAST = ("Suksan", "Thongdee", "Wongsa", "Saelim", "Rattana", "Boonmee", "Jaidee", "Meesuk")
_STATUS = ("verified", "verified", "verified", "pending", "rejected")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The content of one table: its number of rows and the SHA-256 (hex) over all rows in primary-key order."""

    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """What `drop_table` destroyed: the table, its content just before, and the transaction that did it (`at` aware UTC)."""

    table: str
    before: Fingerprint
    xid: int
    at: datetime


def fill(dsn: str, *, users: int = 200, orders: int = 2_000, transactions: int = 5_000) -> None:
    """Create the shop's database and a month of history in it. `dsn` leads to any database of an empty server."""
    with psycopg.connect(dsn, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    rng = random.Random(20261122)
    now = datetime.now(UTC)
    with psycopg.connect(dsn, dbname=DATABASE) as shop, shop.cursor() as cursor:
        cursor.execute(_SCHEMA)
        with cursor.copy('COPY "Users" ("Name", "Email", "CreatedAt") FROM STDIN') as copy:
            for n in range(users):
                name = f"{rng.choice(_FIRST)} {rng.choice(_LAST)}"
                copy.write_row((name, f"user{n}@example.com", now - timedelta(days=30 + n)))
        with cursor.copy('COPY "Orders" ("UserId", "Amount", "CreatedAt") FROM STDIN') as copy:
            for n in range(orders):
                at = now - timedelta(days=30) * (1 - n / orders)
                copy.write_row((rng.randint(1, users), rng.randint(100, 900_000) / 100, at))
        with cursor.copy('COPY "Transactions" ("OrderId", "SlipReference", "Status", "CreatedAt") FROM STDIN') as copy:
            for n in range(transactions):
                at = now - timedelta(days=30) * (1 - n / transactions)
                copy.write_row((1 + n * orders // transactions, f"SLIP-{n:08d}", rng.choice(_STATUS), at))


class Customers(threading.Thread):
    """Steady writes: an order and its slip a few times a second, for as long as the tables are there."""

    def __init__(self, dsn: str, *, every_s: float = 0.25) -> None:
        super().__init__(name="shop-customers", daemon=True)
        self._dsn = dsn
        self._every_s = every_s
        self._over = threading.Event()

    def run(self) -> None:
        """Write until `close`; a missing table or a restarting server is waited out, as a shop would."""
        while not self._over.is_set():
            with contextlib.suppress(psycopg.Error), psycopg.connect(self._dsn, dbname=DATABASE) as shop:
                while not self._over.wait(self._every_s):
                    self._buy(shop)
            self._over.wait(self._every_s)

    def close(self) -> None:
        """Stop writing and wait for the last write."""
        self._over.set()
        self.join(timeout=10)

    def _buy(self, shop: psycopg.Connection) -> None:
        with shop.transaction():
            row = shop.execute(
                'INSERT INTO "Orders" ("UserId", "Amount", "CreatedAt") '
                'VALUES (1 + floor(random() * 200), 1 + round((random() * 900)::numeric, 2), now()) RETURNING "Id"'
            ).fetchone()
            assert row is not None
        with contextlib.suppress(psycopg.errors.UndefinedTable), shop.transaction():
            shop.execute(
                'INSERT INTO "Transactions" ("OrderId", "SlipReference", "Status", "CreatedAt") '
                "VALUES (%s, 'SLIP-' || lpad(%s::text, 8, '0'), 'pending', now())",
                [row[0], row[0]],
            )


def fingerprint(connection: psycopg.Connection, table: str) -> Fingerprint:
    """Return what `table` holds, in a form that two servers can be compared by."""
    query = sql.SQL('SELECT t::text FROM {} t ORDER BY "Id"').format(sql.Identifier(table))
    digest, rows = hashlib.sha256(), 0
    connection.execute("SET TIME ZONE 'UTC'")
    for (row,) in connection.execute(query):
        digest.update(row.encode() + b"\n")
        rows += 1
    return Fingerprint(rows, digest.hexdigest())


def drop_table(dsn: str, table: str) -> Dropped:
    """Do what the migration in the story did: drop `table`, remembering exactly what was lost."""
    with psycopg.connect(dsn, dbname=DATABASE) as shop:
        shop.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(table)))
        before = fingerprint(shop, table)
        shop.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(table)))
        row = shop.execute("SELECT pg_current_xact_id()::text::bigint % 4294967296").fetchone()
        assert row is not None
        shop.commit()
    return Dropped(table, before, int(row[0]), datetime.now(UTC))
