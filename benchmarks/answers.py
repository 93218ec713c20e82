"""From the call that enqueues a job to what it returned: ours beside other queues, on a machine that does nothing else.

    python -m benchmarks.answers [--rounds 3] [--jobs 100] [--only NAME]… [URL]

Each contender in turn, as often as there are rounds: one worker, one client, one job at a time after a pause of 20 to
60 ms. The result goes to benchmarks/results/answers.json, and `python -m benchmarks.report` puts it into the document.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.contender import Contender
from benchmarks.contenders import PGJOBS
from benchmarks.figures import percentiles
from benchmarks.machine import describe
from benchmarks.peers import PEERS
from benchmarks.running import START_SECONDS, Stand, end_on_sigterm
from benchmarks.server import redis, server
from benchmarks.suite import RESULTS, attempt, prepared, say

# How each of them waits for what a job returned.
WAYS = {
    "pgjobs": "`result`",
    "rq": "`latest_result`, which blocks on a stream of Redis",
    "celery": "`AsyncResult.get`, with Redis as its backend",
    "pgqueuer": "`CompletionWatcher`: it tells how a job has ended, and jobs return nothing",
}


def answers(stand: Stand, jobs: int) -> dict[str, Any]:
    """Measure one contender once."""
    stand.empty()
    with stand.workers() as workers, stand.producers("answers", jobs) as producers:
        workers.check()
        return producers.answers(jobs * 0.5 + START_SECONDS)


def measure(url: str | None, chosen: list[Contender], rounds: int, jobs: int) -> dict[str, Any]:
    """Run all rounds, and return the result for the file."""
    with ExitStack() as stack:
        place = stack.enter_context(server(url))
        cache = stack.enter_context(redis())
        stands: list[Stand] = []
        entries: dict[str, Any] = {}
        for contender in chosen:
            entry = entries[contender.name] = {"title": contender.title, "way": WAYS[contender.name]}
            found = attempt(prepared, contender, place, cache)
            if "error" in found:
                say(f"{contender.name} is left out: {found['error']}")
                entry["left_out"] = found["error"]
                continue
            stack.callback(found["stands"][0].tear_down)
            entry["versions"] = found["versions"]
            stands += [
                each.with_variables(BENCH_ANSWERS=1) for each in found["stands"] if each.kind in ("default", "best")
            ]
        seconds: dict[str, list[float]] = {stand.name: [] for stand in stands}
        for number in range(rounds):
            for stand in stands:
                found = attempt(answers, stand, jobs)
                if "error" in found:
                    entries[stand.contender.name].setdefault("failures", []).append(found["error"])
                    say(f"round {number + 1}  {stand.name:<18} FAILED: {found['error']}")
                    continue
                seconds[stand.name] += found["seconds"]
                say(
                    f"round {number + 1}  {stand.name:<18} {percentiles([1000 * each for each in found['seconds']])} ms"
                )
        for stand in stands:
            if taken := seconds[stand.name]:
                figures = percentiles([1000 * each for each in taken])
                entries[stand.contender.name][stand.kind] = {"settings": stand.configuration.settings, **figures}
        return {**describe(place, cache), "rounds": rounds, "jobs": jobs, "contenders": entries}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="a server to make databases on (default: an embedded one)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="of the contenders; repeatable")
    parser.add_argument("--to", type=Path, default=RESULTS / "answers.json", metavar="FILE")
    options = parser.parse_args()
    end_on_sigterm()
    chosen = [each for each in (PGJOBS, *PEERS) if each.name in WAYS and each.name in (options.only or WAYS)]
    if not chosen:
        sys.exit(f"choose from {', '.join(WAYS)}")
    result = measure(options.url, chosen, options.rounds, options.jobs)
    options.to.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
