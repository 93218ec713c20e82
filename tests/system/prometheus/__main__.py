"""A real Prometheus scrapes two supervisors and `pgjobs metrics`: `python -m tests.system.prometheus`.

It takes `prometheus` and `promtool` (Debian: `apt install prometheus`; or their folder in PROMETHEUS), and

- checks the rules of deploy/prometheus/, and runs their tests;
- runs every query of the Grafana dashboard, each of which must give data;
- kills a worker process, after which no counter of its supervisor may be smaller;
- stops the workers while jobs are due, until the alert about that fires.

The times of the rules are shortened to seconds. It takes about two minutes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from pgjobs import enqueue, enqueue_many
from pgjobs.admin import set_limit
from pgjobs.flow.limits import LimitSettings
from tests.support import postgres, tasks
from tests.support.processes import ROOT, environment, wait_until
from tests.support.rows import put_dead
from tests.support.worker import Work, work

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOY = ROOT / "deploy" / "prometheus"
FOLDER = os.environ.get("PROMETHEUS", "")
WITHIN = 240.0  # seconds until an alert has to fire, or a query to give data
RATE = "30s"
IMPORT = "tests.support.tasks"


def program(name: str) -> str:
    """Return the path of a program.

    Raises:
        SystemExit: it is not installed.

    """
    found = shutil.which(name, path=FOLDER or None)
    if found is None:
        sys.exit(f"{name} is not there: apt install prometheus, or set PROMETHEUS to its folder.")
    return found


def free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        return [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(number)]


def queries() -> list[str]:
    """Return all queries of the dashboard, for all queues."""
    board = json.loads((DEPLOY / "grafana.json").read_text())
    found = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    return [query.replace("$queue", ".*").replace("$__rate_interval", RATE) for query in found]


class Prometheus:
    """A Prometheus that runs."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1"

    def ask(self, path: str, **values: str) -> Any:
        with urllib.request.urlopen(f"{self._url}/{path}?{urllib.parse.urlencode(values)}", timeout=10) as answer:  # noqa: S310 (our own)
            return json.load(answer)["data"]

    def query(self, query: str) -> list[Any]:
        return list(self.ask("query", query=query)["result"])

    def value(self, query: str) -> float:
        found = self.query(query)
        return float(found[0]["value"][1]) if found else 0.0

    def firing(self) -> set[str]:
        return {a["labels"]["alertname"] for a in self.ask("alerts")["alerts"] if a["state"] == "firing"}


@contextmanager
def prometheus(jobs: dict[str, list[int]]) -> Iterator[Prometheus]:
    """Run Prometheus on these targets, with the rules, each second."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="pgjobs-prometheus-") as name:
        folder = Path(name)
        (folder / "alerts.yml").write_text(re.sub(r"for: \d+m", "for: 2s", (DEPLOY / "alerts.yml").read_text()))
        scrapes = [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{each}" for each in ports]}]}
            for job, ports in jobs.items()
        ]
        config = {
            "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"},
            "rule_files": ["alerts.yml"],
            "scrape_configs": scrapes,
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))  # which is YAML, too
        log = folder / "log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [
                    program("prometheus"),
                    "--config.file=prometheus.yml",
                    "--storage.tsdb.path=data",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                cwd=folder,
                stdout=output,
                stderr=output,
            )
        try:
            running = Prometheus(port)
            wait_until(lambda: answers(running), 60)
            yield running
        except BaseException:
            print(log.read_text()[-3000:], file=sys.stderr)
            raise
        finally:
            process.terminate()
            process.wait(20)


def answers(running: Prometheus) -> bool:
    try:
        return running.ask("query", query="1") is not None
    except OSError:
        return False


@contextmanager
def metrics_server(url: str, port: int) -> Iterator[None]:
    """Run `pgjobs metrics`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pgjobs", "metrics", "--port", str(port), "--host", "127.0.0.1", "--database-url", url],
        env=environment(),
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def fill(conn: psycopg.Connection) -> None:
    """Put in what each panel is about."""
    enqueue_many(conn, tasks.nap, [(0.05,)] * 300)
    for _ in range(5):
        enqueue(conn, tasks.always_fail)
    put_dead(conn)
    set_limit(conn, "tenant:*", LimitSettings(concurrency=5))
    conn.execute(
        "INSERT INTO pgjobs.breakers (name, state, until, failures, period, min_calls, cooldown, probes) "
        "VALUES ('stripe', 'open', now() + interval '1 hour', 0.5, '1 min', 5, '1 min', 1)"
    )
    subprocess.run(
        [sys.executable, "-m", "pgjobs", "schedules", "add", "nightly", "0 3 * * *", f"{IMPORT}:nothing"],
        env={**environment(), "PGJOBS_DATABASE_URL": conn.info.dsn + f" password={conn.info.password}"},
        check=True,
        stdout=subprocess.DEVNULL,
    )


def check_rules() -> None:
    """Have promtool check the rules, and run their tests."""
    for arguments in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        subprocess.run([program("promtool"), *arguments], cwd=DEPLOY, check=True)


def check_queries(running: Prometheus) -> None:
    """See that every query of the dashboard gives data, once there are two samples of everything."""
    left, deadline = queries(), time.monotonic() + WITHIN
    total = len(left)
    while left and time.monotonic() < deadline:
        left = [query for query in left if not has_data(running, query)]
        time.sleep(1)
    assert not left, f"without data: {left}"
    print(f"{total} queries of the dashboard give data")


def has_data(running: Prometheus, query: str) -> bool:
    return any(sample["value"][1] != "NaN" for sample in running.query(query))


def check_counters(running: Prometheus, conn: psycopg.Connection, worker: Work, port: int) -> None:
    """Kill a process, and see that the sums of its supervisor do not become smaller."""
    where = f'{{instance="127.0.0.1:{port}"}}'
    before = running.value(f"sum(pgjobs_jobs_finished_total{where})")
    worker.kill_a_member()
    wait_until(lambda: running.value(f"pgjobs_process_deaths_total{where}") >= 1, WITHIN)
    enqueue_many(conn, tasks.nothing, [(n,) for n in range(200)])
    wait_until(lambda: running.value("sum(pgjobs_jobs_finished_total)") > before, WITHIN)
    resets = running.value(f"sum(resets(pgjobs_jobs_finished_total{where}[5m]))")
    assert resets == 0, f"{resets} counters became smaller"
    print(f"a process was killed: {before:g} jobs before, and no counter became smaller")


def main() -> None:
    program("prometheus")
    check_rules()
    first, second, installation = free_ports(3)
    with ExitStack() as stack:
        server = stack.enter_context(postgres.start(None, "embedded"))
        url = server.take()
        conn = stack.enter_context(psycopg.connect(url, autocommit=True))
        stack.enter_context(metrics_server(url, installation))
        options = ("-q", "default:2", "--import", IMPORT, "--listen", "127.0.0.1", "--metrics-port")
        # Whether they are ready, Prometheus sees.
        with work(url, *options, first, ready=False) as one, work(url, *options, second, ready=False) as other:
            fill(conn)
            running = stack.enter_context(prometheus({"pgjobs": [installation], "pgjobs-workers": [first, second]}))
            wait_until(lambda: running.value("count(up == 1)") == 3, WITHIN)
            wait_until(lambda: running.value("sum(pgjobs_processes{state='registered'})") == 2, WITHIN)
            print("3 targets are up")
            enqueue_many(conn, tasks.nap, [(0.05,)] * 600)
            check_queries(running)
            check_counters(running, conn, one, first)
            assert "PgjobsQueueWithoutWorkers" not in running.firing(), running.firing()
            for worker in (one, other):
                worker.stop()
        enqueue(conn, tasks.nothing)
        began = time.monotonic()
        wait_until(lambda: "PgjobsQueueWithoutWorkers" in running.firing(), WITHIN)
        print(f"the workers stopped: the alert fired after {time.monotonic() - began:.0f} s")
        print(f"alerts: {', '.join(sorted(running.firing()))}")


if __name__ == "__main__":
    main()
