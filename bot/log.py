"""Logs: one line per event to stderr, tokens never in them."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

from bot.host.imports import without

with without("rich"):
    # Only for tracebacks with colours and frames, which are not used here.
    import structlog

_TOKEN = re.compile(r"\b(xox[a-z](?:\.xox[a-z])?-|xapp-|xwfp-)[A-Za-z0-9-]+")
_PASSWORD = re.compile(r"(?i)(password\s*=\s*)('(?:[^'\\]|\\.)*'|\S+)|(://[^:/@\s]*:)[^@/\s]+(?=@)")
_CHATTY = ("apscheduler", "boto3", "botocore", "azure")
"""Loggers that say at INFO what they do with each request."""
_TELLS_TWICE = ("azure.identity",)
"""What these warn of is raised as well, and told from there."""
_QUIET = ("slack_bolt", "slack_sdk", "apscheduler", "urllib3")


def redact(text: str) -> str:
    """Return `text` with Slack tokens and passwords of connection strings replaced by `…`. Pure."""
    text = _TOKEN.sub(lambda match: f"{match[1]}…", text)
    return _PASSWORD.sub(lambda match: f"{match[1] or match[3]}…", text)


def to_stderr(*, stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Send structlog and the standard library's loggers to stderr, one line each, redacted.

    Readable on a terminal, JSON elsewhere. The libraries' loggers never go below INFO: at DEBUG they write modal inputs
    and verification tokens (measured with slack_bolt 1.30).
    """
    out = stream or sys.stderr
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    plain = out.isatty() or os.environ.get("PITSTOP_LOG") == "plain"
    last: Any = (
        structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if plain
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    render: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    # JSON is redacted value by value: in the finished line a password would end where its quotation mark should stand.
    render += [last, _redacted_line] if plain else [structlog.processors.format_exc_info, _redacted_values, last]
    formatter = structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=render)
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.INFO))
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    for name in _TELLS_TWICE:
        logging.getLogger(name).setLevel(max(level, logging.ERROR))
    structlog.configure(
        processors=[*shared[:2], shared[3], structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _redacted_line(_logger: Any, _method: str, event: MutableMapping[str, Any] | str) -> str:
    return redact(str(event))


def _redacted_values(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: _redacted(value) for name, value in event.items()}


def _redacted(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(name): _redacted(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(inner) for inner in value]
    return redact(value if isinstance(value, str) else repr(value))
