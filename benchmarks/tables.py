"""Results as Markdown tables. Nothing here measures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmarks.aims import RAW, Result, Row, values
from benchmarks.figures import spread

NOTHING = "—"  # in a cell: not measured, or there is no such figure
FAILED = "failed"

# Where the figure of a column stands: measure, and the path in a round's result.
Column = tuple[str, str, tuple[str, ...]]
THROUGHPUT: tuple[Column, ...] = (
    ("enqueue, 1 client", "enqueue_1", ("per_second",)),
    ("16 clients", "enqueue_16", ("per_second",)),
    ("64 clients", "enqueue_64", ("per_second",)),
    ("64, worker busy", "enqueue_64_busy", ("per_second",)),
    ("bulk", "drain_1", ("bulk_per_second",)),
    ("drain, 1 process", "drain_1", ("per_second",)),
    ("2 processes", "drain_2", ("per_second",)),
    ("sustained", "sustained", ("per_second",)),
)
LATENCY: tuple[Column, ...] = tuple(
    (f"{title} {percent}" if percent == "p50" else percent, measure, ("after", percent))
    for title, measure in (("idle", "idle"), ("at 50 %", "loaded_50"), ("at 90 %", "loaded_90"))
    for percent in ("p50", "p95", "p99", "max")
)
COST: tuple[Column, ...] = (
    ("CPU, server", "drain_1", ("cost", "cpu_server_us")),
    ("own", "drain_1", ("cost", "cpu_contender_us")),
    ("together", "drain_1", ("cost", "cpu_us")),
    ("WAL, bytes", "drain_1", ("cost", "wal_bytes")),
    ("commits", "drain_1", ("cost", "commits")),
    ("dead rows", "drain_1", ("cost", "dead_rows")),
    ("idle RSS, MB", "idle", ("memory", "rss_mb")),
    ("PSS", "idle", ("memory", "pss_mb")),
)
LESS_IS_BETTER = {"idle", "loaded_50", "loaded_90"}


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; all columns but the first are aligned to the right."""
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float) -> str:
    """Write a figure with about three digits."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2g}" if abs(value) < 0.1 else f"{value:.2f}"


def cell(result: Result, column: Column, stand: str, *, bounds: bool = True) -> str:
    """Return the median, and with `bounds` least and greatest where there are several rounds."""
    _, measure, path = column
    runs = result["measures"].get(measure, {}).get(stand, [])
    found = spread(values(result, measure, stand, *path))
    if found is None:
        return FAILED if any("error" in run for run in runs) else NOTHING
    if not bounds or found.low == found.high:
        return number(found.median)
    return f"{number(found.median)} ({number(found.low)} to {number(found.high)})"


def stands(result: Result) -> list[tuple[str, str]]:
    """Return name and title of each contender in each configuration that was measured."""
    titles = {contender["name"]: contender["title"] for contender in result["contenders"]}
    names = dict.fromkeys(name for runs in result["measures"].values() for name in runs)
    order = list(titles)
    found = []
    for name in sorted(names, key=lambda name: (order.index(name.rpartition(" ")[0]), name.rpartition(" ")[2])):
        contender, _, kind = name.rpartition(" ")
        found.append((name, titles[contender] if name == RAW else f"{titles[contender]}, {kind}"))
    return found


def figures(result: Result, columns: Sequence[Column], *, bounds: bool = True) -> str:
    """Return a table with a row for each contender and configuration that has any of these figures."""
    rows = []
    used = [column for column in columns if any(cell(result, column, name) != NOTHING for name, _ in stands(result))]
    for name, title in stands(result):
        cells = [cell(result, column, name, bounds=bounds) for column in used]
        if set(cells) != {NOTHING}:
            rows.append([title, *cells])
    return markdown(["", *(title for title, *_ in used)], rows)


def standing(result: Result) -> str:
    """Return the first contender and our place for each figure: losses as well as wins, without the SQL alone."""
    titles = {contender["name"]: contender["title"] for contender in result["contenders"]}
    rows = []
    for column, less, text in _compared():
        found = []
        for name, title in titles.items():
            kinds = [values(result, column[1], f"{name} {kind}", *column[2]) for kind in ("best", "default")]
            medians = [spread_.median for kind in kinds if (spread_ := spread(kind))]
            if name != "raw_sql" and medians:
                found.append((min(medians) if less else max(medians), title))
        found.sort(reverse=not less)
        place = next((index for index, (_, title) in enumerate(found) if title == titles.get("pgjobs")), None)
        if place is None or len(found) < 2:
            continue
        ours, (first, who) = found[place][0], found[0]
        if place == 0:
            second, other = found[1]
            rows.append([text, f"**pgjobs** {number(ours)}", f"{other} {number(second)}", _times(ours, second, less)])
        else:
            mine = f"pgjobs {number(ours)} (place {place + 1} of {len(found)})"
            rows.append([text, f"{who} {number(first)}", mine, _times(first, ours, less)])
    return markdown(["", "first", "second, or ours", "first is better by"], rows)


def _compared() -> Iterable[tuple[Column, bool, str]]:
    """Return the columns, whether less is better, and what a row is called."""
    texts: Mapping[str, Callable[[str], str]] = {
        "enqueue_16": lambda title: f"enqueue, {title}",
        "enqueue_64": lambda title: f"enqueue, {title}",
        "drain_2": lambda title: f"drain, {title}",
    }
    for column in THROUGHPUT:
        if column[1] != "enqueue_64_busy":
            yield column, False, f"{texts.get(column[1], str)(column[0])}, jobs/s"
    for title, measure in (("idle", "idle"), ("at 50 %", "loaded_50"), ("at 90 %", "loaded_90")):
        for percent in ("p50", "p99"):
            yield ("", measure, ("after", percent)), True, f"latency {title}, {percent}, ms"
    for column, text in ((COST[2], "CPU per job, µs"), (COST[3], "WAL per job, bytes"), (COST[7], "idle PSS, MB")):
        yield column, True, text


def _times(better: float, worse: float, less: bool) -> str:
    high, low = (worse, better) if less else (better, worse)
    return f"{high / low:.2f} times" if low > 0 else NOTHING


def aim_table(rows: Sequence[Row]) -> str:
    """Return the aims beside what was reached."""
    words = {True: "yes", False: "**no**", None: NOTHING}
    return markdown(["", "aim", "reached", ""], [[row.aim, row.wanted, row.reached, words[row.met]] for row in rows])


def contenders(result: Result) -> str:
    """Return what was measured, in which versions and with which settings."""
    rows = []
    for one in result["contenders"]:
        versions = ", ".join(f"{name} {version}" for name, version in one.get("versions", {}).items())
        remark = f"left out: {one['left_out']}" if "left_out" in one else one["remark"]
        rows.append([one["title"], one["default"], one["best"], versions or "this one", remark])
    return "\n".join(
        "| " + " | ".join(line) + " |" for line in [["", "default", "best", "versions", "remarks"], ["---"] * 5, *rows]
    )


def failures(result: Result) -> str:
    """Return a line for everything that failed; "" if nothing did."""
    lines = [
        f"- {title}, {measure}: {run['error']}"
        for measure, runs in result["measures"].items()
        for name, title in stands(result)
        for run in runs.get(name, [])
        if "error" in run
    ]
    twice = [
        f"- {title}, {measure}: {sum(found):,.0f} jobs ran twice"
        for measure in result["measures"]
        for name, title in stands(result)
        if sum(found := values(result, measure, name, "twice"))
    ]
    return "\n".join([*lines, *twice])


def machine(result: Mapping[str, Any]) -> str:
    """Return what it was measured on."""
    place, server = result["machine"], result["postgresql"]
    settings = ", ".join(f"`{name} = {value}`" for name, value in server["settings"].items())
    lines = [
        f"- {result['date']}, commit {result['commit']}, {result['rounds']} rounds in {result['seconds']:,} s"
        + (", interrupted" if result.get("interrupted") else ""),
        f"- {place['cpu']}, {place['cores']} cores for everything, {place['memory_gb']} GB, {place['kernel']}",
        f"- Python {place['python']}, psycopg {place['psycopg']}",
        f"- PostgreSQL {server['version']}: {settings}",
    ]
    if result.get("redis"):
        settings = ", ".join(f"`{name} {value}`" for name, value in result["redis"]["settings"].items())
        lines.append(f"- Redis {result['redis']['version']}: {settings}")
    return "\n".join(lines)
