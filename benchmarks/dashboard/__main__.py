"""How long the pages of the dashboard and a scrape of `pgjobs metrics` take on large tables: server time.

    python -m benchmarks.dashboard [URL] [--share 1.0] [--rounds 20] [--filled]

It makes a database, fills it with a million live jobs, ten million finished ones, 100,000 dead letters, 1,000 queues
and 10,000 workflows (`--share 0.1`: a tenth of it), and asks for each page in turns, in this process: what is measured
is what the server does, with PostgreSQL and templates, and without a network. `--filled`: URL has been filled already.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext

import psycopg
from benchmarks.common import database, say, scalar
from benchmarks.dashboard.fill import Size, fill
from starlette.testclient import TestClient

from pgjobs.metrics import Collector
from pgjobs.telemetry.prometheus import exposition
from pgjobs.web import ALL, User, dashboard

PAGE_MS = 300.0
SCRAPE_MS = 1_000.0


def places(url: str) -> list[str]:
    """Return an address of each page, and of the values of its charts."""
    with psycopg.connect(url) as conn:
        queued = scalar(conn, "SELECT max(id) FROM pgjobs.jobs_live WHERE status = 'queued'")
        dead = scalar(conn, "SELECT max(id) FROM pgjobs.dead_jobs")
        workflow = scalar(conn, "SELECT max(id) FROM pgjobs.workflows")
        queue = scalar(conn, "SELECT queue FROM pgjobs.jobs_live WHERE id = %s", [queued])
    return [
        *("/", "/queues", "/queues?start=500", f"/queue?name={queue}"),
        *(
            "/jobs",
            "/jobs?status=running",
            f"/jobs?queue={queue}",
            "/jobs?status=failed",
            "/jobs?task=shop.tasks:task_7",
        ),
        *("/jobs?call=999999", f"/jobs/{queued}", f"/jobs/{dead}"),
        *("/dead", f"/dead?queue={queue}", "/workflows", "/workflows?status=running", f"/workflows/{workflow}"),
        *("/schedules", "/limits", "/workers", "/subscriptions", "/pipelines", "/doctor", "/audit"),
        *("/minutes?queue=queue-0001&queue=queue-0002&hours=3", "/minutes?queue=queue-0001&hours=48&times=1"),
    ]


def asked(client: TestClient, place: str) -> None:
    """Ask for a page, which has to be whole.

    Raises:
        AssertionError: it is not.

    """
    page = client.get(place)
    assert page.status_code == 200, f"{place}: {page.status_code}"
    if "Left out" in page.text:
        print(f"  {place}: {page.text.partition('Left out')[2][:90]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="a server to make a database on (default: an embedded one)")
    parser.add_argument("--share", type=float, default=1.0, help="of the jobs, queues and workflows")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--filled", action="store_true", help="URL is a database that was filled before")
    options = parser.parse_args()
    size = Size().scaled(options.share)
    with nullcontext(options.url) if options.filled else database(options.url) as url:
        if not options.filled:
            fill(url, size, print)
        app = dashboard(authorize=lambda request: User("bench", may=ALL), database_url=url)
        client, collector = TestClient(app, base_url="http://localhost"), Collector(url, time_limit=10)
        work: dict[str, Callable[[], object]] = {place: lambda p=place: asked(client, p) for place in places(url)}  # type: ignore[misc]  # (a default is how a loop's value is kept)
        work["scrape"] = lambda: exposition(collector)
        taken: dict[str, list[float]] = {name: [] for name in work}
        for number in range(options.rounds + 2):
            for name, do in work.items():
                began = time.perf_counter()
                do()
                if number > 1:  # the first rounds fill caches
                    taken[name].append((time.perf_counter() - began) * 1000)
    slow = 0
    for name, each in taken.items():
        p95 = statistics.quantiles(each, n=20)[-1]
        aim = SCRAPE_MS if name == "scrape" else PAGE_MS
        slow += p95 > aim
        print(f"{name:55} median {statistics.median(each):7.1f} ms   p95 {p95:7.1f} ms{'   SLOW' if p95 > aim else ''}")
    say(**size._asdict(), rounds=options.rounds, slow=slow)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
