"""Connections that leave this host are verified by TLS, unless the configuration accepts otherwise."""

from __future__ import annotations

from collections.abc import Iterator

from bot.config import ClusterConfig
from bot.errors import PitstopError, Usage
from bot.postgres.connect import dsn_field, is_local, server_place
from bot.postgres.findings import Finding, Level

_FIX = "Add sslmode=verify-full and sslrootcert=… to the DSN, or accept it with insecure_transport = true."


def require_verified(cluster: ClusterConfig) -> None:
    """Refuse to send passwords and data where anybody on the way could pass for the server.

    Raises:
        Usage: `insecure-transport`, or a DSN cannot be read.
    """
    for finding in check_transport(cluster):
        if finding.level == "fail":
            raise Usage(finding.sentence, hint=finding.fix, code=finding.code)


def check_transport(cluster: ClusterConfig) -> Iterator[Finding]:
    """Yield a finding for each role's connection. Reads the DSNs alone."""
    dsns = {
        "stream": cluster.stream,
        "observe": cluster.observe,
        "dump": cluster.dump_dsn,
        "restore": cluster.restore_dsn,
    }
    for what, dsn in dsns.items():
        if dsn is None:
            continue
        try:
            local, mode = is_local(dsn), dsn_field(dsn, "sslmode")
            place = server_place(dsn)
        except PitstopError as error:
            yield Finding("fail", error.reason_code, error.message, error.hint)
            continue
        if local or mode == "verify-full":
            yield Finding("ok", "transport", f"The {what} connection is local or verified by TLS.")
            continue
        level: Level = "warn" if cluster.insecure_transport else "fail"
        sentence = f"The {what} connection to {place} leaves this host with sslmode={mode or 'prefer'}."
        yield Finding(level, "insecure-transport", sentence, _FIX)
