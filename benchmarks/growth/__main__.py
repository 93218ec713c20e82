"""How cost grows: the curves, for pgjobs and the two fastest peers.

    python -m benchmarks.growth [--only NAME]… [--contenders pgjobs,pgqueuer,graphile] [--quick] [URL]

Each curve writes results/growth-NAME.json when it is done (with --quick under results/quick/, which says nothing but
that it works). Without --only: all of them but `snapshot`, which takes twelve minutes for each contender.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.contender import Contender
from benchmarks.contenders import PGJOBS
from benchmarks.environments import CanNotBeInstalled, versions
from benchmarks.growth.backlog import backlog
from benchmarks.growth.blocked import blocked
from benchmarks.growth.claimers import claimers
from benchmarks.growth.curve import Options, begin, take_sample
from benchmarks.growth.history import history
from benchmarks.growth.job_time import job_time
from benchmarks.growth.keys import keys
from benchmarks.growth.payload import payload
from benchmarks.growth.queues import queues
from benchmarks.growth.snapshot import snapshot
from benchmarks.machine import describe
from benchmarks.peers import PEERS
from benchmarks.running import ROOT, Failed, Stand, command_of, end_on_sigterm
from benchmarks.server import SETTINGS, Server, server

CURVES: dict[str, Callable[[Sequence[Stand], Options], dict[str, Any]]] = {
    "backlog": backlog,
    "history": history,
    "queues": queues,
    "claimers": claimers,
    "payload": payload,
    "job_time": job_time,
    "keys": keys,
    "blocked": blocked,
    "snapshot": snapshot,
}
ONLY_IF_ASKED = {"snapshot"}
CONTENDERS = {contender.name: contender for contender in (PGJOBS, *PEERS)}
RESULTS = ROOT / "benchmarks" / "results"
# 64 workers may have 25 connections each, and the default is 100 for all. The rest is as in the other measurements.
MORE_SETTINGS = {**SETTINGS, "max_connections": "2000"}


def words(text: str) -> list[str]:
    """Read a list with commas."""
    return [word for word in text.split(",") if word]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", nargs="?", help="a server to make databases on (default: one of its own)")
    parser.add_argument("--only", type=words, action="extend", metavar="NAME", help=", ".join(CURVES))
    parser.add_argument("--contenders", type=words, default=["pgjobs", "pgqueuer", "graphile"])
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it works")
    parser.add_argument("--fill-limit", type=float, default=Options.fill_limit, metavar="SECONDS")
    given = parser.parse_args()
    names = given.only or [name for name in CURVES if name not in ONLY_IF_ASKED]
    if unknown := ({*names} - {*CURVES}) | ({*given.contenders} - {*CONTENDERS}):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    end_on_sigterm()
    options = Options(given.quick, given.fill_limit)
    with server(given.url, MORE_SETTINGS) as own, ExitStack() as stack:
        stands = []
        for name in given.contenders:
            if stand := _stand(CONTENDERS[name], own):
                stack.callback(stand.tear_down)
                stands.append(stand)
        for name in names:
            _run(name, stands, own, options)
    if not stands:
        sys.exit("nothing could be measured")


def _stand(contender: Contender, own: Server) -> Stand | None:
    """Return the contender at its best; say why if it cannot be measured."""
    try:
        stand = Stand(contender, contender.best, command_of(contender), own)
        begin(stand)
    except (CanNotBeInstalled, Failed, LookupError) as error:
        print(f"{contender.title} is left out: {error}", flush=True)
        return None
    return stand


def _run(name: str, stands: Sequence[Stand], own: Server, options: Options) -> None:
    started = time.monotonic()
    for stand in stands:
        take_sample(stand)  # the curve before may have left another
    result = CURVES[name](stands, options)
    for stand in stands:
        stand.empty()
    folder = RESULTS / "quick" if options.quick else RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"growth-{name}.json"
    about = {
        "curve": name,
        **describe(own),
        "took_seconds": round(time.monotonic() - started),
        "quick": options.quick,
        "versions": {stand.contender.name: versions(stand.contender) for stand in stands},
    }
    path.write_text(json.dumps({**about, **result}, indent=1) + "\n")
    print(f"{name}: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}", flush=True)


if __name__ == "__main__":
    main()
