"""The digest's charts, drawn by matplotlib: readable, and the same for the same values."""

from __future__ import annotations

import json
from dataclasses import asdict
from io import BytesIO

import pytest

from bot.model.digest import Series, make_digest
from tests.unit.test_digest import WELL


def test_the_charts_can_be_read_on_any_screen() -> None:
    """Their paper is opaque, so that dark and light screens show the same, and text on it keeps WCAG's 4.5 to 1."""
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    from jobs.digest import charts

    pixels = imread(BytesIO(charts.draw(make_digest(WELL).series)))
    assert pixels[..., 3].min() == 1, "nothing shines through"
    for colour in (charts._INK, charts._FAINT, charts._LIMIT):
        assert contrast(colour, charts._PAPER) >= 4.5
    for colour in (charts._BASE, charts._DUMP, charts._GOOD, charts._BAD):
        assert contrast(colour, charts._PAPER) >= 3, "lines and marks"


def contrast(one: str, other: str) -> float:
    """Return WCAG's contrast of two colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_the_charts_are_the_same_for_the_same_values() -> None:
    """Drawn twice, also from what the run's result keeps as JSON, the picture is the same; an empty one is drawn too."""
    pytest.importorskip("matplotlib")
    from jobs.digest.charts import draw

    series = make_digest(WELL).series
    kept = Series.from_json(json.loads(json.dumps(asdict(series))))
    assert kept == series
    picture = draw(series)
    assert picture == draw(kept)
    assert picture.startswith(b"\x89PNG")
    assert draw(Series((), (), (), (), 3600, 14400)) != picture
