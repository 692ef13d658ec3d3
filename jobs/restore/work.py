"""One restore of a dump under way: its claimed request, what it is made from, and how the server is reached."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from bot.config import ClusterConfig
from bot.errors import Corruption, Failed
from bot.host.files import write_durable
from bot.model.destinations import NewDatabase, NewSchema
from bot.model.ids import RequestId
from bot.model.restores import Restoration
from bot.postgres.binaries import Binaries
from bot.postgres.dump_session import DumpSession
from bot.postgres.restore_program import find_pg_restore
from bot.repository.cluster import ClusterRepository
from bot.repository.manifest import Manifest
from jobs.claimed import Claimed
from jobs.elsewhere import Copies, open_copies
from jobs.restore.contents import Contents, read_contents

SCRATCH = "pitstop_restoring_"
"""How the name of every database begins that is not finished; the request's id follows."""


def scratch_name(request: RequestId) -> str:
    """Return the name of a restore's database while it is made."""
    return f"{SCRATCH}{request}"


@dataclass(frozen=True)
class RestoreWork(Claimed):
    """What every phase gets. `began` is `time.monotonic()` at the claim."""

    began: float = field(default_factory=time.monotonic)

    @property
    def settings(self) -> ClusterConfig:
        """The cluster's configuration."""
        return self.config.cluster(self.request.cluster)

    @property
    def dsn(self) -> str:
        """How the restoring role reaches the server."""
        return self.settings.restoring

    @property
    def what(self) -> Restoration:
        """What is restored."""
        return self.steps.restoration

    @property
    def going_to(self) -> NewDatabase | NewSchema:
        """Where it goes."""
        destination = self.steps.destination
        assert isinstance(destination, NewDatabase | NewSchema)
        return destination

    @property
    def scratch(self) -> str:
        """The database it is made in."""
        return scratch_name(self.request.id)

    @cached_property
    def copies(self) -> Copies:
        """Where the dump is read from."""
        found = open_copies(self.config, self.steps)
        found.elsewhere.on_note = self.context.note
        return found

    @property
    def elsewhere(self) -> list[str]:
        """What had to be read from another repository than planned, in sentences."""
        return list(self.copies.elsewhere.sentences) if "copies" in self.__dict__ else []

    @property
    def repository(self) -> ClusterRepository:
        """The repository that holds the dump."""
        return self.copies.cluster

    @cached_property
    def manifest(self) -> Manifest:
        """The dump's manifest, the very one that was approved.

        Raises:
            Corruption: `manifest-differs`, or it is damaged.
        """
        (link,) = self.steps.chain
        manifest = self.repository.manifest(link.backup)
        if manifest.sha256 != link.manifest_sha256:
            raise Corruption(
                f"The manifest of {link.backup} is not the one that was approved.",
                hint="Is the repository sound? Ask again, and the plan will say.",
                code="manifest-differs",
            )
        return manifest

    @cached_property
    def contents(self) -> Contents:
        """What is taken out of the dump."""
        return read_contents(self.repository, self.manifest, self.what)

    @property
    def server_major(self) -> int:
        """The live server's major version."""
        return self.plan.facts.server_version // 10000

    @cached_property
    def tools(self) -> Binaries:
        """The installation whose pg_restore does it."""
        return find_pg_restore(self.server_major, self.contents.toc.tool_major, self.config.postgres.bin_directories)

    def session(self, database: str) -> DumpSession:
        """Return how the restoring role reaches a database, steered by nobody's settings."""
        encoding = "SQL_ASCII" if self.contents.record.get("encoding") == "SQL_ASCII" else "UTF8"
        return DumpSession(self.dsn, database, self.server_major, f"pitstop restore {self.request.id}", encoding)

    def check_time(self) -> None:
        """Go on, unless the run was asked to stop or its time is up.

        Raises:
            Cancelled: it was asked to stop. Failed: `time-limit`.
        """
        self.context.check_cancelled()
        limit = self.config.restore.limit
        if time.monotonic() - self.began > limit.total_seconds():
            raise Failed(
                f"The restore took longer than {limit}; it was given up, and what it had made is removed.",
                hint="Raise `restore.limit`, or restore fewer tables.",
                code="time-limit",
            )

    def remember(self, found: dict[str, Any]) -> None:
        """Keep what the checks found, for a run that takes this up after it was settled."""
        self._memory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_durable(self._memory, json.dumps(found, ensure_ascii=False).encode())

    def remembered(self) -> dict[str, Any]:
        """Return what was kept, or nothing."""
        try:
            found: dict[str, Any] = json.loads(self._memory.read_bytes())
        except (OSError, ValueError):
            return {"checks": [], "tables": [], "tables_left_out": 0}
        return found

    def forget(self) -> None:
        """Remove what was kept. Idempotent."""
        self._memory.unlink(missing_ok=True)

    @property
    def _memory(self) -> Path:
        return self.config.runs_directory / f"{self.request.id}.restored.json"
