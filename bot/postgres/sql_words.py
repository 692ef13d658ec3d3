"""The words of SQL that pg_dump wrote: enough to find a name or a role in it, and to put another name in. Pure."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from bot.errors import Corruption
from bot.postgres.connect import quote_ident

_WORD = re.compile(
    r"""
    (?P<comment>--[^\n]*)
  | (?P<text>[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*')
  | (?P<quoted>"(?:[^"]|"")+")
  | (?P<bare>[^\W\d][\w$]*)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Word:
    """A word at `start` to `end`; `kind` is `bare` (a keyword or a plain name), `quoted`, `text` or `other`."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def name(self) -> str | None:
        """The identifier it stands for, or None. pg_dump writes keywords in capitals, and quotes names that have any."""
        if self.kind == "quoted":
            return self.text[1:-1].replace('""', '"')
        return self.text if self.kind == "bare" and not self.text.isupper() else None


def words(sql: str) -> Iterator[Word]:
    """Yield the words of a statement or several, without blanks and comments."""
    for match in _WORD.finditer(sql):
        kind = str(match.lastgroup)
        if kind != "comment" and not match[0].isspace():
            yield Word(kind, match[0], match.start(), match.end())


def rename_database(sql: str, old: str, new: str) -> str:
    """Return `sql` with `new` wherever it speaks of the database `old`: `CREATE DATABASE old`, `ALTER ROLE r IN DATABASE old`.

    Raises:
        Corruption: it speaks of none, or of another one.
    """
    seen = list(words(sql))
    found = [after for before, after in itertools.pairwise(seen) if (before.kind, before.text) == ("bare", "DATABASE")]
    if not found or any(word.name != old for word in found):
        raise Corruption(
            f"The dump's own definition of the database {old} cannot be read.",
            hint="Is another dump of the database there?",
            code="archive-damaged",
        )
    renamed, end = "", 0
    for word in found:
        renamed += sql[end : word.start] + quote_ident(new)
        end = word.end
    return renamed + sql[end:]


def roles_named(desc: str, defn: str) -> set[str]:
    """Return the roles that a grant, a policy or a database's settings speak of; `desc` is the entry's kind."""
    seen = list(words(defn))
    if desc == "POLICY":
        return set(_list_after(seen, ("TO",), until=("USING", "WITH")))
    if desc in {"ACL", "DEFAULT ACL"}:
        return set(_list_after(seen, ("TO", "FROM", "AUTHORIZATION", "ROLE"), until=()))
    if desc == "DATABASE PROPERTIES":
        return set(_list_after(seen, ("ROLE",), until=()))
    return set()


def _list_after(seen: list[Word], starts: tuple[str, ...], *, until: tuple[str, ...]) -> Iterator[str]:
    for number, word in enumerate(seen):
        if word.kind == "bare" and word.text in until:
            return
        if word.kind == "bare" and word.text in starts:
            for name, separator in zip(seen[number + 1 :: 2], [*seen[number + 2 :: 2], None], strict=False):
                if name.name is None:
                    break
                yield name.name
                if separator is None or separator.text != ",":
                    break
