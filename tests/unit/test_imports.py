"""Modules that are hidden while something else is imported."""

from __future__ import annotations

import sys

import pytest

from bot.host.imports import without


def test_hidden_modules_are_absent_within_and_back_afterwards() -> None:
    """A library imported in the block finds none of the hidden modules; later imports find them as ever."""
    sys.modules.pop("antigravity", None)
    with without("antigravity"), pytest.raises(ModuleNotFoundError):
        import antigravity  # noqa: F401
    assert "antigravity" not in sys.modules


def test_what_is_imported_already_stays() -> None:
    """A process that uses a module keeps it: nothing is taken away from those who have it."""
    import json

    with without("json"):
        assert sys.modules["json"] is json
    assert sys.modules["json"] is json
