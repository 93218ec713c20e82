"""A dependency that is down for a while under a steady load: what a circuit breaker spares it, and the jobs.

    python -m benchmarks.breaker [URL] [--rate 200] [--down 20] [--processes 4] [--without]

The dependency is a server here that answers after 20 ms, and says no while it is down. A trigger writes down when the
breaker changes, by the same clock. `--without`: the same jobs without a breaker.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import threading
import time
from dataclasses import dataclass, field

import psycopg
from benchmarks.breaker_tasks import BREAKER, with_breaker, without_breaker
from benchmarks.common import database, say, scalar, worker

from pgjobs import enqueue_many

HEALTHY = 8.0  # seconds before it goes down
AFTERWARDS = 15.0  # seconds that the load continues when it is well again
ANSWER = 0.02  # seconds that an answer takes
PATIENCE = 120.0  # seconds until all must have ended
LOG = """
    CREATE TABLE changes (state text, forced boolean, until float8, at float8 NOT NULL);
    CREATE FUNCTION log_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO public.changes VALUES (
            NEW.state, NEW.forced, extract(epoch FROM NEW.until), extract(epoch FROM NEW.changed_at));
        RETURN NULL;
    END $$;
    CREATE TRIGGER log_change AFTER UPDATE ON pgjobs.breakers FOR EACH ROW
        WHEN (OLD.changed_at IS DISTINCT FROM NEW.changed_at) EXECUTE FUNCTION log_change();
"""
# Before they are due no worker could run them; a retry's time of its own is not the breaker's.
DUE = "SELECT count(*) FROM pgjobs.jobs WHERE status IN ('queued', 'waiting', 'running') AND run_at < now()"
LEFT = "SELECT count(*) FROM pgjobs.jobs WHERE status IN ('queued', 'waiting', 'running')"


@dataclass
class Dependency:
    """A server that counts who calls it."""

    down: bool = False
    calls: list[tuple[float, bool]] = field(default_factory=list)  # when, and whether it was down
    port: int = 0

    def start(self) -> None:
        started = threading.Event()

        async def serve() -> None:
            server = await asyncio.start_server(self._answer, "127.0.0.1", 0, backlog=1000)
            self.port = server.sockets[0].getsockname()[1]
            started.set()
            await server.serve_forever()

        threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
        started.wait()

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        down = self.down
        self.calls.append((time.time(), down))
        await asyncio.sleep(ANSWER)
        writer.write(b"no" if down else b"ok")
        writer.close()


class Load(threading.Thread):
    """Enqueues jobs at a rate per second, in steps of 50 ms."""

    def __init__(self, url: str, rate: float, seconds: float, *, guarded: bool) -> None:
        super().__init__(daemon=True)
        self._url, self._rate, self._seconds = url, rate, seconds
        self._job = with_breaker if guarded else without_breaker
        self.sent = 0

    def run(self) -> None:
        began = time.monotonic()
        with psycopg.connect(self._url, autocommit=True) as conn:
            while (passed := time.monotonic() - began) < self._seconds:
                missing = int(passed * self._rate) - self.sent
                if missing:
                    enqueue_many(conn, self._job, [(self.sent + n,) for n in range(missing)])
                    self.sent += missing
                time.sleep(0.05)


def settle(conn: psycopg.Connection, query: str, deadline: float, most: int = 0) -> float | None:
    """Wait until the query counts no more than that, and give the time."""
    while time.monotonic() < deadline:
        if scalar(conn, query) <= most:
            return time.time()
        time.sleep(0.02)
    return None


def within(calls: list[tuple[float, bool]], start: float, end: float) -> list[float]:
    return [at for at, _ in calls if start <= at < end]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="a server to make a database on (default: an embedded one)")
    parser.add_argument("--rate", type=float, default=200.0, help="jobs a second")
    parser.add_argument("--down", type=float, default=20.0, help="seconds")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--without", action="store_true", help="jobs without a breaker")
    options = parser.parse_args()
    dependency = Dependency()
    dependency.start()
    os.environ["BENCH_DEPENDENCY"] = str(dependency.port)
    arguments = ("--processes", options.processes, "--import", "benchmarks.breaker_tasks")
    with database(options.url) as url, psycopg.connect(url, autocommit=True) as conn:
        conn.execute(LOG)
        with worker(url, *arguments):
            while scalar(conn, "SELECT count(*) FROM pgjobs.workers") < options.processes:
                time.sleep(0.05)
            load = Load(url, options.rate, HEALTHY + options.down + AFTERWARDS, guarded=not options.without)
            load.start()
            time.sleep(HEALTHY)
            down_at, dependency.down = time.time(), True
            time.sleep(options.down)
            well_at, dependency.down = time.time(), False
            # Up to date again: what is due is no more than what comes in a tenth of a second.
            current = settle(conn, DUE, time.monotonic() + PATIENCE, int(options.rate / 10))
            load.join()
            ended = settle(conn, LEFT, time.monotonic() + PATIENCE)
        assert ended is not None, "jobs are left"
        changes = conn.execute("SELECT state, until, at FROM changes ORDER BY at").fetchall()
        attempts = scalar(conn, "SELECT sum(attempt) FROM pgjobs.jobs")
        dead = scalar(conn, "SELECT count(*) FROM pgjobs.dead_jobs")
    calls = dependency.calls
    say(
        guarded=not options.without,
        rate=options.rate,
        down_seconds=options.down,
        processes=options.processes,
        jobs=load.sent,
        calls=len(calls),
        calls_while_down=sum(down for _, down in calls),
        attempts=attempts,
        attempts_lost=attempts - load.sent,
        dead_letters=dead,
        seconds_until_up_to_date=round(current - well_at, 2) if current else None,
        **({} if options.without else of_breaker(changes, calls, down_at, well_at)),
    )


def of_breaker(
    changes: list[tuple[str, float, float]], calls: list[tuple[float, bool]], down_at: float, well_at: float
) -> dict[str, object]:
    """Return what the breaker did: when, and which jobs ran."""
    opened = [(at, until) for state, until, at in changes if state == "open"]
    closed = [at for state, _, at in changes if state == "closed" and at > well_at]
    assert opened, "it never opened"
    assert closed, "it never closed"
    reached = [(at, within(calls, at, until)) for at, until in opened]
    probes = [
        len(within(calls, until, following))
        for (_, until), following in zip(opened, [*(at for at, _ in opened[1:]), closed[0]], strict=True)
    ]
    return {
        "cooldown": BREAKER.cooldown,
        "opened": len(opened),
        "seconds_until_open": round(opened[0][0] - down_at, 2),
        "calls_until_open": len(within(calls, down_at, opened[0][0])),
        "calls_that_reached_it_while_open": [len(found) for _, found in reached],
        "last_of_them_after_ms": [round(1000 * (found[-1] - at)) for at, found in reached if found],
        "probes": probes,
        "seconds_until_closed": round(closed[0] - well_at, 2),
    }


if __name__ == "__main__":
    main()
