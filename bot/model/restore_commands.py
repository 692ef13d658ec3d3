"""What people type after `/restore`; see docs/commands.md."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from bot.errors import Usage
from bot.model.commands import (
    MAX_COMMAND_CHARS,
    OpenForm,
    ShowHelp,
    bounded,
    known_cluster,
    split_reason,
)
from bot.model.destinations import InPlace
from bot.model.dumps import Part
from bot.model.ids import ClusterName, is_backup_id
from bot.model.old_backups import names_old_backup
from bot.model.restores import LATEST, VERIFIED, Wanted
from bot.model.typed import nearest, plain, quoted, tokens, unquoted

_PARTS = {"schema-only": Part.SCHEMA_ONLY, "data-only": Part.DATA_ONLY}
IN_PLACE = InPlace.kind
_KEYWORDS = {"into", IN_PLACE, "database", "table", "tables", *_PARTS}
_MAX_NAME_BYTES = 63


@dataclass(frozen=True, slots=True)
class AskRestore:
    """`/restore CLUSTER BACKUP into WHERE …`, `… in place`: ask for a backup, beside what exists or for the live one's place."""

    cluster: ClusterName
    wanted: Wanted
    destination: dict[str, Any]
    reason: str


RestoreCommand = OpenForm | AskRestore | ShowHelp


def parse_restore(text: str, *, clusters: Collection[str]) -> RestoreCommand:
    """Read what follows `/restore`. Pure.

    Raises:
        Usage: an unknown cluster or word, no destination, or one that cannot be.
    """
    line, reason = split_reason(bounded(text, "/restore"))
    words = tokens(plain(line))
    if not words:
        return OpenForm()
    if words[0].lower() == "help":
        return ShowHelp("/restore")
    cluster = known_cluster(words[0], clusters)
    if len(words) == 1:
        return OpenForm(cluster)
    return _ask(cluster, words[1:], reason)


def wants_restore_form(text: str, *, clusters: Collection[str]) -> bool:
    """Say whether `/restore` with this text opens the form, which must happen within 3 s. Pure."""
    words = plain(text[:MAX_COMMAND_CHARS]).split()
    return not words or (len(words) == 1 and words[0].lower() in clusters)


def _ask(cluster: ClusterName, words: list[str], reason: str) -> AskRestore:
    backup, words = LATEST, _in_place_as_one(words)
    if words[0].lower() not in _KEYWORDS:
        backup, words = read_backup(words[0]), words[1:]
    said: dict[str, list[str]] = {}
    current = ""
    for word in words:
        if word.lower() in _KEYWORDS and word != ",":
            current = "tables" if word.lower() == "table" else word.lower()
            said.setdefault(current, [])
        elif word not in {",", "and"}:
            if current not in {"into", "database", "tables"}:
                raise _no_place_for(word, cluster, in_place=IN_PLACE in said)
            said[current].append(word)
    destination = _destination(said, cluster)
    database = _name(_one(said["database"], "database", cluster)) if "database" in said else None
    parts = [part for word, part in _PARTS.items() if word in said]
    if len(parts) > 1:
        raise Usage("Definitions alone and rows alone are nothing together.", hint="Leave one out.", code="which-part")
    wanted = Wanted(backup, database, parts[0] if parts else Part.FULL, tuple(said.get("tables", ())))
    if IN_PLACE in said:
        require_whole(wanted.part, tables="tables" in said)
    return AskRestore(cluster, wanted, destination, reason)


def _no_place_for(word: str, cluster: ClusterName, *, in_place: bool) -> Usage:
    """Return the error for a word that nothing asks for; a lone `in` may have meant either place."""
    example = f"`{_example(cluster, in_place=in_place)}`"
    if word.lower() == "in":
        example = f"`{_example(cluster, in_place=True)}`, or `{_example(cluster)}`"
    return Usage(f"{quoted(word)} has no place here.", hint=f"Write {example}.", code="bad-restore")


def _in_place_as_one(words: list[str]) -> list[str]:
    """Make one keyword of the two words `in place`, wherever they stand beside each other."""
    joined: list[str] = []
    for word in words:
        if word.lower() == "place" and joined and joined[-1].lower() == "in":
            joined[-1] = IN_PLACE
        else:
            joined.append(word)
    return joined


def _destination(said: dict[str, list[str]], cluster: ClusterName) -> dict[str, Any]:
    if IN_PLACE not in said:
        return read_destination(_one(said.get("into", []), "into", cluster), quoted_name=True)
    if "into" in said:
        raise Usage(
            "It goes into a name or in place, not both.",
            hint=f"Write `{_example(cluster)}` or `{_example(cluster, in_place=True)}`.",
            code="two-destinations",
        )
    return in_place()


def _one(words: list[str], keyword: str, cluster: ClusterName) -> str:
    if len(words) != 1:
        what = "Where to?" if keyword == "into" and not words else f"`{keyword}` takes one name."
        raise Usage(what, hint=f"Write `{_example(cluster)}`.", code="no-destination")
    return words[0]


def _example(cluster: str, *, in_place: bool = False) -> str:
    return f"/restore {cluster} latest {'in place' if in_place else 'into NEWNAME'} reason: WHY"


def in_place() -> dict[str, Any]:
    """Return the destination that is the place of the live database: the one named like the database in the dump."""
    return {"kind": IN_PLACE, "database": None}


def require_whole(part: Part, *, tables: bool) -> None:
    """Refuse a part of a database for a place that only a whole one can take.

    Raises:
        Usage: it is a part (`in-place-whole`).
    """
    if part is not Part.FULL or tables:
        raise Usage(
            "In place comes a whole database, nothing less: what is not in it would be gone.",
            hint="Leave out what narrows it, or restore the part into a new schema or database.",
            code="in-place-whole",
        )


def read_backup(word: str) -> str:
    """Return which backup is meant: an id, `latest`, `verified`, or the name of an old file.

    Raises:
        Usage: it is none of them (`unknown-backup`).
    """
    if word.lower() in {LATEST, VERIFIED}:
        return word.lower()
    if not (is_backup_id(word) or names_old_backup(word)):
        meant = nearest(word, (LATEST, VERIFIED))
        ways = "Write `latest`, `verified`, or an id from `/backup list CLUSTER`."
        raise Usage(
            f"{quoted(word)} is not a backup.",
            hint=f"Did you mean `{meant}`?" if meant else ways,
            code="unknown-backup",
        )
    return word


def read_destination(word: str, *, quoted_name: bool = False) -> dict[str, Any]:
    """Read where to: `NAME` a new database, `DATABASE.SCHEMA` a new schema, `/path` a folder for a base backup. Pure.

    With `quoted_name` a name in double quotes is taken as it stands, dots included.

    Raises:
        Usage: no database or schema can have that name (`bad-name`).
    """
    if word.startswith("/"):
        return {"kind": "beside", "directory": word.rstrip("/") or "/", "port": None}
    if quoted_name and word.startswith('"') and word.count('"') == 2 and word.endswith('"'):
        return {"kind": "database", "database": _name(word)}
    database, dot, schema = word.rpartition(".")
    if dot:
        return {"kind": "schema", "database": _name(database), "schema": _name(schema)}
    return {"kind": "database", "database": _name(word)}


def _name(word: str) -> str:
    name = unquoted(word)
    if not name or len(name.encode("utf-8", "surrogatepass")) > _MAX_NAME_BYTES or not name.isprintable():
        raise Usage(
            f"{quoted(word)} cannot be the name of a database or schema.",
            hint=f"PostgreSQL takes 1 to {_MAX_NAME_BYTES} bytes.",
            code="bad-name",
        )
    return name


__all__ = [
    "IN_PLACE",
    "AskRestore",
    "RestoreCommand",
    "in_place",
    "parse_restore",
    "read_backup",
    "read_destination",
    "require_whole",
    "wants_restore_form",
]
