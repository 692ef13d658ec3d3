"""Run pg_waldump over a private folder of whole segments, and read what it prints."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from bot.errors import Corruption, Failed
from bot.model.wal import Lsn, segment_name, segment_number
from bot.model.wal_pages import RECORD_HEADER_BYTES, Pages
from bot.postgres.binaries import Binaries
from bot.postgres.wal_records import Record, parse_records

_NOTHING = "could not find a valid record after"
_DAMAGE = ("error in WAL record", "invalid ", "incorrect ", "unexpected ", "out-of-", "checksum")


class NoRecord(Exception):
    """pg_waldump found no record at or after the start; whether that is right, the WAL itself must tell."""


@dataclass(frozen=True, slots=True)
class Waldump:
    """pg_waldump of the server's own major, over `folder`: whole segments, all named as of `timeline`."""

    binaries: Binaries
    folder: Path
    timeline: int
    pages: Pages

    def records(
        self, start: Lsn, end: Lsn, *, rmgrs: Iterable[str] = (), xid: int | None = None, limit: int | None = None
    ) -> Iterator[Record]:
        """Yield the records of `rmgrs` (all when empty) that start at or after `start` and end before `end`, in WAL order.

        Streamed; the process ends with the iterator. `xid` and `limit` narrow it further. No line that users forged gets through.

        Raises:
            NoRecord: see there.
            Corruption: `wal-damaged`, a record fails its checks.
            Failed: pg_waldump failed in another way.
            Unavailable: pg_waldump is not installed.
        """
        stop = self._readable_end(end)
        if stop <= start:
            return
        with _running(self._command(start, stop, rmgrs, xid, limit)) as lines:
            for record in self._genuine(parse_records(lines)):
                if stop <= end or self.pages.record_end(record.lsn, record.total_bytes) <= end:
                    yield record

    def _readable_end(self, end: Lsn) -> Lsn:
        """Return an end near `end` that pg_waldump reads up to without a complaint about WAL that is well.

        Given one that leaves less than a record's header on its page, it checks what an earlier page left in its buffer
        ("incorrect prev-link"). Nothing starts or ends within a page's header, and no record is shorter than its own.
        """
        page = self.pages.page_of(end)
        first = page + self.pages.header_bytes(page)
        if end <= first:
            return page
        return Lsn(max(end, first + RECORD_HEADER_BYTES))

    def _command(
        self, start: Lsn, end: Lsn, rmgrs: Iterable[str], xid: int | None, limit: int | None
    ) -> list[str | Path]:
        program = self.binaries.tool("pg_waldump")
        command: list[str | Path] = [
            program,
            "-p",
            self.folder,
            "-t",
            str(self.timeline),
            "-s",
            str(start),
            "-e",
            str(end),
        ]
        for rmgr in rmgrs:
            command += ["-r", rmgr]
        if xid is not None:
            command += ["-x", str(xid)]
        if limit is not None:
            command += ["-n", str(limit)]
        return command

    def _genuine(self, records: Iterable[Record]) -> Iterator[Record]:
        """Drop what only looks like a record: after one with free text, the WAL must show length and xid at that place."""
        doubt, last = False, Lsn(0)
        for record in records:
            if doubt and (record.lsn <= last or not self._stands_in_wal(record)):
                continue
            doubt, last = record.has_free_text, record.lsn
            yield record

    def _stands_in_wal(self, record: Record) -> bool:
        size = self.pages.segment_bytes
        path = self.folder / segment_name(self.timeline, segment_number(record.lsn, size), size)
        try:
            with path.open("rb") as file:
                found = os.pread(file.fileno(), 8, record.lsn % size)
        except FileNotFoundError:
            return False
        return found == struct.pack("<II", record.total_bytes & 0xFFFFFFFF, record.xid & 0xFFFFFFFF)


@contextmanager
def _running(command: list[str | Path]) -> Iterator[TextIO]:
    """Run pg_waldump and lend its output; end it when the reader stops early, and translate its failure when it does not."""
    environment = {"PATH": "/usr/bin:/bin", "TZ": "UTC", "LC_ALL": "C"}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=complaints, stdin=subprocess.DEVNULL, env=environment, cwd="/"
        )
        assert process.stdout is not None
        try:
            with io.TextIOWrapper(process.stdout, "utf-8", errors="surrogateescape", newline="\n") as lines:
                yield lines
                code = process.wait()
        finally:
            process.kill()
            process.wait()
        if code != 0:
            complaints.seek(0)
            raise _failure(complaints.read().strip() or f"exit code {code}")


def _failure(said: str) -> Exception:
    if _NOTHING in said:
        return NoRecord(said)
    sentence = said.removeprefix("pg_waldump: ").removeprefix("fatal: ").removeprefix("error: ")
    if any(word in sentence for word in _DAMAGE):
        return Corruption(
            f"The WAL is damaged: {sentence}",
            hint="Does another repository hold this segment? Take a base backup now: `pitstop backup base CLUSTER`.",
            code="wal-damaged",
        )
    return Failed(f"pg_waldump failed: {sentence}", hint="Is it of the server's own major version?", code="waldump")
