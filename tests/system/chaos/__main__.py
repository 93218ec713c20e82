"""Play scenarios, and print a table.

python -m tests.system.chaos [--seed N] [--only TEXT] [--share 1.0] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import time
import traceback
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from pgjobs.embedded import find_binaries
from tests.system.chaos import scenarios
from tests.system.chaos.cluster import folder, make_template
from tests.system.chaos.scenario import ALL
from tests.system.chaos.stage import Result, play

assert scenarios


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="the same gives the same faults")  # noqa: S311 (no secret)
    parser.add_argument("--only", default="", help="scenarios whose group or name has this in it")
    parser.add_argument("--share", type=float, default=1.0, help="of the time that scenarios strike")
    parser.add_argument("--json", type=Path, help="write the results into this file")
    parser.add_argument("--logs", type=Path, help="keep what workers wrote in this folder")
    parser.add_argument("--binaries", type=Path, help="PostgreSQL's programs (default: the embedded ones)")
    options = parser.parse_args()
    results: list[Result] = []
    not_tried: dict[str, str] = {}
    began = time.monotonic()
    with folder() as (place, account):
        template = make_template(options.binaries or find_binaries(), place, account)
        version = (template.data / "PG_VERSION").read_text().strip()
        chosen = [one for one in ALL.values() if options.only in f"{one.group}: {one.name}"]
        for number, one in enumerate(chosen):
            missing = one.missing()
            if missing:
                not_tried[one.name] = f"there is no {', '.join(missing)} here"
                print(f"{one.group}: {one.name}: not tried, {not_tried[one.name]}", flush=True)
                continue
            try:
                result = play(
                    one, template, place / str(number), options.seed, one.seconds * options.share, options.logs
                )
            except Exception:
                traceback.print_exc()
                result = Result(one.name, options.seed, 0, 0, Counter(), wrong=["the scenario itself failed"])
            results.append(result)
            print(line(one.group, result), flush=True)
    wrong = [result for result in results if result.wrong]
    print(
        f"seed {options.seed}: {len(results)} scenarios, {len(wrong)} with faults, "
        f"{sum(r.counts.get('jobs', 0) for r in results):,} jobs, {sum(r.strikes for r in results):,} strikes, "
        f"{time.monotonic() - began:.0f} s"
    )
    if options.json:
        about = {
            "seed": options.seed,
            "postgres": version,
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "seconds": round(time.monotonic() - began),
            "not_tried": not_tried,
        }
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"about": about, "results": [asdict(one) for one in results]}, indent=1))
    return 1 if wrong else 0


def line(group: str, result: Result) -> str:
    """Print a result."""
    counts = result.counts
    shown = ", ".join(f"{name} {number}" for name, number in counts.items() if number)
    text = f"{group}: {result.scenario}: {result.strikes} strikes in {result.seconds:.0f} s: {shown}"
    if result.recovered_in is not None:
        text += f"; went on after {result.recovered_in:.2f} s"
    if result.cpu is not None:
        text += f"; {result.cpu:.2f} cores, {result.lines_a_second:.1f} complaints a second meanwhile"
    for note in result.notes:
        text += f"\n    {note}"
    for wrong in result.wrong:
        text += f"\n    WRONG: {wrong}"
    return text


if __name__ == "__main__":
    sys.exit(main())
