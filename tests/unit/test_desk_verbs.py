"""The desk's verbs, each imported when it is first used."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bot import desk


def test_every_verb_is_where_the_desk_looks_for_it() -> None:
    """What the desk names can be had from it, and nothing else can."""
    assert all(getattr(desk, verb).__name__ == verb for verb in desk.__all__)
    with pytest.raises(AttributeError):
        desk.nothing_of_the_kind  # noqa: B018


def test_the_desk_alone_imports_no_verb() -> None:
    """A command that decides nothing does not pay for the import of what decides."""
    program = "import sys; from bot import desk; assert not [m for m in sys.modules if m.startswith('bot.desk.')]"
    subprocess.run([sys.executable, "-c", program], check=True)
