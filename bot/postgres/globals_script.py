"""What pg_dumpall wrote of roles, run on a scratch server statement by statement; never by psql, whose backslash runs programs.

Tablespaces are left out: their paths are the live server's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg

from bot.postgres.connect import Connection

_WORD = re.compile(
    rb"""
    --[^\n]*\n? | [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*" | (?P<end>;) | [^;'"\-eE]+ | .
    """,
    re.VERBOSE | re.DOTALL,
)
_META = re.compile(rb"^\\[^\n]*\n?", re.MULTILINE)
_LEFT_OUT = re.compile(
    rb"\s*(?:CREATE|ALTER|DROP)\s+TABLESPACE\b|\s*(?:GRANT|REVOKE)\b[^;]*\sON\s+TABLESPACE\b|"
    rb"\s*(?:COMMENT|SECURITY\s+LABEL)\b[^;]*?\sON\s+TABLESPACE\b"
)
_OF_A_DATABASE = re.compile(rb"\s*ALTER\s+ROLE\b.*\sIN\s+DATABASE\s", re.DOTALL)
_MOST = 20


def run_globals(connection: Connection, script: bytes) -> list[str]:
    """Make the roles, their memberships and settings; return in a sentence each what was refused.

    A role that is there already (the superuser the server was made with) is none. Settings of roles in single databases
    come with those databases.
    """
    refused = list[str]()
    for statement in statements(script):
        if _LEFT_OUT.match(statement) or _OF_A_DATABASE.match(statement):
            continue
        try:
            connection.execute(statement)
        except psycopg.errors.DuplicateObject:
            continue
        except psycopg.Error as error:
            if connection.closed:
                raise
            if len(refused) < _MOST:
                refused.append(" ".join(str(error).split())[:200])
    return refused


def statements(script: bytes) -> Iterator[bytes]:
    r"""Yield the statements of a script without comments and without psql's own lines (`\restrict …`). Pure."""
    statement = b""
    for match in _WORD.finditer(_META.sub(b"", script)):
        if match["end"]:
            if statement.strip():
                yield statement.strip()
            statement = b""
        elif not match[0].startswith(b"--"):
            statement += match[0]
    if statement.strip():
        yield statement.strip()
