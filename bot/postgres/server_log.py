"""Reading a recovering server's log: where it is, why it stopped, what it asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from bot.errors import Corruption, Failed, PitstopError, Unavailable
from bot.model.wal import DEFAULT_SEGMENT_BYTES, Lsn, parse_segment_name, segment_start

_STOPPING = re.compile(r'recovery stopping before WAL location \(LSN\) "([0-9A-F]+/[0-9A-F]+)"')
_REDO_DONE = re.compile(r"redo done at ([0-9A-F]+/[0-9A-F]+)")
_IN_PROGRESS = re.compile(r"current LSN: ([0-9A-F]+/[0-9A-F]+)")
_RESTORED = re.compile(r'restored log file "([0-9A-F]{24})" from archive')
_LOWER = re.compile(r"(max_\w+) = (\d+) is a lower setting than on the primary server, where its value was (\d+)")
_NO_DIRECTORY = re.compile(r'FATAL: +directory "(.*)" does not exist')
_FATAL = re.compile(r"(?:FATAL|PANIC): +(.*)$")
_TURNED_AWAY = "the database system is "


@dataclass
class RecoveryLog:
    """What a server's log has said since `offset`; `read` takes in what is new.

    `stopped_before` is the target the server says it met, `line` the line saying so (or "redo done"); `position` the
    furthest place replay was seen at; `lower` the settings it wants greater; `missing_directory` a tablespace's place.
    """

    path: Path
    segment_bytes: int = DEFAULT_SEGMENT_BYTES
    offset: int = 0
    stopped_before: Lsn | None = None
    line: str = ""
    position: Lsn = field(default_factory=lambda: Lsn(0))
    lower: dict[str, int] = field(default_factory=dict)
    missing_directory: str | None = None
    fatal: str = ""
    _rest: bytes = b""

    @classmethod
    def from_now(cls, path: Path, segment_bytes: int) -> RecoveryLog:
        """Start reading at the present end of the log."""
        return cls(path, segment_bytes, offset=path.stat().st_size if path.exists() else 0)

    def read(self) -> None:
        """Take in the lines written since the last call."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self.offset)
            text = self._rest + file.read()
            self.offset = file.tell()
        *lines, self._rest = text.split(b"\n")
        for line in lines:
            self._take(line.decode("utf-8", "replace"))

    def _take(self, line: str) -> None:
        if match := _STOPPING.search(line):
            self.stopped_before, self.line = Lsn.parse(match[1]), line
        elif (match := _REDO_DONE.search(line)) and not self.line:
            self.line = line
        elif match := _IN_PROGRESS.search(line):
            self._at(Lsn.parse(match[1]))
        elif match := _RESTORED.search(line):
            self._at(segment_start(parse_segment_name(match[1], self.segment_bytes)[1], self.segment_bytes))
        elif match := _LOWER.search(line):
            self.lower[match[1]] = int(match[3])
        elif match := _NO_DIRECTORY.search(line):
            self.missing_directory = match[1]
        if (match := _FATAL.search(line)) and _TURNED_AWAY not in line:
            self.fatal = self.fatal or match[1]

    def _at(self, position: Lsn) -> None:
        self.position = max(self.position, position)


# What a fatal line of a recovering server means for people: error class, code, and what to do next.
_MEANINGS: tuple[tuple[str, type[PitstopError], str, str], ...] = (
    (
        "could not restore file",
        Unavailable,
        "wal-fetch",
        "Can the repository be reached? Ask again; what was restored is removed with the request.",
    ),
    (
        "requested recovery stop point is before consistent recovery point",
        Failed,
        "target-before-consistency",
        "The target is inside the base backup's own time. Take a later target or an earlier backup.",
    ),
    (
        "recovery ended before configured recovery target was reached",
        Corruption,
        "target-not-reached",
        "The WAL ended before the target. Does `pitstop wal status` show a gap?",
    ),
    (
        "WAL ends before end of online backup",
        Corruption,
        "wal-incomplete",
        "WAL of the base backup's own time is missing. Does `pitstop wal status` show a gap?",
    ),
    (
        "WAL ends before consistent recovery point",
        Corruption,
        "wal-incomplete",
        "Does `pitstop wal status` show a gap?",
    ),
    (
        "could not locate required checkpoint record",
        Corruption,
        "wal-incomplete",
        "The WAL at the backup's start is missing.",
    ),
    (
        "is not a child of this server's history",
        Failed,
        "wrong-timeline",
        "Is the target on a timeline that left before this backup?",
    ),
    ("recovery target timeline", Failed, "wrong-timeline", "Is the history file of that timeline in the repository?"),
    (
        "WAL was generated with wal_level",
        Failed,
        "wal-minimal",
        "wal_level=minimal was set on production; take a backup made after it was raised.",
    ),
    (
        "database files are incompatible with server",
        Failed,
        "incompatible",
        "Install the same build of PostgreSQL as on production.",
    ),
    (
        "WAL contains references to invalid pages",
        Corruption,
        "invalid-pages",
        "The backup's files do not fit its WAL: try an older backup.",
    ),
    (
        "incorrect resource manager data checksum",
        Corruption,
        "wal-damaged",
        "The WAL is damaged: try an earlier target.",
    ),
    ("ICU is not supported in this build", Unavailable, "no-icu", "Install a PostgreSQL with ICU, such as Debian's."),
    ("could not access file", Unavailable, "missing-library", "Install the package that has that library."),
    ("the private room cannot be built", Unavailable, "no-room", "Are namespaces allowed here? `pitstop check` says."),
    ("No space left on device", Failed, "disk-full", "Free space where the restore goes, then ask again."),
)


def explain(fatal: str) -> PitstopError:
    """Return the error a server's fatal line stands for. Pure."""
    for needle, kind, code, hint in _MEANINGS:
        if needle in fatal:
            return kind(f"Recovery failed: {fatal}.", hint=hint, code=code)
    said = fatal or "the server ended without saying why"
    return Failed(
        f"Recovery failed: {said}.", hint="What does the server's log say before that?", code="recovery-failed"
    )
