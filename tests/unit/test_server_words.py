"""What libpq says is told on as sentences: one line, one end."""

from __future__ import annotations

from bot.postgres.connect import connection_error


def test_libpqs_two_lines_become_two_sentences() -> None:
    """The question that libpq adds on a line of its own neither runs into the cause nor ends in “?.”."""
    said = connection_error(
        'connection failed: connection to server on socket "/x/.s.PGSQL.5432" failed: No such file or directory\n'
        "\tIs the server running locally and accepting connections on that socket?",
        "host=/x",
    )
    assert "No such file or directory. Is the server running locally" in said.message
    assert said.message.endswith("on that socket.")
