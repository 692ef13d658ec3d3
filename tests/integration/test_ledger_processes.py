"""The ledger among several processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bot.ledger import settings
from bot.ledger.database import Ledger

_COUNT = """
import sys
from pathlib import Path
from bot.ledger import Ledger, settings
ledger = Ledger(Path(sys.argv[1]))
ledger.create()
for _ in range(40):
    with ledger.transaction() as tx:
        settings.put(tx, "count", str(int(settings.get(tx, "count") or 0) + 1))
"""


def test_processes_that_read_and_then_write_never_fail(tmp_path: Path) -> None:
    """Two processes create one ledger at the same time and each add 40 to one number: it ends at 80, and none was locked out."""
    command = [sys.executable, "-c", _COUNT, str(tmp_path / "ledger.db")]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ends = [process.communicate(timeout=60)[1] for process in started]
    assert ends == ["", ""]
    with Ledger(tmp_path / "ledger.db").read() as tx:
        assert settings.get(tx, "count") == "80"
