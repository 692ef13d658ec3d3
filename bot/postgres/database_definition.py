"""How a dump's database was made, out of its archive, for a database of another name. Pure.

`pg_restore --create` can only bring back the name that was dumped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.errors import Corruption
from bot.postgres.archive_toc import Entry, Toc
from bot.postgres.connect import quote_ident
from bot.postgres.sql_words import rename_database, words

_RESET = re.compile(r"^\\.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Definition:
    """SQL that makes a database like the one dumped: `create`, alone; `owner`; `properties` once it is filled; `comment` last.

    All of it is run in a session of another database. `owner` comes before anything is restored: whoever owns the database may
    create in its schema `public`, and so could those who owned things there. `properties` are settings, limit and grants.
    """

    create: str
    owner: str | None
    properties: tuple[str, ...]
    comment: str | None


def definition(toc: Toc, name: str) -> Definition:
    """Return how to make the archive's database under the name `name`.

    Raises:
        Corruption: the archive says nothing of it.
    """
    made = toc.kind("DATABASE")
    if len(made) != 1:
        raise Corruption(
            "The dump does not say how its database was made.",
            hint="Is another dump of the database there?",
            code="archive-damaged",
        )
    database = made[0]
    old = database.tag
    of_it = [entry for entry in toc.entries if database.id in entry.needs]
    grants = [entry for entry in of_it if entry.desc in {"ACL", "SECURITY LABEL"}]
    settings = [entry for entry in toc.kind("DATABASE PROPERTIES") if entry.tag == old]
    owner = f"ALTER DATABASE {quote_ident(name)} OWNER TO {quote_ident(database.owner)};" if database.owner else None
    comment = next((entry for entry in of_it if entry.desc == "COMMENT"), None)
    return Definition(
        rename_database(database.defn, old, name),
        owner,
        tuple(
            statement
            for text in (rename_database(_plain(entry), old, name) for entry in (*settings, *grants))
            for statement in statements(text)
        ),
        rename_database(comment.defn, old, name) if comment else None,
    )


def statements(sql: str) -> list[str]:
    """Split SQL at the semicolons that end statements."""
    found, start = list[str](), 0
    for word in words(sql):
        if word.text == ";" and word.kind == "other":
            found.append(sql[start : word.end].strip())
            start = word.end
    rest = sql[start:].strip()
    return [*found, rest] if rest else found


def _plain(entry: Entry) -> str:
    return _RESET.sub("", entry.defn)
