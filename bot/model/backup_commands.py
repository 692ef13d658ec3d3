"""What people type after `/backup`; see docs/commands.md."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from bot.errors import Usage
from bot.model.commands import ShowHelp, bounded, example_cluster, known_cluster, only_cluster
from bot.model.dumps import EVERYTHING, Part, Selection
from bot.model.ids import BackupId, ClusterName, is_backup_id
from bot.model.old_backups import names_old_backup
from bot.model.pauses import read_span
from bot.model.typed import nearest, plain, quoted, tokens, unquoted

_KINDS: dict[str, Literal["base", "dump"]] = {"base": "base", "dump": "dump"}


@dataclass(frozen=True, slots=True)
class ShowStatus:
    """`/backup`, `/backup status [CLUSTER]`: how safe each cluster is; all of them when `cluster` is None."""

    cluster: ClusterName | None = None


@dataclass(frozen=True, slots=True)
class BackupNow:
    """`/backup now CLUSTER [base|dump …]`: a backup outside the schedule; a base backup unless a dump is asked for.

    `selection` is what of the databases a dump takes: everything configured, unless words after `dump` say less.
    """

    cluster: ClusterName
    kind: Literal["base", "dump"] = "base"
    selection: Selection = EVERYTHING


@dataclass(frozen=True, slots=True)
class ListBackups:
    """`/backup list CLUSTER`: its backups and how far back it can go."""

    cluster: ClusterName


@dataclass(frozen=True, slots=True)
class ShowBackup:
    """`/backup show ID`: everything about one backup."""

    backup: BackupId


@dataclass(frozen=True, slots=True)
class Verify:
    """`/backup verify CLUSTER [ID]`: a drill of the newest backups, or of the one named, which may be an old file."""

    cluster: ClusterName
    backup: str | None = None


@dataclass(frozen=True, slots=True)
class Pin:
    """`/backup pin ID`, `/backup unpin ID`: keep a backup beyond its age, or not any more."""

    backup: BackupId
    pinned: bool


@dataclass(frozen=True, slots=True)
class ShowRunbook:
    """`/backup runbook CLUSTER`: how it is restored, with and without the bot."""

    cluster: ClusterName


@dataclass(frozen=True, slots=True)
class ShowSchedule:
    """`/backup schedule [CLUSTER]`: what runs when; of all clusters when `cluster` is None."""

    cluster: ClusterName | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """`/backup pause CLUSTER 2h`: hold the schedule back for `span`."""

    cluster: ClusterName
    span: timedelta


@dataclass(frozen=True, slots=True)
class Resume:
    """`/backup resume CLUSTER`: end the pause."""

    cluster: ClusterName


Changing = BackupNow | Verify | Pause | Resume | Pin
"""What changes something, and is therefore recorded before it is acknowledged."""

BackupCommand = ShowStatus | ListBackups | ShowBackup | ShowSchedule | ShowRunbook | Changing | ShowHelp


def parse_backup(text: str, *, clusters: Collection[str]) -> BackupCommand:
    """Read what follows `/backup`. Pure. A cluster may be left out where there is only one.

    Raises:
        Usage: an unknown word or cluster, with the nearest known one.
    """
    words = plain(bounded(text, "/backup")).split()
    if not words:
        return ShowStatus()
    word, rest = words[0].lower(), words[1:]
    read = _WORDS.get(word)
    return read(rest, clusters) if read else _bare_status(word, rest, clusters)


def _status(rest: list[str], clusters: Collection[str]) -> ShowStatus:
    return ShowStatus(_cluster("status", rest, clusters) if rest else None)


def _now(rest: list[str], clusters: Collection[str]) -> BackupNow:
    after = _dump_of_a_part(rest, clusters)
    if after:
        return BackupNow(_cluster("now", rest[: after - 1], clusters), "dump", _selection(rest[after:]))
    kind: Literal["base", "dump"] = "base"
    if rest and rest[-1].lower() in _KINDS and (len(rest) > 1 or rest[-1] not in clusters):
        kind = _KINDS[rest[-1].lower()]
        rest = rest[:-1]
    if len(rest) == 2 and rest[0].lower() in clusters:
        cluster = rest[0].lower()
        raise Usage(
            f"`/backup now` does not know the word {quoted(rest[1])}.",
            hint=f"Try `/backup now {cluster}` for a base backup, or `/backup now {cluster} dump`.",
            code="unknown-word",
        )
    return BackupNow(_cluster("now", rest, clusters), kind)


def _dump_of_a_part(rest: list[str], clusters: Collection[str]) -> int:
    """Return where the words begin that narrow a dump, or 0: after `dump`, which stands first or after a cluster."""
    for at in range(min(len(rest) - 1, 2)):
        named = {word.lower() for word in rest[:at]} <= set(clusters)
        if rest[at].lower() == "dump" and named and (at == 1 or rest[1].lower() in _NARROWING):
            return at + 1
    return 0


def _selection(words: list[str]) -> Selection:
    """Read what of the databases is dumped; names in double quotes stand as they are."""
    said: dict[str, list[str]] = {}
    current = ""
    for word in tokens(" ".join(words)):
        if word.lower() in _NARROWING:
            current = _NARROWING[word.lower()]
            said.setdefault(current, [])
        elif current in {"databases", "tables", "exclude_tables"}:
            said[current] += [] if word in {",", "and"} else [word]
        else:
            raise _no_dump(f"{quoted(word)} says nothing about a dump.")
    if empty := next((key for key in ("databases", "tables", "exclude_tables") if said.get(key) == []), None):
        raise _no_dump(f"Which {empty.removeprefix('exclude_')}?")
    parts = [part for part in (Part.SCHEMA_ONLY, Part.DATA_ONLY) if part.value in said]
    if len(parts) > 1:
        raise _no_dump("Definitions alone and rows alone are nothing together.")
    databases = tuple(unquoted(word) for word in said.get("databases", ()))
    tables, left = tuple(said.get("tables", ())), tuple(said.get("exclude_tables", ()))
    return Selection(parts[0] if parts else Part.FULL, databases, tables, left)


def _no_dump(message: str) -> Usage:
    example = "`/backup now CLUSTER dump database shop schema-only tables Users, audit.log without audit.noise`"
    return Usage(message, hint=f"All that can be said is in {example}.", code="bad-dump")


_NARROWING = {
    **dict.fromkeys(("database", "databases"), "databases"),
    **dict.fromkeys(("table", "tables"), "tables"),
    "without": "exclude_tables",
    **{part.value: part.value for part in (Part.SCHEMA_ONLY, Part.DATA_ONLY)},
}


def _backup(rest: list[str], clusters: Collection[str]) -> BackupId:
    if len(rest) != 1 or not is_backup_id(rest[0]):
        said = quoted(" ".join(rest)) if rest else "Nothing"
        hint = f"`/backup list {example_cluster(clusters)}` shows them."
        raise Usage(f"{said} is not a backup's id.", hint=hint, code="unknown-backup")
    return BackupId(rest[0])


def _verify(rest: list[str], clusters: Collection[str]) -> Verify:
    """Read a cluster and a backup's id or an old file's name, either of which may be left out; both are known by their form."""
    ids = [word for word in rest if is_backup_id(word) or names_old_backup(word)]
    others = [word for word in rest if word not in ids and (word.lower() != "latest" or word.lower() in clusters)]
    strange = [word for word in others if word.lower() not in clusters]
    if len(ids) + len(others) == 2 and len(strange) == 1 and len(others) == 2:
        cluster = next(word.lower() for word in others if word not in strange)
        raise Usage(
            f"{quoted(strange[0])} is neither a backup's id nor an old backup's file.",
            hint=f"`/backup list {cluster}` shows them.",
            code="unknown-backup",
        )
    if len(ids) > 1 or len(others) > 1:
        example = example_cluster(clusters)
        raise Usage(
            "`/backup verify` takes one cluster and one backup's id.",
            hint=f"Try `/backup verify {example}`; `/backup list {example}` shows the ids.",
        )
    cluster = known_cluster(others[0], clusters) if others else only_cluster(clusters, "/backup verify")
    return Verify(cluster, ids[0] if ids else None)


def _schedule(rest: list[str], clusters: Collection[str]) -> ShowSchedule:
    return ShowSchedule(_cluster("schedule", rest, clusters) if rest else None)


def _pause(rest: list[str], clusters: Collection[str]) -> Pause:
    """Read a cluster, which may be left out where there is only one, and how long."""
    named = [word for word in rest[:1] if word.lower() in clusters or (not word[0].isdigit() and word.lower() != "for")]
    span = " ".join(rest[len(named) :])
    cluster = _cluster("pause", named, clusters)
    if not span:
        raise Usage("For how long?", hint=f"Try `/backup pause {cluster} 2h`.", code="bad-duration")
    return Pause(cluster, read_span(span.removeprefix("for ")))


def _cluster(word: str, rest: list[str], clusters: Collection[str]) -> ClusterName:
    if len(rest) > 1:
        raise Usage(f"`/backup {word}` takes one cluster.", hint=f"Try `/backup {word} {example_cluster(clusters)}`.")
    return known_cluster(rest[0], clusters) if rest else only_cluster(clusters, f"/backup {word}")


_WORDS: dict[str, Callable[[list[str], Collection[str]], BackupCommand]] = {
    "status": _status,
    "now": _now,
    "list": lambda rest, clusters: ListBackups(_cluster("list", rest, clusters)),
    "show": lambda rest, clusters: ShowBackup(_backup(rest, clusters)),
    "pin": lambda rest, clusters: Pin(_backup(rest, clusters), pinned=True),
    "unpin": lambda rest, clusters: Pin(_backup(rest, clusters), pinned=False),
    "verify": _verify,
    "runbook": lambda rest, clusters: ShowRunbook(_cluster("runbook", rest, clusters)),
    "schedule": _schedule,
    "pause": _pause,
    "resume": lambda rest, clusters: Resume(_cluster("resume", rest, clusters)),
    "help": lambda _rest, _clusters: ShowHelp("/backup"),
}
_TAKE_A_CLUSTER = {"now", "list", "verify", "resume", "runbook"}


def _bare_status(word: str, rest: list[str], clusters: Collection[str]) -> ShowStatus:
    if word in clusters and not rest:
        return ShowStatus(ClusterName(word))
    meant = nearest(word, _WORDS) or nearest(word, clusters)
    tail = f" {rest[0]}" if len(rest) == 1 and meant in _TAKE_A_CLUSTER else ""
    hint = f"Did you mean `/backup {meant}{tail}`?" if meant else "See `/backup help`."
    raise Usage(f"`/backup` does not know the word {quoted(word)}.", hint=hint, code="unknown-word")
