"""Write the tables of docs/how-it-is-tested/reliability.md from the results of runs.

    python -m tests.system.chaos.report [--check]

`make chaos` leaves a result for each seed in tests/system/chaos/results.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import filled

from tests.support.processes import ROOT
from tests.system.chaos import scenarios
from tests.system.chaos.scenario import ALL

RESULTS = Path(__file__).parent / "results"
DOCUMENT = ROOT / "docs" / "how-it-is-tested" / "reliability.md"
COLUMNS = ("strikes", "jobs", "lost", "stuck", "cut off", "ran again", "overlaps", "went on after")
GROUPS = {
    "processes": "Processes",
    "jobs": "Jobs that misbehave",
    "server": "PostgreSQL",
    "network": "The network",
    "pooler": "PgBouncer",
    "failover": "Failover",
    "disk": "Disk",
    "clocks": "Clocks",
    "waits": "Waits for results",
    "effects": "Effects exactly once",
}
assert scenarios

Run = dict[str, Any]


def load(folder: Path = RESULTS) -> list[Run]:
    """Return the results of all runs, by their seeds."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return sorted(found, key=lambda run: int(run["about"]["seed"]))


def tables(runs: Sequence[Run]) -> dict[str, str]:
    """Return the parts of the document, by name."""
    seeds = [run["about"]["seed"] for run in runs]
    by_name = {result["scenario"]: result for run in runs for result in run["results"]}
    parts = []
    for group, title in GROUPS.items():
        names = [name for name, one in ALL.items() if one.group == group and name in by_name]
        if names:
            head = f"| {title} | {' | '.join(COLUMNS)} |\n| --- |{' ---: |' * len(COLUMNS)}"
            parts.append("\n".join([head, *(row(name, runs) for name in names)]))
    reasons = [f"| {name} | {what} | {why} |" for name, what, why in causes(runs)]
    totals = [
        f"seed {run['about']['seed']}: {len(run['results'])} scenarios, "
        f"{sum(r['strikes'] for r in run['results']):,} strikes, {sum(r['counts']['jobs'] for r in run['results']):,} "
        f"jobs, {run['about']['seconds'] / 60:.0f} minutes"
        for run in runs
    ]
    about = runs[0]["about"]
    missing = {name: why for run in runs for name, why in run["about"]["not_tried"].items()}
    return {
        "totals": f"PostgreSQL {about['postgres']}, Python {about['python']}, {about['cores']} cores. "
        + "; ".join(totals)
        + f". Where there are two numbers, they are of the seeds {' and '.join(map(str, seeds))}.",
        "faults": "\n\n".join(parts),
        "causes": "| scenario | count | why that may be |\n| --- | --- | --- |\n" + "\n".join(reasons),
        "missing": "\n".join(f"- {name}: {why}" for name, why in missing.items()) or "All scenarios were tried.",
        "wrong": "\n".join(
            f"- seed {run['about']['seed']}, {r['scenario']}: {wrong}"
            for run in runs
            for r in run["results"]
            for wrong in r["wrong"]
        )
        or "Nothing that may not happen was found in these runs.",
    }


def row(name: str, runs: Sequence[Run]) -> str:
    """Return the line of a scenario: a number if the runs agree, else those of all."""
    found = [result for run in runs for result in run["results"] if result["scenario"] == name]
    cells = [
        both([f"{one['strikes']:,}" for one in found]),
        both([f"{one['counts']['jobs']:,}" for one in found]),
        both([_lost(one["counts"]) for one in found]),
        both([_count(one["counts"], "stuck") for one in found]),
        both([_count(one["counts"], "cut_off") for one in found]),
        both([_count(one["counts"], "repeated") for one in found]),
        both([_count(one["counts"], "overlaps") for one in found]),
        both(["" if one["recovered_in"] is None else f"{one['recovered_in']:.1f} s" for one in found]),
    ]
    return f"| {name} | {' | '.join(cells)} |"


def causes(runs: Sequence[Run]) -> list[tuple[str, str, str]]:
    """List what was counted, beside zero, and the reasons that the scenarios give."""
    found = []
    for name, one in ALL.items():
        results = [result for run in runs for result in run["results"] if result["scenario"] == name]
        for what, why in one.may.items():
            numbers = [result["counts"].get(what, 0) for result in results]
            if any(numbers):
                found.append((name, f"{what.replace('_', ' ')}: {' / '.join(map(str, numbers))}", why))
    return found


def both(values: Sequence[str]) -> str:
    """Put values of several runs in a cell."""
    return values[0] if len(set(values)) == 1 else " / ".join(values)


def _count(counts: dict[str, int], name: str) -> str:
    return f"{counts.get(name, 0):,}"


def _lost(counts: dict[str, int]) -> str:
    names = ("lost", "ghosts", "doubled", "undocumented", "broken_promises", "wrong_results")
    return f"{sum(counts.get(name, 0) for name in names):,}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if something would change")
    options = parser.parse_args()
    before = DOCUMENT.read_text()
    after = filled(before, tables(load()))
    if options.check:
        sys.exit(f"{DOCUMENT.name} is not up to date: python -m tests.system.chaos.report" if before != after else 0)
    DOCUMENT.write_text(after)


if __name__ == "__main__":
    main()
