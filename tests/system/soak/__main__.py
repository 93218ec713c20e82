"""Run for hours under faults, and say what was wrong and what grew.

python -m tests.system.soak [--hours 1] [--seed N] [--to FOLDER]

The folder gets `samples.jsonl`, during the run. `python -m tests.system.soak.report FOLDER/samples.jsonl` makes the
pictures and the tables of docs/how-it-is-tested/soak.md from it.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from pgjobs.embedded import find_binaries
from tests.system.chaos.cluster import folder, make_template, running
from tests.system.soak.growth import verdicts
from tests.system.soak.report import count_table, growth_table, summary
from tests.system.soak.run import Soak
from tests.system.soak.series import compact, read


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="the same gives the same faults")  # noqa: S311 (no secret)
    parser.add_argument("--to", type=Path, default=Path(".cache/soak"), help="the folder for what was seen")
    parser.add_argument("--binaries", type=Path, help="PostgreSQL's programs (default: the embedded ones)")
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    samples = options.to / "samples.jsonl"
    with folder() as (place, account):
        cluster = make_template(options.binaries or find_binaries(), place, account)
        cluster.configure(fsync="on")
        own = place / "soak"
        own.mkdir()
        account.own(own)
        own.chmod(0o755)
        with running(cluster):
            print(f"seed {options.seed}, {options.hours:g} h; what is seen goes to {samples}", flush=True)
            wrong = Soak(cluster, own, options.seed, options.hours * 3600, samples).soak()
    run = compact(read(samples))
    found = verdicts(run)
    print(summary(run), growth_table(found), count_table(run), sep="\n\n")
    for text in wrong:
        print(f"WRONG: {text}")
    for verdict in found:
        if verdict.grew:
            print(f"GREW: {verdict.measure.title}: {verdict.quarters[1]:.4g} to {verdict.quarters[3]:.4g}")
    return 1 if wrong or any(verdict.grew for verdict in found) else 0


if __name__ == "__main__":
    sys.exit(main())
