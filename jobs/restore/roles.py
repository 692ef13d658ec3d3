"""Roles that a restore needs and the server lacks: how the dump's globals make them, without their passwords."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from bot.postgres.connect import quote_ident
from bot.postgres.sql_words import words

_PASSWORD = re.compile(r"\s+PASSWORD\s+('(?:[^']|'')*'|NULL)")
_MOST = 6


def lines_for(roles: Collection[str], globals_sql: Iterable[bytes]) -> list[str]:
    """Return the lines of `pg_dumpall --globals-only` that make these roles; plain ones for roles that are not in it. Pure."""
    text = b"".join(globals_sql).decode("utf-8", "backslashreplace")
    made: dict[str, list[str]] = {role: [] for role in sorted(roles)}
    for line in text.splitlines():
        if not line.startswith(("CREATE ROLE ", "ALTER ROLE ")) or " SET " in line:
            continue
        named = [word.name for word in words(line[:400])][2:3]
        if named and named[0] in made:
            made[str(named[0])].append(_PASSWORD.sub("", line))
    return [line for role, lines in made.items() for line in (lines or [f"CREATE ROLE {quote_ident(role)};"])]


def shown(lines: list[str]) -> str:
    """Return the lines as a hint, as many as can be read."""
    more = f" and {len(lines) - _MOST} more lines from the dump's globals" if len(lines) > _MOST else ""
    return " ".join(lines[:_MOST]) + more
