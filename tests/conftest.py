"""What every test shares: the --full switch, skips that fail in CI, and short folders for sockets."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.places import ON_DISK, for_servers
from tests.sweeps import SAMPLE, SWEEP

IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--full`."""
    parser.addoption("--full", action="store_true", help="also run long sweeps, soaks and every PostgreSQL major")


def pytest_configure(config: pytest.Config) -> None:
    """Choose how many examples property tests try and where servers are, and collect without looking for garbage.

    Modules and tests stay until the end; to look through them again and again took a third of the time to collect them.
    """
    settings.load_profile(SWEEP if config.getoption("--full") else SAMPLE)
    if config.getoption("--full"):
        os.environ[ON_DISK] = "1"
    gc.disable()


def pytest_collection_finish() -> None:
    """Look for garbage among what the tests make, not among the tests."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what belongs to `--full` unless it was asked for."""
    if config.getoption("--full"):
        return
    full = [item for item in items if item.get_closest_marker("full")]
    if full:
        config.hook.pytest_deselected(items=full)
        items[:] = [item for item in items if item not in full]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure in CI: a test that could not run proved nothing."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A private folder on the disk of the servers, gone after the test."""
    with tempfile.TemporaryDirectory(prefix="ps-", dir=for_servers(), ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A private folder whose path is short enough for Unix sockets (107 bytes); removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="ps-", dir=for_servers()))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
