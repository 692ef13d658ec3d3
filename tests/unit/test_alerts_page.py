"""docs/alerts.md: every condition is on the page, with the defaults of the code, and every metric is named."""

from __future__ import annotations

import re
from pathlib import Path

from bot.config import Thresholds
from bot.model.alerts import CONDITIONS

PAGE = (Path(__file__).parents[2] / "docs/alerts.md").read_text("utf-8")
METRICS = (Path(__file__).parents[2] / "bot/metrics.py").read_text("utf-8")


def test_every_condition_is_explained() -> None:
    """The table has each condition of the code, and no other."""
    assert set(re.findall(r"^\| `([a-z-]+)` \|", PAGE, re.MULTILINE)) == set(CONDITIONS)


def test_every_threshold_is_explained() -> None:
    """Each key of the cluster's table is named."""
    assert [name for name in Thresholds.model_fields if f"`{name}`" not in PAGE] == []


def test_every_metric_is_named() -> None:
    """What the code serves stands on the page."""
    served = {f"pitstop_{name}" for name in re.findall(r'_gauge\(\s*"([a-z_]+)"', METRICS)}
    served |= set(re.findall(r'MetricFamily\(\s*"(pitstop_[a-z_]+)"', METRICS))
    assert {name for name in served if name not in PAGE} == set()
