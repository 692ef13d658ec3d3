"""Plain servers: the ground every other integration test stands on."""

from __future__ import annotations

import pytest

from tests.servers import PlainServerFactory, execute

pytestmark = pytest.mark.pg


@pytest.mark.parametrize("major", [15, 16, 18])
def test_a_plain_server_answers(plain_server: PlainServerFactory, major: int) -> None:
    """Each major starts from the template, answers over its socket, and has the settings asked for."""
    server = plain_server(major, settings={"wal_level": "logical"})
    assert execute(server, "SHOW wal_level") == [("logical",)]
    [(version,)] = execute(server, "SHOW server_version_num")
    assert int(str(version)) == server.binaries.version_num
    server.stop()
    assert not server.running
