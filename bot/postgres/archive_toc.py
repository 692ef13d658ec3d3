"""The table of contents at the head of pg_dump's custom archives: what is in it, who owns it, what stands on what.

`pg_restore --list` says less, and ambiguously where names hold spaces. The format is PostgreSQL's own
(src/bin/pg_dump/pg_backup_archiver.c, ReadHead and ReadToc); versions 1.14 to 1.16 are written by pg_dump 12 to 18.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from bot.errors import Corruption, Unavailable

_MAGIC = b"PGDMP"
_CUSTOM = 1
_OLDEST, _COMPRESSION, _RELKIND, _NEWEST = (1, 14), (1, 15), (1, 16), (1, 16)
_MOST_BYTES = 512 * 1024 * 1024
_LONGEST = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of an archive.

    `desc` is its kind in pg_dump's words (`TABLE`, `TABLE DATA`, `FK CONSTRAINT`); `tag` its name, `schema` its schema's;
    `defn` the SQL that makes it. `needs` are the ids of the entries it stands on. `copy` is the
    statement that a table's rows follow.
    """

    id: int
    desc: str
    tag: str
    schema: str
    owner: str
    defn: str
    oid: int = 0
    tablespace: str = ""
    needs: tuple[int, ...] = ()
    copy: str = ""


@dataclass(frozen=True, slots=True)
class Toc:
    """An archive's contents, in its order; `server` and `tool` are the versions of server and pg_dump, as text.

    `made` is when, by the clock and in the zone of whoever made it; None where that is no time.
    """

    database: str
    server: str
    tool: str
    entries: tuple[Entry, ...]
    made: datetime | None = None

    def kind(self, *descs: str) -> list[Entry]:
        """Return the entries of these kinds, in order."""
        return [entry for entry in self.entries if entry.desc in descs]

    @property
    def tool_major(self) -> int:
        """The major version of the pg_dump that wrote it; an older pg_restore may not know what is in it."""
        return int(self.tool.split(".")[0].split("devel")[0].split("beta")[0].split("rc")[0])


def read_toc(pieces: Iterable[bytes]) -> Toc:
    """Read the head of an archive from its first pieces; no more of them are taken than that needs.

    Raises:
        Corruption: it is no custom archive, or cut.
        Unavailable: `archive-version`, a pg_dump newer than this version of Pitstop wrote it.
    """
    return _Reader(pieces).toc()


class _Reader:
    """Reads integers and strings off a stream of pieces, as the archive's head lays them down."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._buffer = bytearray()
        self._at = 0
        self._total = 0
        self._int_size = 4
        self._off_size = 8

    def toc(self) -> Toc:
        if self._take(5) != _MAGIC:
            raise _damaged("it does not begin like one")
        major, minor, _revision = self._take(3)
        version = (major, minor)
        if version > _NEWEST or version < _OLDEST:
            raise Unavailable(
                f"The dump's archive has the format {major}.{minor}, which this version of Pitstop does not know.",
                hint="Was it made by a newer pg_dump? Is there a newer Pitstop?",
                code="archive-version",
            )
        self._int_size, self._off_size, kind = self._take(3)
        if kind != _CUSTOM or self._int_size not in {4, 8} or self._off_size not in {4, 8}:
            raise _damaged("it is in another of pg_dump's formats")
        if version >= _COMPRESSION:
            self._take(1)
        else:
            self._int()
        made = _time([self._int() for _ in range(7)])
        database, server, tool = self._text(), self._text(), self._text()
        count = self._int()
        return Toc(database, server, tool, tuple(self._entry(version) for _ in range(count)), made)

    def _entry(self, version: tuple[int, int]) -> Entry:
        dump_id, _has_data = self._int(), self._int()
        self._string()  # the catalogue's OID
        oid, tag, desc = self._text(), self._text(), self._text()
        self._int()  # the section
        defn, _drop, copy = self._text(), self._string(), self._text()
        schema, tablespace, _method = self._text(), self._text(), self._string()
        if version >= _RELKIND:
            self._int()
        owner = self._text()
        self._string()  # WITH OIDS, long gone
        needs = []
        while (need := self._string()) is not None:
            needs.append(int(need))
        self._take(1 + self._off_size)
        return Entry(dump_id, desc, tag, schema, owner, defn, int(oid or 0), tablespace, tuple(needs), copy)

    def _int(self) -> int:
        data = self._take(1 + self._int_size)
        number = int.from_bytes(data[1:], "little")
        return -number if data[0] else number

    def _string(self) -> bytes | None:
        length = self._int()
        if length < 0:
            return None
        if length > _LONGEST:
            raise _damaged("a text in it is longer than any could be")
        return self._take(length)

    def _text(self) -> str:
        """Return a string; bytes that are no UTF-8 (of a database in SQL_ASCII) as escapes."""
        return (self._string() or b"").decode("utf-8", "backslashreplace")

    def _take(self, size: int) -> bytes:
        while len(self._buffer) - self._at < size:
            piece = next(self._pieces, None)
            if piece is None:
                raise _damaged("it is cut")
            self._total += len(piece)
            if self._total > _MOST_BYTES:
                raise _damaged("its table of contents has no end")
            del self._buffer[: self._at]
            self._at = 0
            self._buffer += piece
        data = bytes(self._buffer[self._at : self._at + size])
        self._at += size
        return data


def _time(parts: list[int]) -> datetime | None:
    """Read C's broken-down time: second, minute, hour, day, month from 0, years since 1900, daylight saving."""
    second, minute, hour, day, month, year, _ = parts
    try:
        return datetime(1900 + year, month + 1, day, hour, minute, min(second, 59))  # noqa: DTZ001 - nobody knows its zone
    except (ValueError, OverflowError):
        return None


def _damaged(what: str) -> Corruption:
    return Corruption(
        f"The archive cannot be read as a dump: {what}.",
        hint="Is another dump of the database there?",
        code="archive-damaged",
    )
