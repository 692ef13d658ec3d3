"""How much disk a folder takes."""

from __future__ import annotations

import os
from pathlib import Path


def disk_used(folder: Path) -> int:
    """Return the bytes that everything below `folder` takes on disk; links are not followed, what vanishes meanwhile counts 0."""
    total, seen = 0, set[tuple[int, int]]()
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            try:
                found = Path(place, name).lstat()
            except FileNotFoundError:
                continue
            if found.st_nlink > 1 and (found.st_dev, found.st_ino) in seen:
                continue
            seen.add((found.st_dev, found.st_ino))
            total += found.st_blocks * 512
    return total
