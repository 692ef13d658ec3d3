"""Encryption on the way to the server: the server's setting, this very connection, and how long its certificate holds."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bot.errors import PitstopError
from bot.postgres.connect import Connection, dsn_fields, is_local
from bot.postgres.findings import Finding

EXPIRES_SOON = timedelta(days=30)
_HANDSHAKE_S = 5.0
_SSL_REQUEST = struct.pack(">II", 8, 80877103)
_OLD = {"TLSv1", "TLSv1.1", "SSLv3"}
_HOME = {"", "localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class Tls:
    """What is known of a server's encryption. `version` is that of our own connection, None when it is not encrypted.

    `local`: we came over a socket or the loopback interface. `not_after` is the end of its certificate's validity (aware UTC,
    None: not known).
    """

    on: bool
    listens: str
    oldest: str
    version: str | None
    local: bool
    not_after: datetime | None = None

    @property
    def reachable(self) -> bool:
        """Whether other hosts can reach the server."""
        return any(address.strip() not in _HOME for address in self.listens.split(","))


def read_tls(conn: Connection, dsn: str) -> Tls:
    """Ask the server about itself and our connection; for its certificate shake hands once more. A certificate not seen is None."""
    row = conn.execute(
        "SELECT current_setting('ssl') = 'on', current_setting('listen_addresses'),"
        " current_setting('ssl_min_protocol_version'),"
        " (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl)"
    ).fetchone()
    assert row is not None
    on, listens, oldest, version = row
    return Tls(bool(on), str(listens), str(oldest), version, is_local(dsn), _certificate_end(conn) if on else None)


def check_tls(tls: Tls, *, now: datetime, accepted: bool = False) -> Iterator[Finding]:
    """Yield what is wrong, or that all is well. Pure. `accepted`: the configuration accepts connections without TLS."""
    found = [*_server(tls), *_connection(tls, accepted=accepted), *_certificate(tls, now)]
    yield from found or [Finding("ok", "tls", _well(tls, now))]


def _server(tls: Tls) -> Iterator[Finding]:
    if not tls.on and tls.reachable:
        yield Finding(
            "warn",
            "tls-off",
            f"The server listens on “{tls.listens}” and takes no encrypted connection: passwords and rows can be read on the way.",
            "ALTER SYSTEM SET ssl = on;  -- with ssl_cert_file and ssl_key_file; then reload",
        )
    if tls.on and tls.oldest in _OLD:
        sentence = f"The server accepts {tls.oldest}, which is broken."
        yield Finding("warn", "tls-old", sentence, "ALTER SYSTEM SET ssl_min_protocol_version = 'TLSv1.2';")


def _connection(tls: Tls, *, accepted: bool) -> Iterator[Finding]:
    if tls.local or (tls.version is not None and tls.version not in _OLD):
        return
    if tls.version is None:
        yield Finding(
            "warn" if accepted else "fail",
            "tls-not-used",
            "This very connection leaves the host and is not encrypted.",
            "Add sslmode=verify-full and sslrootcert=… to the DSN.",
        )
    else:
        sentence = f"This very connection uses {tls.version}, which is broken."
        yield Finding("warn", "tls-old", sentence, "Add ssl_min_protocol_version=TLSv1.2 to the DSN.")


def _certificate(tls: Tls, now: datetime) -> Iterator[Finding]:
    if tls.not_after is None:
        return
    left = tls.not_after - now
    fix = "Renew the server's certificate (`SHOW ssl_cert_file;`), then reload."
    if left <= timedelta(0):
        yield Finding("fail", "tls-expired", f"The server's certificate ended on {tls.not_after:%Y-%m-%d}.", fix)
    elif left <= EXPIRES_SOON:
        sentence = f"The server's certificate ends on {tls.not_after:%Y-%m-%d}, in {left.days} days."
        yield Finding("warn", "tls-expires", sentence, fix)


def _well(tls: Tls, now: datetime) -> str:
    until = f"; its certificate holds {(tls.not_after - now).days} days more" if tls.not_after else ""
    if tls.version is not None:
        return f"This connection is encrypted ({tls.version}){until}."
    return f"This connection does not leave the host{until}."


def _certificate_end(conn: Connection) -> datetime | None:
    """Return when the certificate that the server shows ends; None where it shows none, or only over a Unix socket."""
    try:
        fields = dsn_fields(conn.info.dsn)
    except PitstopError:
        return None
    host, port = conn.info.hostaddr or fields.get("host", ""), conn.info.port
    if not host or host.startswith("/"):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = (
        False,
        ssl.CERT_NONE,
    )  # only looked at: libpq verified its own connection
    try:
        with socket.create_connection((host, port), _HANDSHAKE_S) as plain:
            plain.sendall(_SSL_REQUEST)
            if plain.recv(1) != b"S":
                return None
            with context.wrap_socket(plain) as secured:
                der = secured.getpeercert(binary_form=True)
        return not_after(der) if der else None
    except (OSError, ValueError):
        return None


def not_after(der: bytes) -> datetime:
    """Return the end of a certificate's validity (aware UTC). Pure; X.509's fields by their order alone (RFC 5280, 4.1).

    Raises:
        ValueError: it is not a certificate.
    """
    (_, certificate), *_ = _elements(der)
    (_, to_be_signed), *_ = _elements(certificate)
    fields = [field for field in _elements(to_be_signed) if field[0] != 0xA0]  # without the version
    if len(fields) < 4:
        raise ValueError("not a certificate")
    _, (kind, text) = _elements(fields[3][1])[:2]
    digits = text.decode("ascii")
    if kind == 0x17:  # UTCTime: two digits of a year from 1950 on
        digits = ("19" if digits[:2] >= "50" else "20") + digits
    return datetime.strptime(digits, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    """Return the (tag, content) pairs of DER-encoded data."""
    found, at = [], 0
    while at < len(data):
        if at + 2 > len(data):
            raise ValueError("not DER")
        tag, size, at = data[at], data[at + 1], at + 2
        if size & 0x80:
            length = size & 0x7F
            size, at = int.from_bytes(data[at : at + length], "big"), at + length
        if at + size > len(data):
            raise ValueError("not DER")
        found.append((tag, data[at : at + size]))
        at += size
    if not found:
        raise ValueError("not DER")
    return found
