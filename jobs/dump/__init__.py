"""Dump a cluster's databases and its globals into a repository; the stored format is docs/dumps.md."""

from __future__ import annotations

from jobs.dump.take import run

__all__ = ["run"]
