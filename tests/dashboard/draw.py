"""Draws the dashboard from a record of `tests.dashboard`, as near to Grafana's own look as a reader needs.

    python -m tests.dashboard.draw RECORD.json PICTURE.png

It needs matplotlib, which nothing else here does: `make dashboard` has it in an environment of its own.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from math import ceil, isfinite, log2
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, DateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator, NullFormatter

from tests.dashboard.panels import Panel, panels

#: Pixels of a cell of the grid.
CELL_WIDTH, CELL_HEIGHT = 72, 32
DPI = 100
BACKGROUND, PANEL, TEXT, FAINT = "#111217", "#181b1f", "#d8d9da", "#8e8f94"
COLORS = {
    "green": "#73bf69",
    "red": "#f2495c",
    "dark-red": "#c4162a",
    "orange": "#ff9830",
    "yellow": "#fade2a",
    "blue": "#5794f2",
    "purple": "#b877d9",
    "text": "#9fa7b3",
}
PALETTE = ("#73bf69", "#5794f2", "#ff9830", "#b877d9", "#fade2a", "#8ab8ff", "#f2495c", "#37872d", "#ffa6b0", "#96d98d")
#: (from which value on, divided by what, called what), the largest first.
SECONDS = ((3600.0, 3600.0, " h"), (120.0, 60.0, " min"), (1.0, 1.0, " s"), (0.0, 0.001, " ms"))
BYTES = ((2.0**30, 2.0**30, " GiB"), (2.0**20, 2.0**20, " MiB"), (0.0, 2.0**10, " KiB"))
SHORT = ((1e6, 1e6, " M"), (1e3, 1e3, " k"), (0.0, 1.0, ""))
SCALES = {"s": SECONDS, "bytes": BYTES, "short": SHORT, "ops": ((1e3, 1e3, " k/s"), (0.0, 1.0, "/s"))}
#: Series that fit into a legend.
LEGEND_MOST = 8


def shown(value: float, unit: str) -> str:
    """A value as Grafana writes it."""
    if unit == "percentunit":
        return f"{value:.0%}"
    for least, divisor, word in SCALES[unit]:
        if abs(value) >= least:
            return f"{value / divisor:.3g}{word}"
    return f"{value:g}"


def draw(record: Mapping[str, Any]) -> Figure:
    """The picture."""
    mpl.rcParams.update({"font.family": "DejaVu Sans", "font.size": 8, "text.color": TEXT, "axes.labelcolor": TEXT})
    found = list(panels())
    height = max(panel.place["y"] + panel.place["h"] for panel in found) * CELL_HEIGHT
    width = 24 * CELL_WIDTH
    figure = plt.figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=BACKGROUND)
    for panel in found:
        left, top = panel.place["x"] * CELL_WIDTH, panel.place["y"] * CELL_HEIGHT
        across, down = panel.place["w"] * CELL_WIDTH, panel.place["h"] * CELL_HEIGHT
        box = (left / width, 1 - (top + down) / height, across / width, down / height)
        if panel.kind == "row":
            figure.text(box[0] + 0.006, box[1] + box[3] * 0.3, panel.title, fontsize=11, weight="bold", color=TEXT)
            continue
        series = [each for query in record["panels"][panel.title] for each in query]
        if panel.kind == "stat":
            _stat(figure, panel, box, series)
        else:
            _time_series(figure, panel, box, (across, down), series)
    return figure


def _stat(figure: Figure, panel: Panel, box: Sequence[float], series: Sequence[Mapping[str, Any]]) -> None:
    value = series[0]["values"][-1][1] if series else float("nan")
    color = [name for least, name in panel.steps if not value < least][-1]
    axes = figure.add_axes((box[0] + 0.002, box[1] + 0.002, box[2] - 0.004, box[3] - 0.004), facecolor=COLORS[color])
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    words: dict[str, Any] = {"color": BACKGROUND, "transform": axes.transAxes}
    axes.text(0.04, 0.92, panel.title, va="top", fontsize=8.5, weight="bold", **words)
    text = shown(value, panel.unit) if isfinite(value) else "no data"
    axes.text(0.5, 0.42, text, ha="center", va="center", fontsize=20, **words)


def _time_series(
    figure: Figure, panel: Panel, box: Sequence[float], size: Sequence[int], series: Sequence[Mapping[str, Any]]
) -> None:
    across, down = size
    frame = figure.add_axes((box[0] + 0.002, box[1] + 0.0015, box[2] - 0.004, box[3] - 0.003), facecolor=PANEL)
    frame.set_xticks([])
    frame.set_yticks([])
    for spine in frame.spines.values():
        spine.set_visible(False)
    frame.text(8 / across, 1 - 8 / down, panel.title, va="top", fontsize=9.5, weight="bold", transform=frame.transAxes)
    # In pixels of the panel: space for the title, the values on the left, and the legend below.
    inner = (58 / across, 58 / down, 1 - 72 / across, 1 - 92 / down)
    place = (
        box[0] + inner[0] * box[2],
        box[1] + inner[1] * box[3],
        inner[2] * box[2],
        inner[3] * box[3],
    )
    axes = figure.add_axes(place, facecolor=PANEL)
    if panel.stacked:
        _stack(axes, panel, series)
    else:
        for number, each in enumerate(series):
            times, values = _points(each)
            axes.plot(times, values, color=_color(panel, each["name"], number), linewidth=1.3, label=each["name"])
    _dress(axes, panel)
    if series:
        handles, labels = axes.get_legend_handles_labels()
        frame.legend(
            handles[:LEGEND_MOST],
            labels[:LEGEND_MOST],
            loc="lower left",
            bbox_to_anchor=(0.01, 0.0),
            ncols=4,
            frameon=False,
            fontsize=7.5,
            labelcolor=TEXT,
            handlelength=1.2,
            columnspacing=1.2,
            borderaxespad=0.2,
        )


def _stack(axes: Axes, panel: Panel, series: Sequence[Mapping[str, Any]]) -> None:
    times = sorted({at for each in series for at, _ in each["values"]})
    rows = []
    for each in series:
        known = dict(each["values"])
        rows.append([known.get(at, 0.0) for at in times])
    colors = [_color(panel, each["name"], number) for number, each in enumerate(series)]
    moments = [datetime.fromtimestamp(at) for at in times]  # noqa: DTZ006  (the clock on the reader's wall)
    axes.stackplot(moments, rows, colors=colors, labels=[each["name"] for each in series], alpha=0.55, linewidth=0.8)


def _points(series: Mapping[str, Any]) -> tuple[list[datetime], list[float]]:
    times = [datetime.fromtimestamp(at) for at, _ in series["values"]]  # noqa: DTZ006  (as above)
    return times, [value for _, value in series["values"]]


def _color(panel: Panel, name: str, number: int) -> str:
    return COLORS[panel.colors[name]] if name in panel.colors else PALETTE[number % len(PALETTE)]


def _dress(axes: Axes, panel: Panel) -> None:
    if panel.logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)
        top = axes.get_ylim()[1]
        axes.yaxis.set_major_locator(
            MultipleLocator(2 ** ceil(log2(top / 5))) if panel.unit == "bytes" else MaxNLocator(5)
        )
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, panel.unit)))
    axes.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=8))
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M:%S"))
    axes.tick_params(colors=FAINT, labelsize=7.5, length=0)
    axes.grid(color="#2c3235", linewidth=0.6)
    axes.margins(x=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def main(arguments: Sequence[str]) -> str | None:
    """Draws; answers what to say where that is not what was asked for."""
    if len(arguments) != 2:
        return "usage: python -m tests.dashboard.draw RECORD.json PICTURE.png"
    record, picture = map(Path, arguments)
    draw(json.loads(record.read_text())).savefig(picture, facecolor=BACKGROUND)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
