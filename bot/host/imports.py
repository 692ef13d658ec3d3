"""Importing a library without what it would take along only because it happens to be installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(*modules: str) -> Iterator[None]:
    """Let imports in this block find none of the top-level `modules`, as if they were not installed.

    A process that has imported one before keeps it and finds it; afterwards all can be imported as ever. Only for libraries
    that do without: every job is a process of its own, and pays for each import in time and in memory.
    """
    hidden = [name for name in modules if name not in sys.modules]
    for name in hidden:
        # This is how the interpreter writes "absent".
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
