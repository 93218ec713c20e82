"""Draw the growth curves: results/growth-*.json → docs/how-it-is-tested/benchmarks/growth-*.svg.

    python -m benchmarks.plots [--results FOLDER] [--to FOLDER] [--format svg]

Above the absolute figures; below them the same as ratios to the series' first point (see figures.base), or what says
more: bytes a second, or the share of what is possible.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from benchmarks.growth.figures import base
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PICTURES = ROOT / "docs" / "how-it-is-tested" / "benchmarks"
COLOURS = {"pgjobs": "#c0392b", "pgqueuer": "#2471a3", "graphile": "#1e8449"}
MARKERS = ("o", "s", "^")
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "axes.titlesize": 10,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: smaller, and to be searched
    "svg.hashsalt": "pgjobs",  # the same figures give the same file
}


def number(value: float) -> str:
    """Write a number for an axis: 0, 250, 10 k, 1 M."""
    for unit, name in ((1e6, " M"), (1e3, " k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"


def draw(result: dict[str, Any]) -> Figure:
    """Draw one curve with all its series; a column for each measure."""
    if result["curve"] == "snapshot":
        return draw_snapshot(result)
    measures: dict[str, str] = result["measures"]
    figure = Figure(figsize=(6.4 * len(measures), 6.0), layout="constrained")
    axes = figure.subplots(2, len(measures), sharex=True, squeeze=False, height_ratios=[3, 2])
    xs = sorted({point["x"] for series in result["series"] for point in series["points"]})
    for column, (measure, title) in enumerate(measures.items()):
        above, below = axes[0, column], axes[1, column]
        for index, series in enumerate(result["series"]):
            _line((above, below), result, series, measure, xs, _look(series, index, result["series"]))
        for limit in result.get("limits", []):
            points = [point for point in limit["points"] if "per_second" in point]
            above.plot(
                *_places(points, "per_second", xs), color="#888888", linestyle=":", label=limit["label"], zorder=1
            )
        above.set_title(title)
        _values(above, log=bool(result.get("log")))
        label = {"bytes": "MB/s", "limit": "÷ what is possible"}.get(result.get("compare", ""), "÷ first point")
        below.set_ylabel(label if column == 0 else "")
        if result.get("compare") == "bytes":
            _values(below, log=True)
        else:
            below.axhline(1, color="#888888", linewidth=0.8)
            below.set_ylim(bottom=0, top=min(2.0, max(1.25, below.get_ylim()[1])))
        below.set_xlabel(result["x"])
        below.set_xticks(range(len(xs)), [number(x) for x in xs])
    figure.suptitle(result["title"])
    # One legend for all, below: the lines differ too much to leave a corner free.
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2 if len(labels) > 3 else 3)
    return figure


def _line(
    axes: tuple[Axes, Axes],
    result: dict[str, Any],
    series: dict[str, Any],
    measure: str,
    xs: list[float],
    look: dict[str, Any],
) -> None:
    above, below = axes
    points = [point for point in series["points"] if measure in point]
    if not points:
        above.plot([], [], label=f"{series['label']} (no figures)", **look)
        return
    above.plot(*_places(points, measure, xs), label=series["label"], **look)
    factors = [_factor(result, series, measure, point) for point in points]
    others = [{**point, measure: point[measure] * by} for point, by in zip(points, factors, strict=True) if by]
    below.plot(*_places(others, measure, xs), **look)


def _factor(result: dict[str, Any], series: dict[str, Any], measure: str, point: dict[str, Any]) -> float:
    """Return the factor of a figure in the lower picture; 0 where it is not in it."""
    if result.get("compare") == "bytes":
        return float(point["x"]) / 1e6
    if result.get("compare") == "limit":
        lines = [line for line in result["limits"] if line["of"] == series["contender"]]
        limits = {limit["x"]: limit["per_second"] for line in lines for limit in line["points"]}
        return 1 / limits[point["x"]] if point["x"] in limits else 0
    first = base(series["points"], measure)
    return 1 / first if first else 0


def _look(series: dict[str, Any], index: int, all_series: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return each series' colour (one per contender), line and mark."""
    nth = sum(1 for other in all_series[:index] if other["contender"] == series["contender"])
    return {
        "color": COLOURS.get(series["contender"], "#7d3c98"),
        "marker": MARKERS[nth % len(MARKERS)],
        "linestyle": ("-", "--", "-.")[nth % 3],
        "markersize": 5,
        "zorder": 3 if series["contender"] == "pgjobs" else 2,
    }


def _places(points: Sequence[dict[str, Any]], measure: str, xs: list[float]) -> tuple[list[int], list[float]]:
    """Return x and y. All steps are equally wide: they are decades or doublings, and some begin with zero."""
    return [xs.index(point["x"]) for point in points], [point[measure] for point in points]


def _values(axes: Axes, *, log: bool) -> None:
    if log:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))


def draw_snapshot(result: dict[str, Any]) -> Figure:
    """Draw what happens over time: share of the load that was run, latency, dead rows."""
    figure = Figure(figsize=(7.2, 7.6), layout="constrained")
    load, latency, dead = figure.subplots(3, 1, sharex=True)
    for series in result["series"]:
        windows = [window for window in series.get("windows", []) if window["sent_per_second"]]
        colour = COLOURS.get(series["contender"], "#7d3c98")
        minutes = [window["from"] / 60 for window in windows]
        label = (
            f"{series['label']}, {number(round(series['rate'], -2))} jobs/s" if "rate" in series else series["label"]
        )
        load.plot(minutes, [w["per_second"] / series["rate"] for w in windows], color=colour, marker=".", label=label)
        late = [window for window in windows if "p99_ms" in window]
        times = [window["from"] / 60 for window in late]
        latency.plot(times, [window["p99_ms"] for window in late], color=colour, marker=".")
        latency.plot(times, [window["p50_ms"] for window in late], color=colour, linestyle=":")
        counts = series.get("dead_rows", [])
        dead.plot([at / 60 for at, _ in counts], [count for _, count in counts], color=colour)
    for axes in (load, latency, dead):
        axes.axvline(result["held_from"] / 60, color="#888888", linewidth=0.8)
    load.set_ylim(0, max(1.25, load.get_ylim()[1]))
    load.annotate(
        "snapshot held →", (result["held_from"] / 60, 0.05), xytext=(4, 0), textcoords="offset points", color="#555555"
    )
    load.set_ylabel("run ÷ offered load")
    latency.set_yscale("log")
    latency.set_ylabel("pick-up, ms (p99; dotted: p50)")
    latency.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    dead.set_ylabel("dead rows")
    dead.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    dead.set_xlabel("minutes")
    figure.suptitle(result["title"])
    figure.legend(*load.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--to", type=Path, default=PICTURES)
    parser.add_argument("--format", default="svg", choices=["svg", "png"])
    options = parser.parse_args()
    mpl.rcParams.update(STYLE)
    for path in sorted(options.results.glob("growth-*.json")):
        options.to.mkdir(parents=True, exist_ok=True)
        picture = options.to / f"{path.stem}.{options.format}"
        # Without the date, so that the same figures give the same file.
        metadata = {"Date": None} if options.format == "svg" else None
        draw(json.loads(path.read_text())).savefig(picture, dpi=110, metadata=metadata)
        print(picture)


if __name__ == "__main__":
    main()
