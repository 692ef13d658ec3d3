"""`pitstop wal push` and `pitstop wal fetch`: what archive_command and restore_command run. Standard library only.

No configuration, ledger or bot is needed, and nothing else is imported: each call costs what starting Python costs.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Run `push --spool DIR PATH` or `fetch --spool DIR NAME PATH` (what follows `pitstop wal`); return the exit code."""
    raise NotImplementedError
