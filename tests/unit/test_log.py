"""Logs: one line each, to stderr, without secrets."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from bot.log import redact, to_stderr


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Where lines go; logging is taken back afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    to_stderr(stream=stream)
    yield stream
    root.handlers[:], root.level = before
    structlog.reset_defaults()


@pytest.mark.parametrize(
    "text",
    [
        "host=db password=hunter2 user=x",
        "host=db password = 'hunter2 and \\' more' user=x",
        "sslpassword=hunter2",
        "postgresql://user:hunter2@db/x",
        "postgresql://db/x?user=u&password=hunter2",
        "xoxb-hunter2-12",
        "xapp-1-hunter2",
        "xoxe.xoxb-1-hunter2",
        "PASSWORD=hunter2",
    ],
)
def test_secrets_are_left_out(text: str) -> None:
    """Passwords of both kinds of connection strings and every kind of Slack token are replaced."""
    assert "hunter2" not in redact(text)
    assert "…" in redact(text)


def test_what_is_no_secret_stays() -> None:
    """The rest of a line is left as it is."""
    text = "host=db user=pitstop passfile=/etc/pitstop/pgpass; postgresql://user@db/x; the password is wrong"
    assert redact(text) == text


def test_one_json_line_for_each_event(logged: io.StringIO) -> None:
    """Away from a terminal each event is one JSON line with time, level and its values, exceptions included."""
    structlog.get_logger("pitstop.test").info("event\nwith a line", cluster="slips", dsn="password=hunter2")
    try:
        raise ValueError("postgresql://u:hunter2@h/d")
    except ValueError:
        structlog.get_logger("pitstop.test").exception("failed")
    logging.getLogger("somebody.else").warning("theirs: %s", "xoxb-hunter2-1")
    lines = logged.getvalue().splitlines()
    assert len(lines) == 3
    first, second, third = (json.loads(line) for line in lines)
    assert (first["event"], first["cluster"], first["level"]) == ("event\nwith a line", "slips", "info")
    assert "ValueError" in second["exception"]
    assert third["event"].startswith("theirs: ")
    assert "hunter2" not in logged.getvalue()


def test_libraries_do_not_chatter(logged: io.StringIO) -> None:
    """At any level slack_bolt stays at INFO: at DEBUG it writes what people typed, and verification tokens."""
    to_stderr(stream=logged, level=logging.DEBUG)
    logging.getLogger("slack_bolt.App").debug("the body of a modal")
    logging.getLogger("slack_sdk.web").debug("a token")
    assert logged.getvalue() == ""
