"""Everything at once, at random, for minutes; then say what was wrong.

python -m tests.system.stress [--seed N] [--minutes M] [--to FOLDER]

The folder gets, for each seed, a trace of all that was done and found, and what the workers wrote.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgjobs.embedded import find_binaries
from tests.system.chaos.cluster import Cluster, folder, make_template, running
from tests.system.stress.play import Stress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROUND = 75.0  # seconds of load, changes and faults, before all jobs end and are audited


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, nargs="+", default=[random.randrange(1_000_000)], help="one run for each")  # noqa: S311 (no secret)
    parser.add_argument("--minutes", type=float, default=1.0, help="for each seed")
    parser.add_argument("--to", type=Path, default=Path(".cache/stress"), help="the folder for what was seen")
    parser.add_argument("--binaries", type=Path, help="PostgreSQL's programs (default: the embedded ones)")
    options = parser.parse_args()
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # a rollback that failed, because the server was killed
    options.to.mkdir(parents=True, exist_ok=True)
    wrong = False
    with folder() as (place, account):
        template = make_template(options.binaries or find_binaries(), place, account)
        for seed in options.seed:
            file = options.to / f"seed-{seed}.jsonl"
            with noted(file) as tell:
                stress = play(template, place / str(seed), seed, options.minutes * 60, ROUND, tell, options.to)
            print(line(stress, file), flush=True)
            wrong = wrong or bool(stress.faults)
    return int(wrong)


def play(
    template: Cluster,
    place: Path,
    seed: int,
    seconds: float,
    round_seconds: float,
    tell: Callable[..., None],
    logs: Path | None = None,
    processes: int = 2,
) -> Stress:
    """Play on a server of its own, with N worker processes a host."""
    place.mkdir()
    template.account.own(place)
    place.chmod(0o755)
    cluster = template.copy(place / "data")
    cluster.configure(max_connections=400)
    with running(cluster):
        stress = Stress(cluster, place, seed, seconds, tell, processes)
        stress.logs = logs
        stress.stress(round_seconds)
        return stress


@contextmanager
def noted(path: Path) -> Iterator[Callable[..., None]]:
    """Write lines into a file, with the time of each."""
    lock = threading.Lock()
    with path.open("w") as file:

        def tell(kind: str, **values: Any) -> None:
            text = json.dumps({"time": round(time.time(), 3), "event": kind, **values}, default=str)
            with lock:
                print(text, file=file, flush=True)

        yield tell


def line(stress: Stress, file: Path) -> str:
    """Return what came of a seed, as text."""
    counts = ", ".join(f"{number:,} {name}" for name, number in sorted(stress.counts.items()))
    lanes = f"a lane waited for {stress.longest:.2f} s at most in {stress.watched:.0f} s"
    text = f"seed {stress.seed}: {counts}; {lanes}; {len(stress.faults)} wrong"
    for fault in stress.faults[:20]:
        when = time.strftime("%H:%M:%S", time.gmtime(fault.at))
        text += f"\n    {when} {fault.invariant} {fault.key}: {fault.text} (jobs {', '.join(map(str, fault.jobs))})"
    return text + (f"\n    all of it: {file}" if stress.faults else "")


if __name__ == "__main__":
    sys.exit(main())
