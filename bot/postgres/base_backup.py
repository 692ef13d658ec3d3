"""Streaming one base backup out of a server: BASE_BACKUP's answer as a series of events."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from psycopg import pq

from bot.errors import Corruption, Failed
from bot.model.wal import Lsn
from bot.postgres.connect import quote_literal
from bot.postgres.replication import Notice, ReplicationConnection, Result, rows_of

_TAR_END = bytes(1024)
_LONG_BYTES = 8192
"""A message shorter than a page is a file's end or a header: the next one is different."""
_DATA, _PROGRESS, _ARCHIVE, _MANIFEST = b"dpnm"
_QUOTES = "\"»«„“”'"
_PAGE = re.compile(rf"[{_QUOTES}](?P<file>[^{_QUOTES}]*/[^{_QUOTES}]*)[{_QUOTES}](?:,\s*\D+?\s(?P<block>\d+):)?")
_CHECKING = frozenset({"sendFile", "verify_page_checksum", "read_file_data_into_buffer"})
"""The functions of PostgreSQL's basebackup.c that warn of pages: the second to 15, the third from 16 on."""


@dataclass(frozen=True, slots=True)
class TablespaceInfo:
    """One line of the header: `oid` and `location` are None for the data directory itself; `bytes` is an estimate."""

    oid: int | None
    location: str | None
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Started:
    """The checkpoint is done: WAL is needed from `start_lsn` on."""

    start_lsn: Lsn
    timeline: int
    tablespaces: tuple[TablespaceInfo, ...]

    @property
    def bytes_total(self) -> int:
        """The server's estimate of what will come, in bytes."""
        return sum(t.bytes or 0 for t in self.tablespaces)


@dataclass(frozen=True, slots=True)
class ArchiveStarted:
    """The following `Data` is one tar: the data directory's (`base`), or a tablespace's, named by its OID."""

    name: str
    tablespace_oid: int | None
    location: str | None


@dataclass(frozen=True, slots=True)
class Data:
    """Some bytes of the current archive, in order, in as many parts as have arrived; valid until the next event.

    Attributes:
        more: after the parts, and before the next event, writes the bytes that follow into what it is given, and returns how many
            those were; 0 when there are none at the moment, or the next event has them. None where it would not help.
    """

    parts: Sequence[bytes | memoryview]
    more: Callable[[memoryview], int] | None = None


@dataclass(frozen=True, slots=True)
class ManifestStarted:
    """The following `ManifestData` is PostgreSQL's backup_manifest."""


@dataclass(frozen=True, slots=True)
class ManifestData:
    """Some bytes of the backup manifest."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """The server has read this many bytes of the current archive."""

    bytes: int


@dataclass(frozen=True, slots=True)
class Damage:
    """A page whose checksum is wrong: `file` relative to the data directory, `block` None when only a count was told."""

    file: str
    block: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Finished:
    """All was sent: WAL is needed up to `end_lsn`. `damage` is empty for a sound backup; `warnings` are all of the server's."""

    end_lsn: Lsn
    timeline: int
    damage: tuple[Damage, ...] = ()
    warnings: tuple[str, ...] = ()


BackupEvent = Started | ArchiveStarted | Data | ManifestStarted | ManifestData | Progress | Finished


def stream_base_backup(
    conn: ReplicationConnection, *, label: str, max_rate_kib: int = 0, fast: bool = True
) -> Iterator[BackupEvent]:
    """Run BASE_BACKUP and yield its answer piece by piece, in bounded memory.

    Never waits for archiving (WAIT false). Damaged pages do not end it early: they are told in `Finished`.

    Raises:
        Unavailable: the server went away.
        Usage: it lacks a right or a setting; the hint has the line to put right.
    """
    results = conn.bulk_results(command(conn.major, label=label, max_rate_kib=max_rate_kib, fast=fast))
    started = _header(next(results), next(results))
    yield started
    yield from (
        _archives_by_message(conn, next(results)) if conn.major >= 15 else _archives_by_copy(conn, results, started)
    )
    [(end, timeline, *_)] = rows_of(next(results))
    refused = _outcome(results)
    damage, warnings = read_warnings(conn.notices)
    if refused is not None and not damage:
        damage = (Damage("", None, refused),)
    yield Finished(Lsn.parse(end or ""), int(timeline or 0), damage, warnings)


def command(major: int, *, label: str, max_rate_kib: int, fast: bool) -> str:
    """Return the BASE_BACKUP command in the grammar of `major`: parenthesised from 15 on, bare words before. Pure."""
    if major >= 15:
        rate = f", MAX_RATE {max_rate_kib}" if max_rate_kib else ""
        return (
            f"BASE_BACKUP ( LABEL {quote_literal(label)}, PROGRESS true, CHECKPOINT '{'fast' if fast else 'spread'}', "
            f"WAIT false, TABLESPACE_MAP true, MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C'{rate} )"
        )
    rate = f" MAX_RATE {max_rate_kib}" if max_rate_kib else ""
    return (
        f"BASE_BACKUP LABEL {quote_literal(label)} PROGRESS{' FAST' if fast else ''} NOWAIT{rate} TABLESPACE_MAP "
        "MANIFEST 'yes' MANIFEST_CHECKSUMS 'CRC32C'"
    )


def read_warnings(notices: Iterable[Notice]) -> tuple[tuple[Damage, ...], tuple[str, ...]]:
    """Return (damaged pages, all warnings as told). Pure; understands the server in any language.

    A file whose single pages were not all named is told once more, without a block, only if no page of it was.
    """
    told = [notice for notice in notices if notice.severity == "WARNING"]
    pages: list[Damage] = []
    for notice in told:
        place = _PAGE.search(notice.message)
        if place is None or notice.function not in _CHECKING or notice.message.startswith("could not verify"):
            continue
        file, block = place["file"].removeprefix("./"), place["block"]
        if block is not None or all(page.file != file for page in pages):
            pages.append(Damage(file, int(block) if block is not None else None, notice.message))
    return tuple(pages), tuple(notice.message for notice in told)


def _header(start: Result, tablespaces: Result) -> Started:
    [(lsn, timeline, *_)] = rows_of(start)
    return Started(
        start_lsn=Lsn.parse(lsn or ""),
        timeline=int(timeline or 0),
        tablespaces=tuple(
            TablespaceInfo(int(oid) if oid else None, location or None, int(kib) * 1024 if kib else None)
            for oid, location, kib, *_ in rows_of(tablespaces)
        ),
    )


def _archives_by_message(conn: ReplicationConnection, copy: Result) -> Iterator[BackupEvent]:
    """Read 15's one COPY, whose messages say what they are."""
    _expect_copy(copy)
    in_manifest = False
    for batch in conn.copy_batches():
        # Nearly all are data: those that follow each other are one event, or each would cost as much as copying it.
        parts: list[bytes | memoryview] = []
        for message in batch:
            kind = message[0]
            if kind == _DATA:
                parts.append(message[1:])
                continue
            if parts:
                yield _data(parts, in_manifest=in_manifest)
                parts = []
            if kind == _PROGRESS:
                yield Progress(int.from_bytes(message[1:9], "big"))
            elif kind == _ARCHIVE:
                yield _archive(bytes(message[1:]))
            elif kind == _MANIFEST:
                in_manifest = True
                yield ManifestStarted()
            else:
                raise Failed(f"The server sent an unknown backup message {chr(kind)!r}.", code="replication-protocol")
        if parts:
            # Files of any size come in messages of the same length, to the last.
            size = len(parts[-1])
            more = partial(conn.copy_alike, bytes([_DATA]), size) if size >= _LONG_BYTES else None
            yield _data(parts, more, in_manifest=in_manifest)


def _data(
    parts: list[bytes | memoryview], more: Callable[[memoryview], int] | None = None, *, in_manifest: bool
) -> Data | ManifestData:
    return ManifestData(b"".join(parts)) if in_manifest else Data(parts, more)


def _archive(body: bytes) -> ArchiveStarted:
    name, location, *_ = (part.decode(errors="surrogateescape") for part in body.split(b"\0"))
    stem = name.removesuffix(".tar")
    return ArchiveStarted(stem, int(stem) if stem.isdigit() else None, location or None)


def _archives_by_copy(
    conn: ReplicationConnection, results: Iterator[Result], started: Started
) -> Iterator[BackupEvent]:
    """Read 14's one COPY for each tablespace, then one for the manifest; its tars get the end they lack."""
    for space in started.tablespaces:
        _expect_copy(next(results))
        yield ArchiveStarted(str(space.oid) if space.oid else "base", space.oid, space.location)
        for batch in conn.copy_batches():
            yield Data(batch)
        yield Data([_TAR_END])
    _expect_copy(next(results))
    yield ManifestStarted()
    for message in conn.copy_data():
        yield ManifestData(bytes(message))


def _outcome(results: Iterator[Result]) -> str | None:
    """Read the end of the command: None, or the server's complaint when all was sent but pages are damaged."""
    try:
        for _ in results:
            pass
    except Corruption as error:
        return error.message
    return None


def _expect_copy(result: Result) -> None:
    if result.status != pq.ExecStatus.COPY_OUT:
        raise Failed("The server answered BASE_BACKUP with something else than a copy.", code="replication-protocol")
