"""What pg_waldump prints, as values. Pure: text in, records out. Formats of PostgreSQL 14 to 18."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from bot.model.targets import Commit
from bot.model.wal import Lsn
from bot.model.wal_pages import Pages

_LINE = re.compile(
    r"rmgr: (?P<rmgr>\S.*?) +len \(rec/tot\): +\d+/ *(?P<total>\d+), tx: +(?P<xid>\d+), "
    r"lsn: (?P<high>[0-9A-F]+)/(?P<low>[0-9A-F]{8}), prev [0-9A-F]+/[0-9A-F]{8}, desc: (?P<desc>.*)",
    re.DOTALL,
)
_END = re.compile(r"(COMMIT|ABORT)(?:_PREPARED (\d+):)? (\d{4,}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+) UTC")
_SUBXACTS = re.compile(r"; subxacts:((?: \d+)+)")
_TABLESPACE = re.compile(r'CREATE (\d+) "(.*)"', re.DOTALL)
_FREE_TEXT = ("PREPARE ", "RESTORE_POINT ")


@dataclass(frozen=True, slots=True)
class Record:
    """One line of pg_waldump; `total_bytes` is the record's length without padding, `xid` is 0 outside a transaction."""

    rmgr: str
    total_bytes: int
    xid: int
    lsn: Lsn
    desc: str

    @property
    def has_free_text(self) -> bool:
        """Whether users chose part of `desc`, which may then contain line breaks and look like further records."""
        return self.desc.startswith(_FREE_TEXT)

    def end(self, pages: Pages) -> Lsn:
        """Return the first byte after the record."""
        if self.rmgr == "XLOG" and self.desc.startswith("SWITCH"):
            return pages.next_segment(self.lsn)
        return pages.record_end(self.lsn, self.total_bytes)


@dataclass(frozen=True, slots=True)
class TransactionEnd:
    """A transaction's commit or abort; `subxacts` are its subtransactions, which have no record of their own."""

    commit: Commit
    subxacts: tuple[int, ...]
    prepared: bool

    @property
    def lsn(self) -> Lsn:
        """Where the record starts."""
        return self.commit.lsn


@dataclass(frozen=True, slots=True)
class RestorePoint:
    """A named restore point; `end` is the first byte after its record."""

    name: str
    lsn: Lsn
    end: Lsn


@dataclass(frozen=True, slots=True)
class ParameterChange:
    """Settings a server started with, as WAL names them: `max_connections`, `max_prepared_xacts`, …; numbers only."""

    settings: dict[str, int]
    lsn: Lsn


@dataclass(frozen=True, slots=True)
class TablespaceCreate:
    """A CREATE TABLESPACE: replaying it without isolation would point the copy at the live server's folder `location`."""

    oid: int
    location: str
    xid: int
    lsn: Lsn


@dataclass(frozen=True, slots=True)
class DatabaseDrop:
    """The files of a database were removed by transaction `xid`."""

    xid: int
    lsn: Lsn


WalEvent = TransactionEnd | RestorePoint | ParameterChange | TablespaceCreate | DatabaseDrop
EVENT_RMGRS = ("Transaction", "XLOG", "Tablespace", "Database")
"""The resource managers whose records `event` understands."""


def parse_records(lines: Iterable[str]) -> Iterator[Record]:
    """Yield the records of pg_waldump's output; line breaks inside a description are put back into it.

    A line that users made look like a record is yielded too: only the WAL itself can tell (`Record.has_free_text`).
    """
    pending: Record | None = None
    for line in lines:
        text = line.removesuffix("\n")
        match = _LINE.fullmatch(text)
        if match is None:
            if pending is not None:
                pending = _continued(pending, text)
            continue
        if pending is not None:
            yield pending
        pending = _record(match)
    if pending is not None:
        yield pending


def event(record: Record, pages: Pages) -> WalEvent | None:
    """Return what a record means to a recovery, or None when it means nothing."""
    if record.rmgr == "Transaction":
        return _transaction_end(record, pages)
    if record.rmgr == "XLOG":
        return _xlog(record, pages)
    if record.rmgr == "Tablespace" and (match := _TABLESPACE.fullmatch(record.desc)):
        return TablespaceCreate(int(match[1]), match[2], record.xid, record.lsn)
    if record.rmgr == "Database" and record.desc.startswith("DROP"):
        return DatabaseDrop(record.xid, record.lsn)
    return None


def _record(match: re.Match[str]) -> Record:
    lsn = Lsn((int(match["high"], 16) << 32) | int(match["low"], 16))
    return Record(match["rmgr"], int(match["total"]), int(match["xid"]), lsn, match["desc"])


def _continued(record: Record, text: str) -> Record:
    return Record(record.rmgr, record.total_bytes, record.xid, record.lsn, f"{record.desc}\n{text}")


def _transaction_end(record: Record, pages: Pages) -> TransactionEnd | None:
    match = _END.match(record.desc)
    if match is None:
        return None
    subxacts = _SUBXACTS.search(record.desc, match.end())
    commit = Commit(
        xid=int(match[2]) if match[2] else record.xid,
        lsn=record.lsn,
        end=record.end(pages),
        at=datetime.fromisoformat(match[3]).replace(tzinfo=UTC),
        aborted=match[1] == "ABORT",
    )
    return TransactionEnd(
        commit, tuple(int(x) for x in subxacts[1].split()) if subxacts else (), prepared=match[2] is not None
    )


def _xlog(record: Record, pages: Pages) -> RestorePoint | ParameterChange | None:
    word, _, rest = record.desc.partition(" ")
    if word == "RESTORE_POINT":
        return RestorePoint(rest, record.lsn, record.end(pages))
    if word == "PARAMETER_CHANGE":
        pairs = (pair.partition("=") for pair in rest.split())
        return ParameterChange({name: int(value) for name, _, value in pairs if value.isdigit()}, record.lsn)
    return None
