"""Which entries of an archive bring chosen tables back: all that they stand on, and all that belongs to them. Pure.

pg_restore's own `--table` restores a table without its indexes, constraints, defaults and types.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bot.model.restores import TableName
from bot.model.typed import unquoted
from bot.postgres.archive_toc import Entry, Toc
from bot.postgres.sql_words import roles_named

_ALWAYS = frozenset({"ENCODING", "STDSTRINGS", "SEARCHPATH"})
_OF_THE_DATABASE = frozenset({"DATABASE", "DATABASE PROPERTIES"})
_TABLES = frozenset({"TABLE", "FOREIGN TABLE"})
_OWNED = frozenset(
    {
        "TABLE DATA", "DEFAULT", "CONSTRAINT", "CHECK CONSTRAINT", "INDEX", "STATISTICS", "STATISTICS DATA", "TRIGGER",
        "RULE", "POLICY", "ROW SECURITY", "SEQUENCE", "SEQUENCE OWNED BY",
    }
)  # fmt: skip
_WHEN_ALL_IS_THERE = frozenset({"FK CONSTRAINT", "TABLE ATTACH", "INDEX ATTACH"})
_IDENTIFIER = r'("(?:[^"]|"")+"|[^\s".(]+)'
_REFERENCES = re.compile(rf"\bREFERENCES {_IDENTIFIER}\.{_IDENTIFIER}\(")
_REMARKS = frozenset({"COMMENT", "ACL", "SECURITY LABEL", "SEQUENCE SET"})
_DATA = frozenset({"TABLE DATA", "BLOBS", "SEQUENCE SET", "MATERIALIZED VIEW DATA", "STATISTICS DATA"})
_UNOWNED = frozenset({"COMMENT", "ACL", "SECURITY LABEL", "DEFAULT ACL", "EXTENSION", "EVENT TRIGGER"})


@dataclass(frozen=True, slots=True)
class Choice:
    """What is restored of an archive: `entries` in its order, `tables` those whose rows come along.

    `bare` are tables that come without their rows because a chosen one stands on them; `left_out` says in sentences what of
    the chosen tables cannot come.
    """

    entries: tuple[Entry, ...]
    tables: tuple[TableName, ...]
    bare: tuple[TableName, ...] = ()
    left_out: tuple[str, ...] = ()

    def list_file(self) -> bytes:
        """Return the list for `pg_restore --use-list`."""
        return b"".join(b"%d;\n" % entry.id for entry in self.entries)

    def owners(self) -> set[str]:
        """Return the roles that own something in it."""
        return {entry.owner for entry in self.entries if entry.owner and entry.desc not in _UNOWNED}

    def roles(self) -> set[str]:
        """Return every role it speaks of; `public` stands for everybody and is none."""
        named = {role for entry in self.entries for role in roles_named(entry.desc, entry.defn)}
        return (named | self.owners()) - {"public"}

    def extensions(self) -> list[str]:
        """Return the extensions it makes."""
        return [entry.tag for entry in self.entries if entry.desc == "EXTENSION"]

    def tablespaces(self) -> set[str]:
        """Return the tablespaces it puts something into."""
        return {entry.tablespace for entry in self.entries if entry.tablespace}


def everything(toc: Toc) -> Choice:
    """Choose the whole archive, with what belongs to the database itself.

    Foreign keys to tables that the archive lacks (pg_dump was told which to take) are left out and said.
    """
    tables = tuple(TableName(entry.schema, entry.tag) for entry in toc.kind("TABLE DATA"))
    loose = _leading_out(toc)
    said = tuple(
        f"The foreign key {entry.tag} leads to a table that is not in the dump; it is left out." for entry in loose
    )
    return Choice(tuple(entry for entry in toc.entries if entry not in loose), tables, (), said)


def lacking_schemas(toc: Toc) -> list[str]:
    """Return the schemas that an archive of chosen tables is in and does not make, because none was chosen."""
    if toc.kind("SCHEMA", "EXTENSION"):  # else an extension may make them
        return []
    return sorted({entry.schema for entry in toc.entries} - {"", "public", "pg_catalog"})


def tables_of(toc: Toc, names: Sequence[TableName]) -> Choice:
    """Choose tables with their partitions and heirs, what they stand on, and what belongs to them.

    Foreign keys to tables that do not come are left out and said. Publications, views and large objects do not come along.
    """
    by_id = {entry.id: entry for entry in toc.entries}
    chosen = _with_heirs(toc, names)
    ids = set(chosen)
    _close(ids, by_id)
    core = set(chosen)
    grown = True
    while grown:
        grown = False
        for entry in toc.entries:
            if entry.id in core or entry.desc not in _OWNED or not core.intersection(entry.needs):
                continue
            core.add(entry.id)
            ids.add(entry.id)
            _close(ids, by_id)
            grown = True
    loose = {entry.id for entry in _leading_out(toc)}
    ids |= {entry.id for entry in toc.entries if entry.desc in _ALWAYS}
    for kinds in (_WHEN_ALL_IS_THERE, _REMARKS):
        ids |= {entry.id for entry in toc.entries if entry.desc in kinds and entry.needs and _there(entry, ids, by_id)}
        ids -= loose
    entries = tuple(entry for entry in toc.entries if entry.id in ids)
    return Choice(
        entries,
        tuple(_name(by_id[number]) for number in sorted(chosen)),
        tuple(_name(entry) for entry in entries if entry.desc in _TABLES and entry.id not in chosen),
        tuple(_left_out(toc, core, ids)),
    )


def without_rows(choice: Choice) -> Choice:
    """Return the same without anything but definitions."""
    entries = tuple(entry for entry in choice.entries if entry.desc not in _DATA and not entry.desc.startswith("BLOB"))
    return Choice(entries, (), choice.bare, choice.left_out)


def rows_alone(choice: Choice) -> Choice:
    """Return the rows, the large objects and the sequences' values of it, and no definition."""
    entries = tuple(
        entry
        for entry in choice.entries
        if entry.desc in _ALWAYS or entry.desc in {"TABLE DATA", "SEQUENCE SET"} or entry.desc.startswith("BLOB")
    )
    views = [entry.tag for entry in choice.entries if entry.desc == "MATERIALIZED VIEW DATA"]
    said = (f"Materialized views are not refreshed: {', '.join(views[:8])}.",) if views else ()
    tables = tuple(_name(entry) for entry in entries if entry.desc == "TABLE DATA")
    return Choice(entries, tables, (), said)


def _with_heirs(toc: Toc, names: Sequence[TableName]) -> set[int]:
    wanted = set(names)
    tables = [entry for entry in toc.entries if entry.desc in _TABLES]
    partitions = {entry.needs for entry in toc.kind("TABLE ATTACH")}
    chosen = {entry.id for entry in tables if _name(entry) in wanted}
    while True:
        heirs = {
            entry.id
            for entry in tables
            if entry.id not in chosen and any(_is_heir(entry, parent, partitions) for parent in chosen)
        }
        if not heirs:
            return chosen
        chosen |= heirs


def _is_heir(entry: Entry, parent: int, partitions: set[tuple[int, ...]]) -> bool:
    if any(entry.id in pair and parent in pair for pair in partitions):
        return parent in entry.needs
    return parent in entry.needs and "\nINHERITS (" in entry.defn


def _close(ids: set[int], by_id: dict[int, Entry]) -> None:
    """Add everything that the entries stand on."""
    waiting = list(ids)
    while waiting:
        for need in by_id[waiting.pop()].needs:
            if need in by_id and need not in ids:
                ids.add(need)
                waiting.append(need)


def _there(entry: Entry, ids: set[int], by_id: dict[int, Entry]) -> bool:
    return all(need in ids for need in entry.needs if need in by_id)


def _left_out(toc: Toc, core: set[int], ids: set[int]) -> Iterator[str]:
    """Say which foreign keys of the chosen tables lead to tables that do not come; those that lead to them are not theirs."""
    for entry in toc.kind("FK CONSTRAINT"):
        owner = _own_table(toc, entry)
        if entry.id not in ids and owner is not None and owner.id in core:
            yield f"The foreign key {entry.tag} leads to a table that is not restored; it is left out."


def _leading_out(toc: Toc) -> list[Entry]:
    """Return the foreign keys that refer to a table which is not in the archive; pg_dump writes every name with its schema."""
    if toc.kind("EXTENSION"):  # it is no archive of chosen tables, and the table may be the extension's
        return []
    tables = {_name(entry) for entry in toc.entries if entry.desc in _TABLES}
    found = []
    for entry in toc.kind("FK CONSTRAINT"):
        named = _REFERENCES.search(entry.defn)
        if named is not None and TableName(unquoted(named[1]), unquoted(named[2])) not in tables:
            found.append(entry)
    return found


def _own_table(toc: Toc, entry: Entry) -> Entry | None:
    """Return the table a constraint is of: its tag is the table's name and its own."""
    return next(
        (
            table
            for table in toc.entries
            if table.desc in _TABLES and table.schema == entry.schema and entry.tag.startswith(f"{table.tag} ")
            and table.id in entry.needs
        ),
        None,
    )  # fmt: skip


def _name(entry: Entry) -> TableName:
    return TableName(entry.schema, entry.tag)


def missing(names: Iterable[str], there: Iterable[str]) -> list[str]:
    """Return, sorted, which of `names` are not `there`."""
    return sorted(set(names) - set(there))
