"""A server set up as the README says: roles with few rights and passwords of their own, and an installation that uses them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import make_conninfo

from bot.postgres.checks import check_cluster
from bot.postgres.findings import Finding
from bot.postgres.plain import PlainServer
from tests.jobs import CLUSTER, Installation, install
from tests.servers import execute

MARK = "hunter2-Zq9vKxW41c"
PASSWORD = f"it's a sécret: {MARK}"
README = Path(__file__).parents[1] / "README.md"
HBA = """local all postgres trust
local all all scram-sha-256
local replication pitstop_stream scram-sha-256
"""


@dataclass
class Observed:
    """A live server and the installation that knows it by two roles."""

    server: PlainServer
    here: Installation

    def all_findings(self) -> list[Finding]:
        """Check the cluster."""
        return check_cluster(self.here.config, CLUSTER)

    def findings(self) -> dict[str, Finding]:
        """Check the cluster; of several findings of one code the worst is shown."""
        return {f.code: f for f in sorted(self.all_findings(), key=lambda f: ("ok", "warn", "fail").index(f.level))}

    def bad(self) -> dict[str, Finding]:
        """Return what is not ok."""
        return {code: finding for code, finding in self.findings().items() if finding.level != "ok"}

    def paste(self, fix: str) -> None:
        """Do what a finding's line says, as a person with psql would: statement by statement, comments left out."""
        for statement in fix.partition("--")[0].split(";"):
            if statement.strip():
                execute(self.server, statement)

    def rules(self, *extra: str) -> None:
        """Replace pg_hba.conf and reload."""
        (self.server.data_directory / "pg_hba.conf").write_text(HBA + "".join(f"{line}\n" for line in extra))
        execute(self.server, "SELECT pg_reload_conf()")

    def restart(self) -> Observed:
        """Start the server anew, with the settings it keeps."""
        self.server.stop()
        again = PlainServer.start(
            self.server.binaries, self.server.data_directory, self.server.account,
            socket_dir=self.server.socket_dir, port=self.server.port, settings=READY, log=self.server.log,
        )  # fmt: skip
        return Observed(again, self.here)


READY = {"shared_buffers": "16MB", "max_slot_wal_keep_size": "1GB", "max_wal_senders": "6"}


def observed(server: PlainServer, home: Path, *, extra: Mapping[str, str] | None = None, host: str = "") -> Observed:
    """Make the README's roles on a server, and an installation in `home` that connects as they do."""
    for statement in readme_sql(server.binaries.major):
        execute(server, statement)
    passfile = home.parent / "pgpass"
    secret = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    passfile.write_text(f"*:*:*:*:{secret}\n")
    passfile.chmod(0o600)
    dsns = {
        f"{what}_dsn": _toml(
            make_conninfo(
                host=host or str(server.socket_dir),
                port=server.port,
                user=f"pitstop_{what}",
                dbname="postgres",
                passfile=str(passfile),
            )
        )
        for what in ("stream", "observe")
    }
    there = Observed(server, install(home, server, {**dsns, **(extra or {})}))
    there.rules()
    return there


def readme_sql(major: int) -> list[str]:
    """Return the README's statements, with a real password."""
    found = re.search(r"```sql\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert found
    lines = [line for line in found[1].splitlines() if major >= 15 or "15 and later" not in line]
    text = "\n".join(line.partition("--")[0] for line in lines)
    return [one.replace("'…'", _literal(PASSWORD)) for one in text.split(";") if one.strip()]


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
