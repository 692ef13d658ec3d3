"""The digest's charts: four small ones in one PNG, readable on a dark and on a light screen. Needs matplotlib (extra `digest`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from io import BytesIO
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from bot.model.digest import Series

_INK, _FAINT, _PAPER, _GRID = "#1d2433", "#5b6475", "#ffffff", "#e3e7ee"
_BASE, _DUMP, _GOOD, _BAD, _LIMIT = "#2563a8", "#c2620a", "#2e7d4f", "#c0272d", "#8a5a00"
_KINDS = {"base": ("base backup", _BASE, "o"), "dump": ("dump", _DUMP, "s")}
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": _INK,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _FAINT,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
}
_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B"))
_STEPS = (1, 5, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400, 604800)
_SPANS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def draw(series: Series) -> bytes:
    """Return the charts as PNG. The same series gives the same bytes with the same matplotlib."""
    with mpl.rc_context(_STYLE):
        figure = Figure(
            figsize=(10, 6.4), dpi=120, facecolor=_PAPER, layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
        )
        canvas = FigureCanvasAgg(figure)
        ((sizes, durations), (exposure, drills)) = figure.subplots(2, 2)
        _by_kind(sizes, "Size as stored", series.sizes, _as_size)
        _by_kind(durations, "How long a backup takes", series.durations, _as_span)
        _exposure(exposure, series)
        _drills(drills, series)
        for axes in (sizes, durations, exposure, drills):
            _days(axes)
        written = BytesIO()
        canvas.print_png(written, metadata={"Software": None})  # type: ignore[no-untyped-call]
        return written.getvalue()


def _by_kind(axes: Axes, title: str, rows: Sequence[tuple[str, str, float]], write: Callable[[float], str]) -> None:
    _prepare(axes, title, write)
    for kind, (word, colour, marker) in _KINDS.items():
        points = [(datetime.fromisoformat(at), value) for one, at, value in rows if one == kind]
        if points:
            when, values = zip(*points, strict=True)
            axes.plot(when, values, color=colour, marker=marker, markersize=4, linewidth=1.6, label=word)
    if rows:
        top = max(*(value for _, _, value in rows), 1) * 1.25
        if write is _as_span:
            _as_times(axes, top)
        axes.set_ylim(0, top)
        axes.legend(frameon=False, loc="upper left", ncols=2)
    else:
        _empty(axes)


def _exposure(axes: Axes, series: Series) -> None:
    _prepare(axes, "RPO: what would have been lost", _as_span)
    if not series.exposures:
        _empty(axes)
        return
    when = [float(date2num(datetime.fromisoformat(at))) for at, _ in series.exposures]  # type: ignore[no-untyped-call]
    values = [value for _, value in series.exposures]
    axes.fill_between(when, values, step="post", color=_BASE, alpha=0.25, linewidth=0)
    axes.step(when, values, where="post", color=_BASE, linewidth=1.4)
    _top(axes, max(values), series.rpo)


def _drills(axes: Axes, series: Series) -> None:
    _prepare(axes, "Drills: how long the restore took", _as_span)
    if not series.drills:
        _empty(axes, "no drill")
        return
    for passed, colour, marker, word in ((True, _GOOD, "o", "passed"), (False, _BAD, "X", "failed")):
        points = [(datetime.fromisoformat(at), seconds) for at, seconds, ok in series.drills if ok is passed]
        if points:
            when, values = zip(*points, strict=True)
            axes.vlines(when, 0, values, color=colour, linewidth=2.4, alpha=0.6)
            axes.plot(when, values, color=colour, marker=marker, markersize=8, linestyle="none", label=word)
    _top(axes, max(seconds for _, seconds, _ in series.drills), series.rto)
    axes.legend(frameon=False, loc="upper left", ncols=3)


def _top(axes: Axes, most: float, limit: float) -> None:
    """Let the chart reach to its objective, or say where that is when everything is far below it."""
    if most > limit / 4:
        axes.axhline(limit, color=_LIMIT, linewidth=1.4, linestyle=(0, (5, 3)))
        place, shift, base, text = (0.99, limit), 3, "data", f"target {_as_span(limit)}"
        most = max(most, limit)
    else:
        place, shift, base, text = (0.99, 0.97), 0, "axes fraction", f"target {_as_span(limit)}, far above"
    axes.annotate(
        text, place, xycoords=("axes fraction", base), xytext=(0, shift), textcoords="offset points",
        ha="right", va="bottom" if shift else "top", color=_LIMIT,
    )  # fmt: skip
    _as_times(axes, max(most, 1) * 1.3)


def _as_times(axes: Axes, top: float) -> None:
    """Let the axis end at `top` seconds, with a line at round times."""
    axes.set_ylim(0, top)
    axes.yaxis.set_major_locator(MultipleLocator(next((step for step in _STEPS if top / step <= 5), _STEPS[-1])))


def _prepare(axes: Axes, title: str, write: Callable[[float], str]) -> None:
    axes.set_facecolor(_PAPER)
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=_INK)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))
    locator = AutoDateLocator(minticks=3, maxticks=6)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _days(axes: Axes) -> None:
    """Show a day on either side of a single point, around which matplotlib would draw years."""
    if axes.has_data() and axes.dataLim.width == 0:
        axes.set_xlim(axes.dataLim.x0 - 1, axes.dataLim.x0 + 1)


def _empty(axes: Axes, text: str = "nothing yet") -> None:
    axes.xaxis.set_visible(False)
    axes.yaxis.set_visible(False)
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=_FAINT)


def _as_size(value: float) -> str:
    return _scaled(value, _BYTES)


def _as_span(value: float) -> str:
    return _scaled(value, _SPANS)


def _scaled(value: float, units: Sequence[tuple[float, str]]) -> str:
    for unit, word in units:
        if value >= unit:
            return f"{value / unit:.3g} {word}"
    return f"{value:.3g} {units[-1][1]}"
