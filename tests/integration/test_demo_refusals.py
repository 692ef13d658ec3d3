"""`pitstop demo` where it cannot begin: a sentence with what to do, before a server or a folder is made."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.commands import Typed, typed

__all__ = ["typed"]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the demo's temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_a_port_that_is_taken(typed: Typed, temporary: Path) -> None:
    """Exit 2, the port named, another one asked for; nothing was begun."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = typed("demo", "--port", port)
    assert said.code == 2, said.err
    assert f"port {port}: address already in use" in said.err
    assert "--port" in said.err.splitlines()[-1]
    assert not list(temporary.iterdir())


def test_a_folder_that_is_not_empty(typed: Typed, tmp_path: Path) -> None:
    """Exit 2, and what is in it stays."""
    (tmp_path / "thesis.tex").write_text("…")
    said = typed("demo", "--dir", str(tmp_path))
    assert said.code == 2, said.err
    assert f"{tmp_path} is not empty." in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
