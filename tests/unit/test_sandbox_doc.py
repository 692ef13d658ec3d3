"""The sandbox's page of documentation and the sandbox say the same."""

from __future__ import annotations

import re
from pathlib import Path

from bot.sandbox import faults, pages

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")


def test_every_fault_is_listed_with_what_it_takes() -> None:
    """The table names each fault there is, and exactly its arguments."""
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|$", PAGE, re.MULTILINE))
    assert {name: set(re.findall(r"`(\w+)`", taken)) for name, taken in rows.items()} == {
        name: set(taken) for name, taken in faults.KNOWN.items()
    }


def test_every_module_of_the_page_is_listed() -> None:
    """The table of files names each JavaScript module once, and none that does not exist."""
    named = re.findall(r"`(\w+\.js)`", PAGE)
    assert sorted(named) == sorted(path.name for path in pages.FOLDER.glob("*.js"))
