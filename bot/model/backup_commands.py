"""What people type after `/backup`; see docs/commands.md."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from bot.errors import Usage
from bot.model.commands import ShowHelp, bounded, example_cluster, known_cluster, only_cluster
from bot.model.ids import ClusterName, is_backup_id
from bot.model.typed import nearest, plain, quoted

_BACKUP_WORDS = ("status", "now", "list", "verify", "help")
_KINDS: dict[str, Literal["base", "dump"]] = {"base": "base", "dump": "dump"}


@dataclass(frozen=True, slots=True)
class ShowStatus:
    """`/backup`, `/backup status [CLUSTER]`: how safe each cluster is; all of them when `cluster` is None."""

    cluster: ClusterName | None = None


@dataclass(frozen=True, slots=True)
class BackupNow:
    """`/backup now CLUSTER [base|dump]`: a backup outside the schedule; a base backup unless a dump is asked for."""

    cluster: ClusterName
    kind: Literal["base", "dump"] = "base"


@dataclass(frozen=True, slots=True)
class ListBackups:
    """`/backup list CLUSTER`: its backups and how far back it can go."""

    cluster: ClusterName


@dataclass(frozen=True, slots=True)
class Verify:
    """`/backup verify CLUSTER [ID]`: a drill of the newest backups, or of the one named."""

    cluster: ClusterName
    backup: str | None = None


BackupCommand = ShowStatus | BackupNow | ListBackups | Verify | ShowHelp


def parse_backup(text: str, *, clusters: Collection[str]) -> BackupCommand:
    """Read what follows `/backup`. Pure. A cluster may be left out where there is only one.

    Raises:
        Usage: an unknown word or cluster, with the nearest known one.
    """
    words = plain(bounded(text)).split()
    if not words:
        return ShowStatus()
    word, rest = words[0].lower(), words[1:]
    if word == "help":
        return ShowHelp("/backup")
    if word not in _BACKUP_WORDS:
        return _bare_status(word, rest, clusters)
    if word == "verify":
        return _verify(rest, clusters)
    kind: Literal["base", "dump"] = "base"
    if word == "now" and rest and rest[-1].lower() in _KINDS and rest[-1] not in clusters:
        kind = _KINDS[rest.pop().lower()]
    if len(rest) > 1:
        raise Usage(f"`/backup {word}` takes one cluster.", hint=f"Try `/backup {word} {example_cluster(clusters)}`.")
    if word == "status":
        return ShowStatus(known_cluster(rest[0], clusters) if rest else None)
    cluster = known_cluster(rest[0], clusters) if rest else only_cluster(clusters, f"/backup {word}")
    return BackupNow(cluster, kind) if word == "now" else ListBackups(cluster)


def _verify(rest: list[str], clusters: Collection[str]) -> Verify:
    """Read a cluster and a backup's id, either of which may be left out; an id is recognised by its form."""
    ids = [word for word in rest if is_backup_id(word)]
    others = [word for word in rest if word not in ids and (word.lower() != "latest" or word.lower() in clusters)]
    if len(ids) > 1 or len(others) > 1:
        example = example_cluster(clusters)
        raise Usage(
            "`/backup verify` takes one cluster and one backup's id.",
            hint=f"Try `/backup verify {example}`; `/backup list {example}` shows the ids.",
        )
    cluster = known_cluster(others[0], clusters) if others else only_cluster(clusters, "/backup verify")
    return Verify(cluster, ids[0] if ids else None)


def _bare_status(word: str, rest: list[str], clusters: Collection[str]) -> ShowStatus:
    if word in clusters and not rest:
        return ShowStatus(ClusterName(word))
    meant = nearest(word, _BACKUP_WORDS) or nearest(word, clusters)
    tail = f" {rest[0]}" if len(rest) == 1 and meant in {"now", "list", "verify"} else ""
    hint = f"Did you mean `/backup {meant}{tail}`?" if meant else "See `/backup help`."
    raise Usage(f"`/backup` does not know the word {quoted(word)}.", hint=hint, code="unknown-word")
