"""A Plotly figure as a small, still picture for paper: SVG, drawn with matplotlib."""

from __future__ import annotations

import io
import re
import textwrap
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

if TYPE_CHECKING:  # matplotlib is slow to import, and the page needs it only for a handout
    from matplotlib.axes import Axes

INCHES = (6.9, 3.0)
LETTERS = 28  # of the label of a vertical axis in a line
_DASHES = {"dash": "--", "dot": ":", "solid": "-"}
_RGBA = re.compile(r"rgba\((\d+),\s*(\d+),\s*(\d+),\s*([\d.]+)\)")


def as_svg(figure: go.Figure) -> str:
    """Returns the figure as an `<svg>` element, with the legend below.

    It draws what the lab's figures have: lines, points, bands and bars, in panels side by side.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    number = len({trace.xaxis or "x" for trace in figure.data})
    drawn = Figure(INCHES, layout="constrained")
    panels = drawn.subplots(1, number, sharey=True, squeeze=False)[0]
    titles = [note.text for note in figure.layout.annotations if note.text]
    for index, axes in enumerate(panels):
        suffix = "" if index == 0 else str(index + 1)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel(figure.layout[f"xaxis{suffix}"].title.text or "")
        words = figure.layout[f"yaxis{suffix}"].title.text or ""
        axes.set_ylabel(textwrap.fill(words, LETTERS))  # two lines where one would be too long
        axes.set_title(titles[index] if index < len(titles) else "", fontsize=9)
        mine = [trace for trace in figure.data if (trace.xaxis or "x") == f"x{suffix}"]
        bars = [trace for trace in mine if trace.type == "bar"]
        for trace in mine:
            if trace.type == "scatter":
                _scatter(axes, trace)
        for place, trace in enumerate(bars):
            _bars(axes, trace, place, len(bars))
    named = {
        label: handle
        for axes in panels
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if len(named) > 1:
        drawn.legend(
            named.values(), named, loc="outside lower center", ncols=5, frameon=False, fontsize=9
        )
    page = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "mocoop"}):
        drawn.savefig(page, format="svg", metadata={"Date": None})
    text = page.getvalue()
    return text[text.index("<svg") :]


def _scatter(axes: Axes, trace: Any) -> None:
    x, y = list(trace.x), list(trace.y)
    if trace.fill:
        colour, opacity = _colour(trace.fillcolor)
        axes.fill(x, y, color=colour, alpha=opacity, linewidth=0)
        return
    mode = trace.mode or "lines"
    line, marker = trace.line, trace.marker
    colour, _ = _colour((line.color if "lines" in mode else marker.color) or marker.color)
    axes.plot(
        x,
        y,
        color=colour,
        label=trace.name,
        linestyle=_DASHES.get(line.dash or "solid", "-") if "lines" in mode else "none",
        marker="o" if "markers" in mode else None,
        markersize=4,
        alpha=marker.opacity if "lines" not in mode else None,
        linewidth=1.8,
    )


def _bars(axes: Axes, trace: Any, place: int, count: int) -> None:
    """Draws bars with their numbers; those of several traces stand beside each other."""
    flat = trace.orientation == "h"
    names, values = (trace.y, trace.x) if flat else (trace.x, trace.y)
    width = 0.8 / count
    at = [index + (place - (count - 1) / 2) * width for index in range(len(names))]
    hues = trace.marker.color
    each = [hues] * len(names) if isinstance(hues, str) else list(hues)
    colours = [_colour(hue) for hue in each]
    draw = axes.barh if flat else axes.bar
    bars = draw(at, list(values), width, color=[hue for hue, _ in colours])
    for bar, (_, opacity) in zip(bars, colours, strict=True):
        bar.set_alpha(opacity)
    if count > 1:
        bars.set_label(trace.name)
    axes.bar_label(bars, list(trace.text), padding=2, fontsize=8)
    ticks = axes.set_yticks if flat else axes.set_xticks
    ticks(range(len(names)), list(names))
    axes.margins(x=0.12) if flat else axes.margins(y=0.12)
    if flat and not axes.yaxis_inverted():
        axes.invert_yaxis()


def _colour(text: str) -> tuple[Any, float]:
    """Returns a colour for matplotlib and its opacity, from "#rrggbb" or "rgba(…)"."""
    match = _RGBA.match(text)
    if not match:
        return text, 1.0
    red, green, blue, opacity = match.groups()
    return tuple(int(part) / 255 for part in (red, green, blue)), float(opacity)
