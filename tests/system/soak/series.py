"""What was seen, as columns over time: small enough to be kept, and all that pictures, tables and verdicts need."""

from __future__ import annotations

import json
import math
from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.system.soak.sampler import PARTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

POINTS = 240  # at most, in a column
RATES = ("wal_kb", "log_lines", "server_log_lines")  # counted from the beginning, shown by the second
MOST = ("backlog", "oldest_due", "xmin_age")  # of which the most in a step of time is kept, not the median
MB = 1e6


def read(path: Path) -> list[dict[str, Any]]:
    """Read the lines that a run wrote, also of one that was broken off."""
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def compact(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Thin a run out: medians by steps of time, faults, and all that probes had to wait. Pure."""
    begin = next(line for line in lines if line["kind"] == "begin")
    step = max(5, math.ceil(begin["seconds"] / POINTS))
    count = math.ceil(begin["seconds"] / step)
    cells: dict[str, list[list[float]]] = {}
    samples = [(line["at"], values_of(line)) for line in lines if line["kind"] == "sample"]
    for at, values in _with_rates(samples):
        if 0 <= at < count * step:
            for name, value in values.items():
                cells.setdefault(name, [[] for _ in range(count)])[int(at // step)].append(value)
    ends: list[float] = [0.0] * count
    waits: list[list[float]] = [[] for _ in range(count)]
    for line in lines:
        if line["kind"] == "runs":
            for second, number in line["ends"]:
                if 0 <= second < count * step:
                    ends[int(second // step)] += number
        elif line["kind"] == "probes":
            for sent, wait in line["waits"]:
                if 0 <= sent < count * step:
                    waits[int(sent // step)].append(wait)
    columns = {
        name: [round((max if name in MOST else median)(cell), 3) if cell else None for cell in row]
        for name, row in cells.items()
    }
    columns["runs_per_second"] = [round(number / step, 2) for number in ends]
    return {
        **{name: value for name, value in begin.items() if name not in ("kind", "at")},
        "step": step,
        "end": _end(lines),
        "faults": [[line["name"], line["began"], line["at"]] for line in lines if line["kind"] == "fault"],
        "aged": sum(line["jobs"] for line in lines if line["kind"] == "aged"),
        "columns": columns,
        "waits": waits,
    }


def _end(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the last line, or what it would be for a run that was broken off."""
    last = lines[-1]
    if last["kind"] != "end":
        counts: dict[str, int] = next((line["counts"] for line in reversed(lines) if line["kind"] == "slice"), {})
        faults = Counter(line["name"] for line in lines if line["kind"] == "fault")
        last |= {"counts": counts, "faults": faults, "wrong": [f"it was broken off after {last['at']:.0f} s"]}
    return {name: last[name] for name in ("at", "counts", "faults", "wrong")}


def values_of(sample: dict[str, Any]) -> dict[str, float]:
    """Return the figures of a sample, by the name of their column. Pure."""
    found: dict[str, float] = {
        "auditor_mb": sample["own"],
        "busy": sample["busy"],
        "log_lines": sample["lines"],
        "server_log_lines": sample["server_lines"],
        "processes": len(sample["all"]),
        "all_pss_mb": sum(row[1] for row in sample["all"]),
    }
    calm = sample["calm"] or {}
    for role, rows in calm.items():
        if rows:
            found[f"{role}_mb"] = sum(row[0] for row in rows) / len(rows)
            found[f"{role}_pss_mb"] = sum(row[1] for row in rows) / len(rows)
    lasting = [row for role in ("supervisor", "worker") for row in calm.get(role, ())]
    if lasting:
        found["threads"] = sum(row[2] for row in lasting)
        found["files"] = sum(row[3] for row in lasting)
    database = sample.get("database")
    if database:
        found |= {name: database[name] for name in ("connections", "xmin_age", "live", "backlog", "oldest_due", "days")}
        found["wal_kb"] = database["wal"] / 1e3
        found["temp_mb"] = (database["temp_bytes"] or 0) / MB
        found |= _sizes(database["sizes"])
        dead = database["dead"]
        found["dead_live"] = dead.get("jobs_live", 0)
        found["dead_history"] = dead.get("history", 0)
        found["dead_other"] = sum(dead.values()) - found["dead_live"] - found["dead_history"]
    return found


def _sizes(sizes: dict[str, dict[str, int]]) -> dict[str, float]:
    live = sizes["jobs_live"]
    found = {
        "live_heap_mb": live["heap"] / MB,
        "live_toast_mb": (live["toast"] + live["index"]) / MB,  # `index` is that of the toast
        **{f"{name}_mb": size / MB for name, size in live.items() if name not in PARTS},
    }
    for table in ("history", "dead_jobs"):
        found |= {f"{table}_{part}_mb": sizes[table].get(part, 0) / MB for part in PARTS}
        found[f"{table}_mb"] = sum(sizes[table].values()) / MB
    rest = [name for name in sizes if name not in ("jobs_live", "history", "dead_jobs")]
    found["other_tables_mb"] = sum(sum(sizes[name].values()) for name in rest) / MB
    return found


def _with_rates(samples: Iterable[tuple[float, dict[str, float]]]) -> list[tuple[float, dict[str, float]]]:
    """Replace what is counted from the beginning by what came by the second since the last sample."""
    found = []
    last: dict[str, tuple[float, float]] = {}
    for at, values in samples:
        now = {name: value for name, value in values.items() if name not in RATES}
        for name in RATES:
            if name not in values:
                continue
            before, old = last.get(name, (at, 0.0))
            last[name] = (at, values[name])
            if before < at and old <= values[name]:
                now[name] = (values[name] - old) / (at - before)
        found.append((at, now))
    return found


def quantile(values: Sequence[float], share: float) -> float | None:
    """Return the percentile: the smallest value that this share does not exceed; None of no values. Pure."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
