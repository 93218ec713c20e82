"""The section "How cost grows" of docs/how-it-is-tested/benchmarks.md, from results/growth-*.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.growth.figures import base

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
DOCS = ROOT / "docs" / "how-it-is-tested"
NOTHING = "—"  # in a cell: not measured
ORDER = ("backlog", "history", "queues", "claimers", "snapshot", "payload", "job_time", "keys", "blocked")


def growth_section(results: Path = RESULTS, docs: Path = DOCS) -> str:
    """Return the section as Markdown, "" if nothing was measured. A curve without a result is left out."""
    found = [results / f"growth-{name}.json" for name in ORDER]
    parts = [_curve(json.loads(path.read_text()), docs) for path in found if path.exists()]
    return "\n\n".join(["## How cost grows", *parts]) + "\n" if parts else ""


def _curve(result: Mapping[str, Any], docs: Path) -> str:
    name = result["curve"]
    picture = Path("benchmarks", f"growth-{name}.svg")
    lines = [f"### {result['title']}"]
    if (docs / picture).exists():
        lines.append(f"![{result['title']}]({picture.as_posix()})")
    if name == "snapshot":
        lines.append(_snapshot_table(result["series"]))
    else:
        lines += [f"{_upper(title)}:\n\n{_table(result, measure)}" for measure, title in result["measures"].items()]
    remarks = [result["note"], *_troubles(result["series"])]
    return "\n\n".join([*lines, " ".join(remarks)])


def _upper(title: str) -> str:
    return title[:1].upper() + title[1:]


def _table(result: Mapping[str, Any], measure: str) -> str:
    """Return a row for each series: figures, and in brackets what they are of the series' first."""
    xs = [point["x"] for point in max((series["points"] for series in result["series"]), key=len)]
    rows = [[result["x"], *(f"{x:,}" for x in xs)]]
    for series in result["series"]:
        points = {point["x"]: point for point in series["points"]}
        first = base(series["points"], measure)
        rows.append([series["label"], *(_cell(points.get(x, {}), measure, first) for x in xs)])
    return _markdown(rows)


def _cell(point: Mapping[str, Any], measure: str, first: float | None) -> str:
    if measure not in point:
        return "failed" if "error" in point else NOTHING
    ratio = f" ({point[measure] / first:.2f})" if first else ""
    return f"{point[measure]:,.0f}{ratio}"


def _snapshot_table(all_series: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        ["", "load, jobs/s", "run before", "at the end", "p50 before, ms", "at the end", "p99 before, ms", "at the end"]
    ]
    for series in all_series:
        summary = series.get("summary", {})
        row = [series["label"], f"{series['rate']:,.0f}" if "rate" in series else "failed"]
        for name, digits in (("per_second", 0), ("p50_ms", 1), ("p99_ms", 1)):
            if f"{name}_ratio" in summary:
                row.append(f"{summary[f'{name}_before']:,.{digits}f}")
                row.append(f"{summary[f'{name}_last']:,.{digits}f} ({summary[f'{name}_ratio']:,.2f})")
            else:
                row += [NOTHING, NOTHING]
        rows.append(row)
    return _markdown(rows)


def _troubles(all_series: Sequence[Mapping[str, Any]]) -> list[str]:
    """Describe what was left out or failed, and why."""
    said = []
    for series in all_series:
        if "error" in series:
            said.append(f"{series['label']}: {series['error']}.")
        for point in series.get("points", []):
            reasons = filter(None, [point.get("skipped"), point.get("error")])
            said += [f"{series['label']} at {point['x']:,}: {reason}." for reason in reasons]
    return list(dict.fromkeys(said))


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *body])
