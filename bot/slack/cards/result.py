"""What a recovery or a restore brought: how to connect, what the checks found, how long it took, and the server that holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.model.bring_back import bring_back_line
from bot.model.servers import Server, ServerState
from bot.model.typed import shell_word
from bot.slack.cards.in_place import swap_line, what_ran
from bot.slack.text import code, code_block, count, escape, moment, size, span

_MAX_CHECKS = 12
_MAX_LEFT_OUT = 6


def result_lines(result: Mapping[str, Any]) -> list[str]:
    """Say what came of a recovery or a restore; keys that are missing are left out, unknown ones ignored."""
    lines = []
    if result.get("kept"):
        return swapped_lines(result)
    restored = bool(result.get("from_database"))
    if seconds := _number(result.get("seconds")):
        lines.append(f"{'Restored' if restored else 'Recovered'} and checked in {span(seconds)}.")
    if restored:
        lines.extend(_restored(result))
    if target := result.get("target"):
        lines.append(_target(target))
    lines.extend(check_lines(result.get("checks")))
    lines.extend(_sentences(result.get("elsewhere")))
    return lines


def _restored(result: Mapping[str, Any]) -> list[str]:
    """Say what came back, where it is, and how to look at it."""
    schema = f", schema {code(str(result['schema']), 120)}" if result.get("schema") else ""
    chosen = result.get("chosen_tables")
    tables = f"{count(len(chosen), 'table')} " if isinstance(chosen, list) and chosen else ""
    place = f"*Now in* the database {code(str(result.get('database', '?')), 120)}{schema}"
    lines = [f"{place}, {tables}from {code(str(result.get('backup', '?')), 60)}"]
    if dsn := result.get("dsn"):
        lines.append(f"Look at it:\n{psql_line(str(dsn))}")
    left = result.get("left_out")
    if isinstance(left, list):
        lines.extend(f"⚠️ {escape(str(sentence), 300)}" for sentence in left[:_MAX_LEFT_OUT])
    return lines


def swapped_lines(result: Mapping[str, Any]) -> list[str]:
    """Say what a swap did: what has the name, what was ended, what the checks and the application say."""
    said = [*_sentences(result.get("warnings")), *_sentences(result.get("elsewhere"))]
    return [swap_line(result), *check_lines(result.get("checks")), *said, *what_ran(result)]


def _sentences(found: object) -> list[str]:
    return [f"⚠️ {escape(str(said), 300)}" for said in found[:_MAX_LEFT_OUT]] if isinstance(found, list) else []


def psql_line(dsn: str) -> str:
    """Return the command that connects, as a code block to copy."""
    return code_block(f"psql {shell_word(dsn)}")


def server_lines(server: Server | None, result: Mapping[str, Any] | None = None) -> list[str]:
    """Say how to connect to a server beside, what it holds, until when it lives, and with `result` how a table is copied."""
    if server is None:
        return []
    if server.state is ServerState.REMOVED:
        return ["The server and its copy of the data are gone."]
    kept = f"It holds {size(server.size_bytes)} of disk in {code(server.directory, 300)}"
    if server.state is ServerState.STOPPED:
        return [f"The server is stopped. {kept} until it is removed."]
    return [
        f"Look at it on {_place(server)}:\n{psql_line(server.dsn)}",
        *([_bring_back(server.dsn, result)] if result else []),
        f"{kept} and is stopped at {moment(server.expires_at)}. It is a copy of production's data: treat it so.",
    ]


def _place(server: Server) -> str:
    """Say where, and as whom, the line to connect works: the password is in a file of that user there."""
    host, user = server.detail.get("host"), server.detail.get("user")
    who = f" as {code(str(user), 60)}" if user else ""
    return f"{code(str(host), 120)}{who}" if host else "Pitstop's own host"


def _bring_back(dsn: str, result: Mapping[str, Any]) -> str:
    line = bring_back_line(dsn, result)
    return f"To bring one table back, where the live server has none of that name any more:\n{code_block(line)}"


def check_lines(checks: object) -> list[str]:
    """Say what each check found; a list of objects with `name`, `passed` or `ok`, and what was found."""
    found = _named(checks)
    lines = [_check(name, check) for name, check in found[:_MAX_CHECKS]]
    if len(found) > _MAX_CHECKS:
        lines.append(f"and {len(found) - _MAX_CHECKS} more checks; see `pitstop request show --json`")
    return lines


def _named(checks: object) -> list[tuple[str, Any]]:
    if isinstance(checks, Mapping):
        return [(str(name), check) for name, check in checks.items()]
    if isinstance(checks, list | tuple):
        return [(str(check.get("name", "check")) if isinstance(check, Mapping) else "", check) for check in checks]
    return []


def _check(name: str, check: Any) -> str:
    if not isinstance(check, Mapping):
        return f"• {escape(name, 120)} {escape(str(check), 300)}".rstrip()
    passed = check.get("passed", check.get("ok"))
    mark = {True: "✅", False: "❌"}.get(passed if isinstance(passed, bool) else None, "•")  # type: ignore[arg-type]
    said = next(
        (check[key] for key in ("said", "detail", "found", "value", "rows", "message") if check.get(key) is not None),
        "",
    )
    return f"{mark} {escape(name, 120)}{': ' + escape(str(said), 300) if said != '' else ''}"


def _target(target: Any) -> str:
    if not isinstance(target, Mapping):
        return ""
    lsn, timeline = str(target.get("lsn", "?")), str(target.get("timeline", "?"))
    return f"*Stopped* before LSN {code(lsn, 20)} on timeline {escape(timeline, 12)}"


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
