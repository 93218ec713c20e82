"""Measure ours beside the SQL alone, or beside the other queues: in rounds, each contender in turn.

    python -m benchmarks.suite [--peers] [--rounds N] [--only NAME]… [URL]

The result goes to benchmarks/results/bench.json or peers.json (or where --to says), progress to stderr. Each measure
begins with empty tables, fresh statistics and a checkpoint, and has a time limit. A contender that cannot be installed
or fails is a line in the result.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.contender import Configuration, Contender
from benchmarks.contenders import ASYNC, CALLED, PGJOBS, RAW_SQL
from benchmarks.machine import describe
from benchmarks.measures.drain import drain
from benchmarks.measures.enqueue import enqueue
from benchmarks.measures.flow import loaded
from benchmarks.measures.latency import idle
from benchmarks.measures.sustained import sustained
from benchmarks.running import Failed, Stand, anonymous, command_of, end_on_sigterm
from benchmarks.server import Redis, Server, redis, server

RESULTS = Path(__file__).parent / "results"
ROUNDS = 3
IDLE_ROUNDS = 2  # latency of an idle worker takes long to measure, and differs little
TASTE = 500  # jobs of the drain that tells how many a contender can do in a few seconds
DRAIN_SECONDS = 3.0  # that a drain should last
OURS_ON_RAW = Configuration("pgjobs", "our worker, on the tables of the bare INSERT")

Run = dict[str, Any]
Book = dict[str, dict[str, list[Run]]]
"""Measure → stand → what each round gave."""


@dataclass(frozen=True)
class Measure:
    """`rounds`: in how many it takes part. `final`: after the rounds, because it needs their result."""

    name: str
    run: Callable[[Stand], Run]
    applies: Callable[[Stand], bool]
    rounds: int
    final: bool = False


class Suite:
    """One run over some stands, and what it found."""

    def __init__(self, stands: list[Stand], rounds: int, *, peers: bool) -> None:
        self.stands = stands
        self.rounds = rounds
        self.book: Book = {}
        self._peers = peers
        self._jobs: dict[str, int] = {}
        self._began = time.monotonic()

    def measures(self) -> Iterator[Measure]:
        """Return them in their order. What has no configuration of its own (enqueueing) is measured at `best` alone."""
        rounds = self.rounds
        for clients in (1, 16, 64):
            yield Measure(f"enqueue_{clients}", partial(enqueue, clients=clients), _is_best, rounds)
        if not self._peers:
            yield Measure("enqueue_64_busy", _enqueue_busy, _is_best, rounds)
        yield Measure("drain_1", self._drain, _any, rounds)
        yield Measure("drain_2", partial(self._drain, processes=2), _is_best, rounds)
        yield Measure("idle", idle, _is_queue, min(rounds, IDLE_ROUNDS))
        yield Measure("sustained", self._sustained, _is_best, 1, final=True)
        for percent in (50, 90):
            yield Measure(f"loaded_{percent}", partial(self._loaded, percent=percent), _is_best_queue, 1, final=True)

    def run(self) -> None:
        """Measure everything; what was found stands in `book`, also when it is interrupted."""
        measures = list(self.measures())
        for number in range(self.rounds):
            for measure in measures:
                if not measure.final and number < measure.rounds:
                    self._everybody(measure, f"round {number + 1}/{self.rounds}")
        for measure in measures:
            if measure.final:
                self._everybody(measure, "final")

    def _everybody(self, measure: Measure, part: str) -> None:
        runs = self.book.setdefault(measure.name, {})
        for stand in self.stands:
            earlier = runs.get(stand.name, [])
            if not measure.applies(stand) or any("error" in run for run in earlier):
                continue  # what failed once has cost a time limit already
            run = attempt(measure.run, stand)
            runs.setdefault(stand.name, []).append(run)
            elapsed = time.monotonic() - self._began
            say(f"{elapsed:5.0f} s  {part}  {measure.name:<16} {stand.name:<22} {shorten_repr(run)}")

    def _jobs_of(self, stand: Stand) -> int:
        """Return how many jobs to drain: as many as the contender says, or fewer if that would take too long."""
        most = stand.contender.jobs
        if not self._peers or stand.contender in (PGJOBS, RAW_SQL):
            return most
        if stand.name not in self._jobs:
            taste = drain(stand, min(TASTE, most))["per_second"]
            self._jobs[stand.name] = min(most, max(TASTE, int(taste * DRAIN_SECONDS)))
        return self._jobs[stand.name]

    def _median(self, measure: str, stand: Stand) -> float:
        values = [run["per_second"] for run in self.book.get(measure, {}).get(stand.name, []) if "per_second" in run]
        if not values:
            raise Failed(f"{measure} gave no rate to start from")
        return float(statistics.median(values))

    def _drain(self, stand: Stand, processes: int = 1) -> Run:
        return drain(stand, self._jobs_of(stand), processes)

    def _sustained(self, stand: Stand) -> Run:
        return sustained(stand, self._median("drain_1", stand))

    def _loaded(self, stand: Stand, percent: int) -> Run:
        return loaded(stand, self._median("sustained", stand) * percent / 100)


def _any(stand: Stand) -> bool:
    return True


def _is_best(stand: Stand) -> bool:
    return stand.kind == "best"


def _is_queue(stand: Stand) -> bool:
    return stand.contender != RAW_SQL and stand.kind in ("default", "best")


def _is_best_queue(stand: Stand) -> bool:
    return _is_best(stand) and _is_queue(stand)


def _enqueue_busy(stand: Stand) -> Run:
    """Enqueue with our worker at work: on both tables, so that only the enqueueing differs."""
    if stand.contender == RAW_SQL:
        stand = replace(stand, configuration=OURS_ON_RAW)
    return enqueue(stand, 64, busy=True)


def attempt(run: Callable[..., Run], *arguments: object) -> Run:
    """Run it, and make a failure a result."""
    try:
        return run(*arguments)
    except Exception as error:  # whatever is wrong with one contender, the others are measured
        return {"error": anonymous(str(error)) or type(error).__name__}


def shorten_repr(run: Run) -> str:
    """Summarise a result in a few words."""
    if "error" in run:
        return f"FAILED: {run['error']}"
    if "after" in run:
        return f"p50 {run['after']['p50']} ms, p99 {run['after']['p99']} ms"
    return f"{run['per_second']:,.0f}/s"


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def contenders(*, peers: bool, only: list[str]) -> list[Contender]:
    """Return the contenders: ours, the SQL alone, and perhaps the others."""
    found = [PGJOBS, RAW_SQL]
    if peers:
        from benchmarks.peers import PEERS

        found += PEERS
    unknown = set(only) - {contender.name for contender in found}
    if unknown:
        sys.exit(f"no contender is called {', '.join(sorted(unknown))}: {', '.join(c.name for c in found)}")
    return [contender for contender in found if not only or contender.name in only]


def prepared(contender: Contender, place: Server, cache: Redis | None) -> Run:
    """Install a contender and make its tables; give its stands, or raise whatever went wrong with it."""
    if contender.redis and cache is None:
        raise Failed("there is no redis-server")
    command = command_of(contender)
    kinds = [contender.best, CALLED] if contender == RAW_SQL else [contender.default, contender.best]
    if contender == PGJOBS:
        kinds.append(ASYNC)
    stands = [Stand(contender, kind, command, place, cache) for kind in dict.fromkeys(kinds)]
    stands[0].set_up()
    return {"stands": stands, "versions": versions(contender)}


def versions(contender: Contender) -> dict[str, str]:
    """Return what is installed for it."""
    if not contender.packages and not contender.node:
        return {}
    from benchmarks import environments

    return environments.versions(contender)


def measure(url: str | None, chosen: list[Contender], rounds: int, *, peers: bool) -> dict[str, Any]:
    """Run the whole suite, and give the result for the file; when it is interrupted, what was found until then."""
    began = time.monotonic()
    with ExitStack() as stack:
        place = stack.enter_context(server(url))
        cache = stack.enter_context(redis()) if any(contender.redis for contender in chosen) else None
        stands: list[Stand] = []
        entries = []
        for contender in chosen:
            entry: dict[str, Any] = {
                **{name: getattr(contender, name) for name in ("name", "title", "keeps", "redis", "remark")},
                "default": contender.default.settings,
                "best": contender.best.settings,
            }
            found = attempt(prepared, contender, place, cache)
            if "error" in found:
                say(f"        {contender.name} is left out: {found['error']}")
                entry["left_out"] = found["error"]
            else:
                stands += found["stands"]
                stack.callback(found["stands"][0].tear_down)
                entry["versions"] = found["versions"]
            entries.append(entry)
        suite = Suite(stands, rounds, peers=peers)
        about = describe(place, cache)
        try:
            suite.run()
        except (KeyboardInterrupt, SystemExit):
            say("        interrupted: what was measured until now is kept")
            about["interrupted"] = True
        return {
            **about,
            "rounds": rounds,
            "seconds": round(time.monotonic() - began),
            "contenders": entries,
            "measures": suite.book,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="a server to make databases on (default: an embedded one)")
    parser.add_argument("--peers", action="store_true", help="the other queues too")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="of the contenders; repeatable")
    parser.add_argument("--to", type=Path, metavar="FILE", help="where the result goes")
    options = parser.parse_args()
    end_on_sigterm()
    chosen = contenders(peers=options.peers, only=options.only)
    result = measure(options.url, chosen, options.rounds, peers=options.peers)
    to = options.to or RESULTS / ("peers.json" if options.peers else "bench.json")
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    say(f"{result['seconds']:5} s  done: {to.name}")
    if result.get("interrupted"):
        sys.exit(130)


if __name__ == "__main__":
    main()
