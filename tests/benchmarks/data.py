"""The content of a measured cluster: what databases are full of, seeded, so that every run stores the same."""

from __future__ import annotations

import random
from itertools import accumulate

import psycopg

COPIES = 8
"""Rows are made once and inserted this often; copies lie further apart than any compressor's window looks."""
SMALL_TABLES = 50
_WORDS = 6_000
_SCHEMA = """
CREATE TABLE accounts (aid bigint, bid int, abalance int, filler char(84));
CREATE TABLE notes (id bigint, author int, body text);
CREATE TABLE events (id bigint, body jsonb);
CREATE TABLE blobs (id bigint, body bytea);
ALTER TABLE blobs ALTER body SET STORAGE EXTERNAL;
CREATE TABLE seed_notes (id bigint, author int, body text);
"""
_ACCOUNTS = """
INSERT INTO accounts SELECT n, n % 100, (hashint8(n) % 100000), '' FROM generate_series(1, %(rows)s) n
"""
_EVENTS = """
INSERT INTO events SELECT n, jsonb_build_object('id', n, 'user', abs(hashint8(n)) %% 90000, 'kind',
  (ARRAY['login', 'order', 'payment', 'refund', 'slip'])[1 + abs(hashint8(n * 7)) %% 5], 'at',
  timestamptz '2026-01-01' + n * interval '1.7 s', 'amount', (abs(hashint8(n * 13)) %% 1000000) / 100.0, 'ref',
  left(md5(n::text), 12), 'tags', jsonb_build_array('shop', 'bank-' || abs(hashint8(n * 3)) %% 40))
FROM generate_series(1, %(rows)s) n
"""


def fill(dsn: str, size_mb: int) -> None:
    """Fill an empty server with about `size_mb` MB: accounts as pgbench has them, text, JSON, bytea, small tables, objects."""
    rng = random.Random(20261122)
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute(_SCHEMA)
        _insert(db, _ACCOUNTS, rows=size_mb * 2_600)
        _insert(db, _EVENTS, rows=size_mb * 880)
        _notes(db, rng, seed_rows=size_mb * 280 // COPIES)
        _blobs(db, rng, rows=size_mb * 10)
        _small(db, rng)
        db.execute("CREATE UNIQUE INDEX ON accounts (aid)")
        db.execute("CREATE INDEX ON notes (author)")
        db.execute("VACUUM (FREEZE, ANALYZE)")
        db.execute("CHECKPOINT")


def _insert(db: psycopg.Connection, query: str, *, rows: int) -> None:
    db.execute(query.replace("%(rows)s", str(rows)).replace("%%", "%").encode())


def _notes(db: psycopg.Connection, rng: random.Random, seed_rows: int) -> None:
    words = ["".join(rng.choices("etaoinshrdlucmfwyp", k=rng.randint(2, 11))) for _ in range(_WORDS)]
    weights = list(accumulate(1 / (rank + 3) for rank in range(_WORDS)))
    with db.cursor().copy("COPY seed_notes FROM STDIN") as copy:
        for n in range(seed_rows):
            copy.write_row((n, n % 977, " ".join(rng.choices(words, cum_weights=weights, k=rng.randint(60, 160)))))
    for number in range(COPIES):
        db.execute(f"INSERT INTO notes SELECT id + {number * seed_rows}, author, body FROM seed_notes".encode())
    db.execute("DROP TABLE seed_notes")


def _blobs(db: psycopg.Connection, rng: random.Random, rows: int) -> None:
    with db.cursor().copy("COPY blobs FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["int8", "bytea"])
        for n in range(rows):
            copy.write_row((n, rng.randbytes(4_000)))


def _small(db: psycopg.Connection, rng: random.Random) -> None:
    for number in range(SMALL_TABLES):
        db.execute(f"CREATE TABLE small_{number} AS SELECT n, md5(n::text) t FROM generate_series(1, 100) n".encode())
    for _ in range(5):
        db.execute("SELECT lo_from_bytea(0, %s)", [rng.randbytes(200_000)])
