"""Hints as Slack's readers can follow them: the command line's words said in those of `/backup` and `/restore`. Pure.

Jobs and the desk answer the terminal and Slack alike, and write their hints for the terminal. What has no word in Slack stays.
"""

from __future__ import annotations

import re

_COMMAND = re.compile(
    r"\bpitstop (?P<verb>status|schedule|list|verify|backup base|backup dump)"
    r"(?: (?P<cluster>[A-Za-z0-9_][\w-]*))?(?! *--|`? on the host)(?=[`\s.,;]|$)"
)
_VERBS = {"backup base": "now", "backup dump": "now"}
_OPTIONS = {
    "--into-database NAME": "into NAME",
    "--into-database": "into NAME",
    "--into-schema DATABASE.SCHEMA": "into DATABASE.SCHEMA",
    "--into-schema": "into DATABASE.SCHEMA",
    "--into-directory PATH": "into /PATH",
    "--into-directory": "into /PATH",
    "--in-place": "in place",
    "--exclude-table": "without",
    "--schema-only": "schema-only",
    "--data-only": "data-only",
    "--database": "database",
    "--table": "table",
}
_OPTION = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, _OPTIONS))})(?![\w-])")


def in_slack(hint: str) -> str:
    """Return a hint with the commands and options of the command line said as they are typed in Slack. Idempotent."""
    spans = _COMMAND.sub(_command, hint).split("`")
    return "`".join(
        part if odd % 2 else _OPTION.sub(lambda m: f"`{_OPTIONS[m[0]]}`", part) for odd, part in enumerate(spans)
    )


def _command(found: re.Match[str]) -> str:
    verb, cluster = found["verb"], found["cluster"]
    if cluster is None and verb.startswith("backup"):
        return found[0]
    words = ["/backup", _VERBS.get(verb, verb), cluster or "", "dump" if verb == "backup dump" else ""]
    return " ".join(word for word in words if word)
