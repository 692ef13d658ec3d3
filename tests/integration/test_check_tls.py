"""`pitstop check` looks at a real server's encryption: its certificate's end, and our own connection."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from bot.postgres.connect import connect
from bot.postgres.plain import PlainServer
from bot.postgres.tls_rules import check_tls, read_tls
from tests.integration.test_pitr_killed import free_port
from tests.servers import FAST, PlainServerFactory, execute
from tests.unit.test_tls_rules import KEY, certificate

pytestmark = pytest.mark.pg


def encrypt(server: PlainServer, end: datetime) -> None:
    """Let a server take encrypted connections with a certificate that ends at `end`."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    shown = x509.load_der_x509_certificate(certificate(end)).public_bytes(Encoding.PEM)
    for name, content in (("server.key", key), ("server.crt", shown)):
        file = server.data_directory / name
        file.write_bytes(content)
        file.chmod(0o600)
        if not server.account.is_current:
            os.chown(file, server.account.uid, server.account.gid)
    execute(server, "ALTER SYSTEM SET ssl = on")
    execute(server, "SELECT pg_reload_conf()")


@contextmanager
def listening(plain_server: PlainServerFactory) -> Iterator[PlainServer]:
    """Start a server that can be reached over the loopback interface too, at a port of its own."""
    first = plain_server(15)
    execute(first, "ALTER ROLE postgres PASSWORD 'only-here'")
    first.stop()
    server = PlainServer.start(
        first.binaries, first.data_directory, first.account, socket_dir=first.socket_dir, port=free_port(),
        settings={**FAST, "listen_addresses": "127.0.0.1"}, log=first.log,
    )  # fmt: skip
    try:
        yield server
    finally:
        server.stop("immediate")


def over_tcp(server: PlainServer, mode: str) -> str:
    """Return a DSN over the loopback interface."""
    return f"host=127.0.0.1 port={server.port} user=postgres dbname=postgres password=only-here sslmode={mode}"


def test_an_encrypted_server_shows_its_certificates_end(plain_server: PlainServerFactory) -> None:
    """Over TCP the certificate is seen and its end judged; the connection's own TLS version comes from the server."""
    with listening(plain_server) as server:
        end = (datetime.now(UTC) + timedelta(days=9)).replace(microsecond=0)
        encrypt(server, end)
        with connect(over_tcp(server, "require")) as conn:
            tls = read_tls(conn, over_tcp(server, "require"))
        assert (tls.on, tls.local, tls.not_after) == (True, True, end)
        assert tls.version in {"TLSv1.2", "TLSv1.3"}
        assert [finding.code for finding in check_tls(tls, now=datetime.now(UTC))] == ["tls-expires"]
        with connect(server.dsn()) as conn:
            assert read_tls(conn, server.dsn()).version is None


def test_a_server_without_tls_is_seen_as_such(plain_server: PlainServerFactory) -> None:
    """One that this host alone can reach needs none."""
    with listening(plain_server) as server:
        with connect(over_tcp(server, "prefer")) as conn:
            tls = read_tls(conn, over_tcp(server, "prefer"))
        assert (tls.on, tls.version, tls.not_after) == (False, None, None)
        assert [finding.level for finding in check_tls(tls, now=datetime.now(UTC))] == ["ok"]
