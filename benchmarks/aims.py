"""What was aimed at beside what was reached: ratios of figures from one run. Nothing here measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import ratio

Result = Mapping[str, Any]
OURS, RAW, CALLED = "pgjobs best", "raw_sql best", "raw_sql called"


@dataclass(frozen=True)
class Row:
    """One aim. `met`: None where it was not measured."""

    aim: str
    wanted: str
    reached: str
    met: bool | None


def values(result: Result, measure: str, stand: str, *path: str) -> list[float]:
    """Return a figure of all good rounds, such as `values(result, "idle", "pgjobs best", "after", "p50")`."""
    found = []
    for run in result.get("measures", {}).get(measure, {}).get(stand, []):
        value: Any = run
        for name in path or ("per_second",):
            value = value.get(name) if isinstance(value, Mapping) else None
        if value is not None:
            found.append(float(value))
    return found


def at_least(aim: str, wanted: float, ours: Sequence[float], theirs: Sequence[float]) -> Row:
    """Return the row for a ratio that is to be so high."""
    reached = ratio(ours, theirs)
    if reached is None:
        return Row(aim, f"≥ {wanted:g}", "not measured", None)
    return Row(aim, f"≥ {wanted:g}", f"{reached:.2f}", reached >= wanted)


def less_than_keepers(aim: str, result: Result, *path: str) -> Row:
    """Return the row for a cost that is to be less than that of each other queue that keeps finished jobs."""
    wanted = "less than each peer that keeps finished jobs"
    ours = values(result, "drain_1", OURS, *path)
    others = [
        (found, contender["title"])
        for contender in result.get("contenders", [])
        if contender["name"] not in ("pgjobs", "raw_sql") and contender["keeps"]
        if (found := ratio(values(result, "drain_1", f"{contender['name']} best", *path), ours)) is not None
    ]
    if not ours or not others:
        return Row(aim, wanted, "not measured", None)
    least, title = min(others)
    return Row(aim, wanted, f"the least of them, {title}, needs {least:.2f} times as much", least > 1)


def aims(bench: Result, peers: Result, growth: Mapping[str, Result]) -> list[Row]:
    """Return all rows. `bench` is compared with the SQL alone, `peers` with the other queues, `growth` with itself."""
    rows = []
    for processes in (1, 2):
        name, text = f"drain_{processes}", "process" if processes == 1 else "processes"
        aim = f"drain, {processes} {text}"
        rows.append(at_least(f"{aim} ÷ the SQL alone", 0.75, values(bench, name, OURS), values(bench, name, RAW)))
        for peer, title, wanted in (("pgqueuer", "PgQueuer", 2.0), ("graphile", "graphile-worker", 1.5)):
            theirs = values(peers, name, f"{peer} best")
            rows.append(at_least(f"{aim} ÷ {title} at its best", wanted, values(peers, name, OURS), theirs))
    called = ratio(values(bench, "drain_1", OURS), values(bench, "drain_1", CALLED))
    reached = "not measured" if called is None else f"{called:.2f}"
    rows.append(Row("drain, 1 process ÷ the SQL with its jobs called by one thread", "to see the limit", reached, None))
    busy = [values(bench, "enqueue_64_busy", stand) for stand in (OURS, RAW)]
    rows.append(at_least("enqueue, 64 clients, a worker busy ÷ a bare INSERT", 0.85, *busy))
    bulk = [values(bench, "drain_1", stand, "bulk_per_second") for stand in (OURS, RAW)]
    rows.append(at_least("bulk enqueue ÷ INSERT … FROM unnest", 0.7, *bulk))
    rows += _latency(peers)
    threads = values(bench, "drain_1", OURS)
    rows.append(at_least("async no-op jobs ÷ threaded ones", 0.5, values(bench, "drain_1", "pgjobs async"), threads))
    rows.append(less_than_keepers("CPU per job", peers, "cost", "cpu_us"))
    rows.append(less_than_keepers("WAL per job", peers, "cost", "wal_bytes"))
    return rows + _growth(growth)


def _latency(peers: Result) -> list[Row]:
    ours, theirs = (
        values(peers, "idle", stand, "after", "p50") for stand in (OURS, "graphile best")
    )  # both in the same rounds
    against = ratio(ours, theirs)
    rows = [
        Row("pick-up latency, idle: p50 ÷ graphile-worker's", "≤ 1", "not measured", None)
        if against is None
        else Row("pick-up latency, idle: p50 ÷ graphile-worker's", "≤ 1", f"{against:.2f}", against <= 1)
    ]
    own = ratio(values(peers, "idle", OURS, "after", "p99"), ours)
    return [
        *rows,
        Row("pick-up latency, idle: p99 ÷ p50", "≤ 3", "not measured", None)
        if own is None
        else Row("pick-up latency, idle: p99 ÷ p50", "≤ 3", f"{own:.1f}", own <= 3),
    ]


def _growth(growth: Mapping[str, Result]) -> list[Row]:
    rows = []
    for name, aim in (("backlog", "backlog 10³ → 10⁷"), ("history", "history 0 → 10⁷")):
        points = [point for point in _ours(growth.get(name, {})).get("points", []) if "per_second" in point]
        first = next((point for point in points if point.get("seconds", 1) >= 0.5), None)
        last = points[-1]["per_second"] if points else 0
        rows.append(at_least(aim, 0.9, [last] if first else [], [first["per_second"]] if first else []))
    held = _ours(growth.get("snapshot", {})).get("summary", {})
    for key, aim, wanted in (("per_second_ratio", "throughput", 0.95), ("p99_ms_ratio", "p99 latency", 1.5)):
        text, found = f"a snapshot held: {aim} ÷ without", held.get(key)
        good = None if found is None else found >= wanted if key == "per_second_ratio" else found <= wanted
        sign = "≥" if key == "per_second_ratio" else "≤"
        rows.append(Row(text, f"{sign} {wanted:g}", "not measured" if found is None else f"{found:.2f}", good))
    return rows


def _ours(curve: Result) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next((one for one in curve.get("series", []) if one["contender"] == "pgjobs"), {})
    return found
