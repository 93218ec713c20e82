"""Put the latest results into docs/how-it-is-tested/benchmarks.md, between its marks; the rest is written by hand.

    python -m benchmarks.report [--check] [--show bench|peers]

A part between `<!-- begin NAME -->` and `<!-- end NAME -->` is written anew from results/*.json; one whose result is
missing stays as it is. `--check` only says whether the document is up to date, `--show` also prints the tables.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import tables
from benchmarks.aims import aims

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DOCUMENT = ROOT / "docs" / "how-it-is-tested" / "benchmarks.md"
CURVES = ("backlog", "history", "snapshot")  # those that are aims


def load(path: Path) -> dict[str, Any]:
    """Return a result; empty if it does not exist."""
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def parts(results: Path = RESULTS) -> dict[str, str]:
    """Return what can be written from the results that are there, by name."""
    bench, peers = load(results / "bench.json"), load(results / "peers.json")
    growth = {name: load(results / f"growth-{name}.json") for name in CURVES}
    found: dict[str, str] = {}
    if bench or peers:
        found["aims"] = tables.aim_table(aims(bench, peers, growth))
    for name, result in (("bench", bench), ("peers", peers)):
        if not result:
            continue
        found |= {
            f"{name} machine": tables.machine(result),
            f"{name} contenders": tables.contenders(result),
            f"{name} throughput": tables.figures(result, tables.THROUGHPUT),
            f"{name} latency": tables.figures(result, tables.LATENCY, bounds=False),
            f"{name} cost": tables.figures(result, tables.COST, bounds=False),
            f"{name} failures": tables.failures(result) or "Nothing failed, and no job ran twice.",
        }
    if peers:
        found["standing"] = tables.standing(peers)
    if any(results.glob("growth-*.json")):
        from benchmarks.growth.tables import growth_section

        found["growth"] = growth_section(results)
    return found


def filled(text: str, found: Mapping[str, str]) -> str:
    """Return the document with these parts in their places."""

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        body = found.get(name)
        return match[0] if body is None else f"<!-- begin {name} -->\n\n{body.strip()}\n\n<!-- end {name} -->"

    return re.sub(r"<!-- begin ([a-z ]+) -->\n.*?<!-- end \1 -->", replace, text, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if something would change")
    parser.add_argument("--show", choices=("bench", "peers"), help="print this result's tables too")
    options = parser.parse_args()
    before, found = DOCUMENT.read_text(), parts()
    after = filled(before, found)
    if options.check:
        sys.exit(
            0 if after == before else "docs/how-it-is-tested/benchmarks.md is out of date: python -m benchmarks.report"
        )
    DOCUMENT.write_text(after)
    if options.show:
        shown = [text for name, text in found.items() if name == "aims" or name.startswith(options.show)]
        print("\n\n".join(shown))


if __name__ == "__main__":
    main()
