"""Make the pictures and tables of docs/how-it-is-tested/soak.md from a run; text outside the marks is by hand.

    python -m tests.system.soak.report [SAMPLES]

SAMPLES is the `samples.jsonl` of a run, which is thinned out and kept; without it the run that was kept last is used.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.report import filled

from tests.support.processes import ROOT
from tests.system.soak import plots
from tests.system.soak.growth import SHORTEST, Verdict, verdicts
from tests.system.soak.series import compact, read
from tests.system.soak.slices import NEVER

KEPT = ROOT / "tests" / "system" / "soak" / "results" / "soak.json"
DOCUMENT = ROOT / "docs" / "how-it-is-tested" / "soak.md"
PICTURES = ROOT / "docs" / "how-it-is-tested" / "soak"
COUNTS = {
    "jobs": "jobs audited",
    "runs": "runs",
    "completed": "completed",
    "forgotten": "completed in the queue that keeps nothing",
    "failed": "failed, all of the kind that always fails",
    "lost": "lost",
    "stuck": "stuck",
    "doubled": "with more than one row",
    "ghosts": "in the tables, and never committed",
    "ghost_runs": "runs of jobs that were rolled back",
    "broken_promises": "committed, and not in the ledger",
    "undocumented": "failed without a dead letter, or the other way round",
    "wrong_end": "ended as their kind does not end",
    "cut_off": "runs that were killed",
    "repeated": "runs that ended, though one before had: its acknowledgement was lost",
    "same_claim": "runs under a claim that a crash of PostgreSQL made it forget",
    "overlaps": "runs of one job at the same time",
    "late": "lines of runs that ended after their job was audited",
}


def figure(value: float | None) -> str:
    """Write a number with three digits that count."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def growth_table(found: list[Verdict]) -> str:
    """Show each measure by quarters, and what is thought of it."""
    lines = [
        "| measure | first quarter | second | third | last | by the hour | grows |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for verdict in found:
        cells = [figure(value) for value in verdict.quarters]
        slope = "-" if verdict.slope is None else f"{verdict.slope:+.2g}".replace("+0", "0").replace("-0", "0")
        if verdict.slope is not None and abs(verdict.slope) >= 100:
            slope = f"{verdict.slope:+,.0f}"
        word = "not judged" if verdict.grew is None else "**yes**" if verdict.grew else "no"
        lines.append(f"| {verdict.measure.title} | {' | '.join(cells)} | {slope} | {word} |")
    return "\n".join(lines)


def count_table(run: dict[str, Any]) -> str:
    """Show what the auditor counted."""
    counts = run["end"]["counts"]
    lines = ["| count | number | allowed |", "| --- | ---: | --- |"]
    for name, title in COUNTS.items():
        lines.append(f"| {title} | {counts.get(name, 0):,} | {'none' if name in NEVER else ''} |")
    return "\n".join(lines)


def fault_list(run: dict[str, Any]) -> str:
    """Print what was done."""
    faults = sorted(run["end"]["faults"].items(), key=lambda item: -item[1])
    return ", ".join(f"{name} ({number})" for name, number in faults)


def summary(run: dict[str, Any]) -> str:
    """Describe the run in a sentence or two."""
    grown = [verdict.measure.title for verdict in verdicts(run) if verdict.grew]
    wrong = run["end"]["wrong"]
    of = f", commit {run['commit']}" if "commit" in run else ""
    text = (
        f"{run['date']}, {run['seconds'] / 3600:g} h, seed {run['seed']}{of}: PostgreSQL {run['postgresql']}, "
        f"Python {run['python']}, {run['cores']} cores for everything, and shared with other work. "
        f"{run['end']['counts']['jobs']:,} jobs, {sum(run['end']['faults'].values())} faults: {fault_list(run)}. "
        f"{run['aged']:,} finished jobs were left to retention and dropped while it ran."
    )
    if run["seconds"] < SHORTEST:
        text += f" Growth is not judged: that takes {SHORTEST / 60:.0f} minutes."
    else:
        text += f" What grew: {', '.join(grown) or 'nothing'}."
    return f"{text} What was wrong: {'; '.join(wrong) or 'nothing'}."


def parts(run: dict[str, Any]) -> dict[str, str]:
    """Return the parts of the document by name."""
    return {
        "soak summary": summary(run),
        "soak growth": growth_table(verdicts(run)),
        "soak counts": count_table(run),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", type=Path, nargs="?")
    options = parser.parse_args()
    if options.samples:
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps(compact(read(options.samples)), separators=(",", ":")) + "\n")
    run = json.loads(KEPT.read_text())
    for path in plots.draw_all(run, PICTURES):
        print(path.relative_to(ROOT))
    DOCUMENT.write_text(filled(DOCUMENT.read_text(), parts(run)))
    print(DOCUMENT.relative_to(ROOT))


if __name__ == "__main__":
    main()
