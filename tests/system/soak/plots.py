"""Pictures of a run: what could grow, over time, and what was done meanwhile."""

from __future__ import annotations

import re
from io import StringIO
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from benchmarks.plots import STYLE, number
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from tests.system.soak.series import quantile

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

COLOURS = ("#c0392b", "#2471a3", "#1e8449", "#7d3c98", "#b9770e")
DECIMALS = re.compile(r"(\d\.\d)\d+(?=[ \"\n])")  # of a point of 1/72 inch: more are not seen, and half of the file
SNAPSHOT = "snapshot held"
# A picture has panels; a panel has its unit, whether it is logarithmic, and its lines: column and label.
PICTURES: dict[str, list[tuple[str, bool, dict[str, str]]]] = {
    "memory": [
        (
            "MB (RSS)",
            False,
            {"worker_mb": "worker process", "supervisor_mb": "supervisor", "child_mb": "process of a job"},
        ),
        ("MB (PSS)", False, {"all_pss_mb": "all processes of all supervisors"}),
    ],
    "connections": [
        ("", False, {"connections": "connections to PostgreSQL"}),
        ("", False, {"threads": "threads", "files": "open files"}),
    ],
    "sizes": [
        ("MB", False, {"history_heap_mb": "history", "history_index_mb": "history: indexes"}),
        (
            "MB",
            False,
            {
                "live_heap_mb": "jobs_live",
                "jobs_live_pkey_mb": "jobs_live: primary key",
                "jobs_live_due_mb": "jobs_live: due",
                "dead_jobs_mb": "dead_jobs, all of it",
            },
        ),
    ],
    "latency": [
        ("ms from COMMIT to start", True, {"p50_ms": "p50", "p99_ms": "p99 of some 30 probes"}),
        ("runs a second", False, {"runs_per_second": "runs that ended"}),
        ("jobs", False, {"backlog": "due, and not claimed"}),
    ],
    "dead-rows": [
        ("dead rows", False, {"dead_live": "jobs_live", "dead_history": "history", "dead_other": "elsewhere"}),
        ("transactions", False, {"xmin_age": "age of the oldest snapshot"}),
    ],
}


def column(run: dict[str, Any], name: str) -> list[float | None]:
    """Return a column; latencies are made from what was waited."""
    if name in ("p50_ms", "p99_ms"):
        return [quantile(waits, float(name[1:3]) / 100) for waits in run["waits"]]
    found: list[float | None] = run["columns"].get(name, [])
    return found


def draw(run: dict[str, Any], name: str) -> Figure:
    """Draw one picture. Faults are marks on top of each panel, held snapshots are grey."""
    panels = PICTURES[name]
    figure = Figure(figsize=(7.6, 1.2 + 2.0 * len(panels)), layout="constrained")
    for axes, (unit, log, lines) in zip(figure.subplots(len(panels), 1, sharex=True), panels, strict=True):
        for (line, label), colour in zip(lines.items(), COLOURS, strict=False):
            points = [(n * run["step"] / 60, y) for n, y in enumerate(column(run, line)) if y is not None]
            axes.plot([x for x, _ in points], [y for _, y in points], color=colour, linewidth=1.1, label=label)
        if log:
            axes.set_yscale("log")
        else:
            axes.set_ylim(0, 1.1 * axes.get_ylim()[1])
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        axes.set_ylabel(unit)
        _mark(axes, run["faults"])
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
    axes.set_xlabel("minutes")
    return figure


def _mark(axes: Axes, faults: list[tuple[str, float, float]]) -> None:
    for name, began, ended in faults:
        if name == SNAPSHOT:
            axes.axvspan(began / 60, ended / 60, color="#888888", alpha=0.25, linewidth=0)
    others = [began / 60 for name, began, _ in faults if name != SNAPSHOT]
    axes.plot(
        others, [1.0] * len(others), "|", color="#555555", transform=axes.get_xaxis_transform(), clip_on=False, ms=6
    )


def draw_all(run: dict[str, Any], to: Path) -> list[Path]:
    """Draw all pictures into a folder."""
    mpl.rcParams.update(STYLE)
    to.mkdir(parents=True, exist_ok=True)
    made = []
    for name in PICTURES:
        made.append(to / f"soak-{name}.svg")
        text = StringIO()
        draw(run, name).savefig(text, format="svg", metadata={"Date": None})  # the same figures give the same file
        made[-1].write_text(DECIMALS.sub(r"\1", text.getvalue()))
    return made
