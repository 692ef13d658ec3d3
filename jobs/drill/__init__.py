"""The drill: restore the newest backups only to prove that they can be restored, look at everything, and time it."""

from __future__ import annotations

from jobs.drill.scratch import clean
from jobs.drill.take import run

__all__ = ["clean", "run"]
