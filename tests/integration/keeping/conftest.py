"""Their folders are in memory, where fsyncs cost nothing."""

from tests.unit.conftest import tmp_path

__all__ = ["tmp_path"]
