"""What `pgjobs metrics` says of an installation, parsed as Prometheus does."""

from __future__ import annotations

import asyncio
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from pgjobs import admin
from pgjobs.cli.main import main
from pgjobs.core.errors import ConfigurationError
from pgjobs.db import depths
from pgjobs.flow.limits import LimitSettings
from pgjobs.metrics import Collector, asgi_app
from pgjobs.metrics import installation as reading
from pgjobs.telemetry import metrics
from pgjobs.telemetry.http_server import Answer, HttpServer
from pgjobs.telemetry.prometheus import exposition
from tests.support.rows import put_dead, put_job, put_worker

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from psycopg import Connection

Values = dict[tuple[str, ...], float]


def scrape(collector: Collector) -> dict[str, Values]:
    """Return all values by metric, and by the values of its labels in their order."""
    text = exposition(collector)[1].decode()
    found: dict[str, Values] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


@pytest.fixture
def collector(database_url: str) -> Collector:
    return Collector(database_url)


def test_an_empty_installation_is_up(collector: Collector) -> None:
    found = scrape(collector)
    assert found["pgjobs_up"] == {(): 1}
    assert 0 < found["pgjobs_scrape_duration_seconds"][()] < 60
    assert found["pgjobs_doctor_findings"][("error",)] == 0
    assert found["pgjobs_workflows"][("running",)] == 0


def test_jobs_are_counted_by_queue_and_state(conn: Connection, collector: Collector) -> None:
    past = datetime.now(UTC) - timedelta(seconds=100)
    put_job(conn, run_at=past)
    put_job(conn, status="waiting", lane="a", held=None, run_at=past)
    put_job(conn, status="waiting", held="needs", needs=1)
    put_job(conn, run_at=datetime.now(UTC) + timedelta(hours=1))
    put_job(conn, status="running", worker_id=1)
    put_dead(conn, queue="mail")
    put_worker(conn, {"default": 3})
    put_worker(conn, {"default": 3}, silent_for=3600)
    found = scrape(collector)
    jobs = {
        state: found["pgjobs_queue_jobs"].get(("default", state)) for state in ("due", "later", "waiting", "running")
    }
    assert jobs == {"due": 2, "later": 1, "waiting": 1, "running": 1}
    assert 99 < found["pgjobs_queue_latency_seconds"][("default",)] < 160
    assert found["pgjobs_queue_workers"][("default",)] == 1
    assert found["pgjobs_dead_letters"] == {("default",): 0, ("mail",): 1}
    assert found["pgjobs_jobs_enqueued_total"][()] >= 5


def test_settings_that_hold_jobs_up_are_seen(conn: Connection, collector: Collector) -> None:
    put_job(conn)
    admin.pause_queue(conn, "default")
    admin.set_limit(conn, "tenant:*", LimitSettings(concurrency=5))
    for key in ("tenant:1", "tenant:2"):
        put_job(conn, status="running", worker_id=1, limit_key=key)
    conn.execute(
        "INSERT INTO pgjobs.breakers (name, state, until, failures, period, min_calls, cooldown, probes) "
        "VALUES ('stripe', 'open', now(), 0.5, '1 min', 5, '1 min', 1)"
    )
    found = scrape(collector)
    assert found["pgjobs_queue_paused"][("default",)] == 1
    assert found["pgjobs_limit_in_use"] == {("tenant:*",): 2}
    assert found["pgjobs_breaker_state"] == {("stripe", "closed"): 0, ("stripe", "open"): 1, ("stripe", "half_open"): 0}


def test_ids_that_were_given_out_never_decrease(conn: Connection, collector: Collector) -> None:
    job = put_job(conn)
    before = scrape(collector)["pgjobs_jobs_enqueued_total"][()]
    conn.execute("DELETE FROM pgjobs.jobs WHERE id = %s", [job])
    assert scrape(collector)["pgjobs_jobs_enqueued_total"][()] == before


def test_hostile_names_of_queues_are_one_line_each(conn: Connection, collector: Collector) -> None:
    name = 'a"b\\c\nd{e="f"} 1\n# HELP \x1b[31m'
    put_job(conn, queue=name)
    found = scrape(collector)
    assert found["pgjobs_queue_jobs"][('a"b\\c\\nd{e="f"} 1\\n# HELP \\x1b[31m', "due")] == 1


def test_queues_beyond_the_bound_are_one(
    conn: Connection, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector.reader, "_queues", metrics.Capped(2))
    for number in range(4):
        put_job(conn, queue=f"q{number}")
    jobs = scrape(collector)["pgjobs_queue_jobs"]
    assert {labels[0]: number for labels, number in jobs.items() if labels[1] == "due"} == {
        "q0": 1,
        "q1": 1,
        "other": 2,
    }


def test_server_that_cannot_be_reached_is_down_and_no_error() -> None:
    found = scrape(Collector("postgresql://none@127.0.0.1:1/none"))
    assert found["pgjobs_up"] == {(): 0}
    assert "pgjobs_queue_jobs" not in found


def test_end_of_the_time_is_down_and_no_error(conn: Connection, database_url: str) -> None:
    collector = Collector(database_url, time_limit=1.0)
    with conn.transaction():
        conn.execute("LOCK TABLE pgjobs.queues")
        found = scrape(collector)
    assert found["pgjobs_up"] == {(): 0}
    assert found["pgjobs_scrape_duration_seconds"][()] < 20
    assert "time limit" in (collector.reader.error or "")
    assert "pgjobs_workflows" in found  # what was read before is there
    assert scrape(Collector(database_url, time_limit=60))["pgjobs_up"] == {(): 1}


def test_missing_tables_are_down_and_no_error(empty_database_url: str) -> None:
    assert scrape(Collector(empty_database_url))["pgjobs_up"] == {(): 0}


def test_scrapes_that_wait_for_each_other_ask_once(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()
    reads: list[int] = []

    def slow(self: Any) -> list[metrics.Family]:
        reads.append(1)
        begun.set()
        assert go_on.wait(30)
        return []

    monkeypatch.setattr(reading.InstallationReader, "_read", slow)
    threads = [threading.Thread(target=collector.reader) for _ in range(5)]
    threads[0].start()
    assert begun.wait(30)
    for thread in threads[1:]:
        thread.start()
    while sum(thread.is_alive() for thread in threads) < 5:
        pass
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert len(reads) == 2  # the first, and one for all that asked meanwhile


def test_collector_fits_into_a_registry_once(collector: Collector) -> None:
    registry = CollectorRegistry(auto_describe=True)
    registry.register(collector)
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(collector)


async def call(app: Any, method: str) -> tuple[int, bytes]:
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    await app({"type": "http", "method": method, "path": "/", "headers": []}, receive, send)
    return sent[0]["status"], sent[1]["body"]


def test_asgi_app_answers_get_alone(database_url: str) -> None:
    app = asgi_app(database_url)
    status, body = asyncio.run(call(app, "GET"))
    assert status == 200
    assert b"\npgjobs_up 1.0\n" in body
    assert asyncio.run(call(app, "HEAD")) == (200, b"")
    assert asyncio.run(call(app, "POST"))[0] == 405


def test_without_the_library_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'pgjobs-runner\[prometheus\]'"):
        Collector("postgresql://x/y")


def test_http_server_answers_its_paths_and_no_others() -> None:
    def fails(accept: str) -> Answer:
        raise ValueError("no")

    server = HttpServer(
        "127.0.0.1", 0, {"/metrics": lambda accept: Answer(200, "text/plain", accept.encode()), "/fails": fails}
    )
    server.start()
    try:
        with urlopen(f"http://127.0.0.1:{server.port}/metrics?x=1") as answer:
            assert answer.status == 200
        for path, status in (("/", 404), ("/fails", 500)):
            with pytest.raises(Exception, match=str(status)):
                urlopen(f"http://127.0.0.1:{server.port}{path}")
        with pytest.raises(ConfigurationError, match="cannot listen"):
            HttpServer("127.0.0.1", server.port, {})
    finally:
        server.stop()


def test_labels_that_look_the_same_come_together() -> None:
    family = metrics.Family("pgjobs_dead_letters", metrics.INSTALLATION["pgjobs_dead_letters"])
    family.put(1, "a" * 300 + "1")
    family.put(2, "a" * 300 + "2")
    assert list(family.values.values()) == [3]


def test_command_prints_metrics_once_and_says_when_they_are_not_whole(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["metrics", "--once", "--database-url", database_url]) == 0
    assert "\npgjobs_up 1.0\n" in capsys.readouterr().out
    with psycopg.connect(database_url) as conn:
        conn.execute("LOCK TABLE pgjobs.dead_jobs")
        assert main(["metrics", "--once", "--time-limit", "1.0", "--database-url", database_url]) == 1
    captured = capsys.readouterr()
    assert "\npgjobs_up 0.0\n" in captured.out
    assert "time limit" in captured.err


def test_large_tables_are_estimated_from_a_sample_and_small_numbers_stay_exact(
    conn: Connection, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    conn.execute(
        "INSERT INTO pgjobs.jobs (task, payload, queue) SELECT 'a:b', repeat('x', 400)::bytea, "
        "CASE WHEN n = 1 THEN 'small' ELSE 'default' END FROM generate_series(1, 4000) AS n"
    )
    monkeypatch.setattr(depths, "PAGES", 50)
    monkeypatch.setattr(depths, "CAP", 100)
    jobs = scrape(collector)["pgjobs_queue_jobs"]
    assert jobs["small", "due"] == 1
    assert 2000 < jobs["default", "due"] < 8000


def test_what_supervisors_without_a_port_have_counted_is_served_and_the_sla_of_a_queue(
    conn: Connection, collector: Collector
) -> None:
    conn.execute(
        "INSERT INTO pgjobs.finished_totals (queue, task, completed, failed, retried)"
        " VALUES ('mail', 'a:b', 7, 1, 3), ('mail', 'c:d', 2, 0, 0)"
    )
    admin.set_queue_sla(conn, "mail", 30)
    found = scrape(collector)
    assert found["pgjobs_jobs_finished_total"] == {
        ("completed", "mail", "a:b"): 7,
        ("failed", "mail", "a:b"): 1,
        ("completed", "mail", "c:d"): 2,
    }
    assert found["pgjobs_retries_total"] == {("mail", "a:b"): 3}
    assert found["pgjobs_queue_sla_seconds"] == {("mail",): 30}
