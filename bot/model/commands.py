"""What people type after `/pitr`, and the targets, clusters and reasons all commands share; see docs/commands.md."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, tzinfo

from bot.errors import Usage
from bot.model.ids import BackupId, ClusterName, backup_kind, is_backup_id
from bot.model.targets import Target, TargetKind
from bot.model.times import EXAMPLES, read_time
from bot.model.typed import nearest, plain, quoted
from bot.model.wal import Lsn

MAX_COMMAND_CHARS = 2000
MAX_REASON_CHARS = 500
MAX_POINT_BYTES = 63
FIRST_NORMAL_XID = 3
TARGET_HELP = (
    f"Write a time ({EXAMPLES}), `xid:84213`, `point:before-migration`, `lsn:0/16B3748`, `before:…`, `latest` or "
    "`immediate`."
)

_PREFIX = re.compile(r"(?P<kind>xid|point|lsn|before|time|immediate)\s*[:=]\s*(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_BEFORE = re.compile(r"before\s+(?P<rest>.+)", re.IGNORECASE | re.DOTALL)
_REASON = re.compile(r"(?:^|\s)reason\s*[:=]\s*", re.IGNORECASE)
_EXACT_POINT = re.compile(r'point\s*:\s*"(?P<name>[^"]+)"', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ShowHelp:
    """`/backup help`, `/pitr help`."""

    command: str


@dataclass(frozen=True, slots=True)
class OpenForm:
    """`/pitr`, `/pitr CLUSTER`: the form, with the cluster filled in when it was named."""

    cluster: ClusterName | None = None


@dataclass(frozen=True, slots=True)
class AskPitr:
    """`/pitr CLUSTER TARGET [reason: …]`: ask for a recovery beside the live cluster."""

    cluster: ClusterName
    target: Target
    target_text: str
    reason: str


PitrCommand = OpenForm | AskPitr | ShowHelp


def parse_pitr(text: str, *, clusters: Collection[str], now: datetime, zone: tzinfo) -> PitrCommand:
    """Read what follows `/pitr`. Pure. `now` is aware; `zone` is the person's own.

    Raises:
        Usage: an unknown cluster, or a target that cannot be understood, is ambiguous or in the future.
    """
    line, reason = split_reason(bounded(text))
    words = line.split(None, 1)
    if not words:
        return OpenForm()
    first = plain(words[0]).lower()
    if first == "help":
        return ShowHelp("/pitr")
    cluster = _pitr_cluster(first, line, clusters, now, zone)
    if len(words) == 1:
        return OpenForm(cluster)
    target_text = words[1].strip()
    return AskPitr(cluster, parse_target(target_text, now=now, zone=zone), plain(target_text), reason)


def wants_form(text: str, *, clusters: Collection[str]) -> bool:
    """Say whether `/pitr` with this text opens the form, which must happen within 3 s, before anything is looked up. Pure."""
    words = plain(text[:MAX_COMMAND_CHARS]).split()
    return not words or (len(words) == 1 and words[0].lower() in clusters)


def _pitr_cluster(first: str, line: str, clusters: Collection[str], now: datetime, zone: tzinfo) -> ClusterName:
    """Return the cluster named first; where a target stands in its place, say the whole line that was probably meant."""
    if first in clusters:
        return ClusterName(first)
    try:
        parse_target(line, now=now, zone=zone)
    except Usage:
        return known_cluster(first, clusters)
    raise Usage(
        f"{quoted(line)} is a target; which cluster is it for?",
        hint=f"Did you mean `/pitr {example_cluster(clusters)} {plain(line)}`?",
        code="unknown-cluster",
    )


def known_cluster(name: str, clusters: Collection[str]) -> ClusterName:
    """Return `name` as a cluster's name.

    Raises:
        Usage: there is no such cluster (`unknown-cluster`), with the nearest or all known ones.
    """
    if name.lower() in clusters:
        return ClusterName(name.lower())
    meant = nearest(name, clusters)
    known = ", ".join(f"`{cluster}`" for cluster in sorted(clusters)[:20]) or "none is configured"
    raise Usage(
        f"There is no cluster named {quoted(name)}.",
        hint=f"Did you mean `{meant}`?" if meant else f"Known clusters: {known}.",
        code="unknown-cluster",
    )


def split_reason(text: str) -> tuple[str, str]:
    """Split `… reason: because` into the line before and the reason, on one line and at most 500 characters.

    Raises:
        Usage: the reason is longer.
    """
    parts = _REASON.split(text, maxsplit=1)
    reason = " ".join(parts[1].split()) if len(parts) > 1 else ""
    if len(reason) > MAX_REASON_CHARS:
        raise Usage(
            f"The reason has {len(reason):,} characters.",
            hint=f"Can you say it in {MAX_REASON_CHARS}?",
            code="reason-too-long",
        )
    return parts[0].strip(), reason


def parse_target(text: str, *, now: datetime, zone: tzinfo) -> Target:
    """Read a recovery target: a time, `xid:`, `point:`, `lsn:`, `before:TARGET`, `before TIME`, `latest`, `immediate`. Pure.

    A time, xid or restore point is included, with `before` it is not; an LSN means everything before it; `immediate` means as
    a base backup ended.

    Raises:
        Usage: not understood (`bad-target`, `bad-time`), ambiguous, never was, or in the future (`future-time`).
    """
    if len(text) > MAX_COMMAND_CHARS:
        raise _too_long(text, TARGET_HELP)
    if exact := _EXACT_POINT.fullmatch(text.strip()):
        return _point(exact["name"], before=False)
    words = plain(text)
    if not words:
        raise Usage("There is no target.", hint=TARGET_HELP, code="bad-target")
    if match := _PREFIX.fullmatch(words):
        return _prefixed(match["kind"].lower(), match["rest"], text, now, zone)
    if match := _BEFORE.fullmatch(words):
        return _before(match["rest"], now, zone)
    if words.lower() == "latest":
        return Target(TargetKind.LATEST)
    if words.lower() == "immediate":
        return Target(TargetKind.IMMEDIATE)
    if words.lower() == "now":
        raise Usage(
            "“now” has passed once it is read.", hint="Write `latest` for everything there is.", code="bad-target"
        )
    return _time(words, now, zone)


def _prefixed(kind: str, rest: str, text: str, now: datetime, zone: tzinfo) -> Target:
    if kind == "xid":
        return _xid(rest)
    if kind == "point":
        return _point(rest.strip("\"'"), before=False)
    if kind == "lsn":
        return _lsn(rest)
    if kind == "immediate":
        return _immediate(rest)
    if kind == "time":
        return _time(rest, now, zone)
    raw = re.sub(r"^\s*before\s*[:=]\s*", "", text, flags=re.IGNORECASE)
    return _before(raw if _EXACT_POINT.fullmatch(raw.strip()) else rest, now, zone)


def _before(rest: str, now: datetime, zone: tzinfo) -> Target:
    if re.match(r"before\b", rest, re.IGNORECASE):
        raise Usage(f"{quoted(rest)} says before twice.", hint="Write it once: `before 14:30`.", code="bad-target")
    if re.match(r"(?:drop|truncate|delete|alter|update|migration)\b", rest, re.IGNORECASE):
        raise Usage(
            f"{quoted(rest)} names a change; a change cannot be looked up by its words yet.",
            hint="When was it, or which transaction? Write `before 14:30` or `before:xid:84213`.",
            code="bad-target",
        )
    target = parse_target(rest, now=now, zone=zone)
    if target.before or target.kind not in {TargetKind.TIME, TargetKind.XID, TargetKind.POINT}:
        raise Usage(
            f"{quoted('before ' + rest)} says no more than {quoted(rest)}: nothing from there on is replayed anyway."
            if target.kind is TargetKind.LSN
            else f"{quoted('before ' + rest)} is not a target.",
            hint="`before` goes with one time, xid or restore point: `before 14:30`, `before:xid:84213`.",
            code="bad-target",
        )
    return Target(target.kind, True, target.at, target.xid, target.point, None, _read_before(target.read_as))


def _read_before(read_as: str) -> str:
    return f"before {read_as}" if read_as else ""


def _time(words: str, now: datetime, zone: tzinfo) -> Target:
    read = read_time(words, now=now, zone=zone)
    if read.at > now:
        raise Usage(
            f"{quoted(words)} is in the future: read as {read.read_as}.",
            hint="Write a time that has passed, or `latest` for everything there is.",
            code="future-time",
        )
    return Target(TargetKind.TIME, at=read.at, read_as=read.read_as)


def _xid(text: str) -> Target:
    if not re.fullmatch(r"\d{1,20}", text, re.ASCII):
        raise Usage(
            f"{quoted(text)} is not a transaction id.", hint="Write its number: `xid:84213`.", code="bad-target"
        )
    number = int(text)
    if number >= 2**32:
        raise Usage(
            f"{text} is a transaction id with its epoch; WAL has the 32 bits without it.",
            hint=f"Did you mean `xid:{number % 2**32}`?",
            code="bad-target",
        )
    if number < FIRST_NORMAL_XID:
        raise Usage(f"{number} is never a transaction's id.", hint="They begin at 3.", code="bad-target")
    return Target(TargetKind.XID, xid=number)


def _point(name: str, *, before: bool) -> Target:
    size = len(name.encode("utf-8", "surrogatepass"))
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in name):
        raise Usage("A restore point's name has no control characters.", hint=TARGET_HELP, code="bad-target")
    if not 1 <= size <= MAX_POINT_BYTES:
        raise Usage(
            f"A restore point's name has 1 to {MAX_POINT_BYTES} bytes, this one {size:,}.",
            hint="Which name was it marked with? Write `point:before-migration`.",
            code="bad-target",
        )
    return Target(TargetKind.POINT, before=before, point=name)


def _immediate(text: str) -> Target:
    if not is_backup_id(text) or backup_kind(BackupId(text)) != "base":
        raise Usage(
            f"{quoted(text)} is not the id of a base backup.",
            hint="Write it as the list shows it, `immediate:20261122T020000Z-base-7f3a`, or `immediate` for the newest one.",
            code="bad-target",
        )
    return Target(TargetKind.IMMEDIATE, backup=BackupId(text))


def _lsn(text: str) -> Target:
    try:
        lsn = Lsn.parse(text)
    except ValueError:
        raise Usage(
            f"{quoted(text)} is not an LSN.", hint="Write it as PostgreSQL does: `lsn:0/16B3748`.", code="bad-target"
        ) from None
    if lsn == 0:
        raise Usage("LSN 0/0 is not a position in any WAL.", hint="Write one like `lsn:0/16B3748`.", code="bad-target")
    return Target(TargetKind.LSN, lsn=lsn)


def only_cluster(clusters: Collection[str], command: str) -> ClusterName:
    """Return the cluster meant where none was named.

    Raises:
        Usage: there are several (`unknown-cluster`).
    """
    if len(clusters) == 1:
        return ClusterName(next(iter(clusters)))
    known = ", ".join(f"`{cluster}`" for cluster in sorted(clusters)[:20])
    raise Usage(f"Which cluster? `{command}` needs one.", hint=f"Known clusters: {known}.", code="unknown-cluster")


def example_cluster(clusters: Collection[str]) -> str:
    """Return a cluster for the examples of a hint."""
    return min(clusters, default="CLUSTER")


def bounded(text: str, command: str = "/pitr") -> str:
    """Return `text`, unless somebody pasted in a book.

    Raises:
        Usage: it is longer than MAX_COMMAND_CHARS.
    """
    if len(text) > MAX_COMMAND_CHARS:
        raise _too_long(text, f"See `{command} help`.")
    return text


def _too_long(text: str, then: str) -> Usage:
    return Usage(
        f"That is {len(text):,} characters; I read at most {MAX_COMMAND_CHARS:,}.",
        hint=f"Did something get pasted in by mistake? {then}",
        code="too-long",
    )
