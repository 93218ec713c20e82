"""Guard the hot path: drain with one process, beside the SQL alone in the same run. Exit code 1 if it is too slow.

    python -m benchmarks.check [--at-least 0.5] [--rounds 5] [--jobs 100000] [URL]

In turns; it compares the median of the rounds' ratios, which stands on a noisy machine where the figures themselves
do not.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from contextlib import ExitStack

from benchmarks.contenders import PGJOBS, RAW_SQL
from benchmarks.figures import ratio
from benchmarks.measures.drain import drain
from benchmarks.running import Failed, Stand, command_of, end_on_sigterm
from benchmarks.server import server

ENOUGH = 75.0  # seconds after which no round begins


def compare(url: str | None, jobs: int, rounds: int) -> tuple[list[float], list[float]]:
    """Return jobs per second of ours and of the SQL alone, of each round.

    Raises:
        Failed: one of them did not get done, or lost a job.

    """
    began = time.monotonic()
    figures: tuple[list[float], list[float]] = ([], [])
    with ExitStack() as stack:
        place = stack.enter_context(server(url))
        stands = [
            Stand(PGJOBS, PGJOBS.default, command_of(PGJOBS), place),
            Stand(RAW_SQL, RAW_SQL.best, command_of(RAW_SQL), place),
        ]
        for stand in stands:
            stand.set_up()
            stack.callback(stand.tear_down)
        for number in range(rounds):
            if number and time.monotonic() - began > ENOUGH:
                break
            for stand, values in zip(stands, figures, strict=True):
                values.append(float(drain(stand, jobs)["per_second"]))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="a server to make databases on (default: an embedded one)")
    parser.add_argument("--at-least", type=float, default=0.5, help="of the SQL alone")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=100_000)
    options = parser.parse_args()
    end_on_sigterm()
    try:
        ours, raw = compare(options.url, options.jobs, options.rounds)
    except Failed as error:
        sys.exit(f"bench-check: {error}")
    reached = ratio(ours, raw)
    assert reached is not None
    said = (
        f"pgjobs drains {statistics.median(ours):,.0f} jobs/s, the SQL alone {statistics.median(raw):,.0f}: "
        f"{reached:.2f} of it (median of {len(ours)} rounds)"
    )
    if reached < options.at_least:
        sys.exit(f"bench-check: {said}, and it has to be {options.at_least:g}")
    print(f"bench-check: {said}; at least {options.at_least:g} was asked for")


if __name__ == "__main__":
    main()
