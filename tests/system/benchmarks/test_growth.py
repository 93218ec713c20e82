"""How cost grows: what is filled in is what the queue itself would have written, and the figures mean what they say."""

from __future__ import annotations

from typing import Any

import numpy
import psycopg
import pytest
from benchmarks.drivers.pgjobs import job
from benchmarks.growth import fill
from benchmarks.growth.curve import Series, measure
from benchmarks.growth.figures import drained, median_of, windows
from benchmarks.growth.snapshot import Times, summary

from pgjobs import enqueue

PGJOBS = fill.TABLES["pgjobs"]
SECOND = 1_000_000_000


@pytest.fixture
def sampled(database_url: str, conn: psycopg.Connection) -> str:
    """A database with a row to copy from, and nothing else."""
    enqueue(conn, job, 7)
    conn.commit()
    fill.take_sample(database_url, PGJOBS)
    conn.execute("TRUNCATE pgjobs.jobs")
    conn.commit()
    return database_url


def rows(conn: psycopg.Connection, query: str) -> list[tuple[Any, ...]]:
    return conn.execute(query.encode()).fetchall()


def test_a_filled_backlog_is_due_and_looks_as_if_it_had_been_enqueued(sampled: str, conn: psycopg.Connection) -> None:
    fill.due(sampled, PGJOBS, 50)

    columns = "queue, task, summary, payload, status, max_attempts"
    found = rows(
        conn,
        f"SELECT count(DISTINCT id), max(run_at) <= now(),"
        " array_agg(id ORDER BY run_at) = array_agg(id ORDER BY id),"
        f" bool_and(({columns}) = (SELECT {columns} FROM public.bench_sample)) FROM pgjobs.jobs",
    )

    assert found == [(50, True, True, True)]


def test_neighbours_share_the_table_evenly_with_the_worked_queue(sampled: str, conn: psycopg.Connection) -> None:
    fill.due(sampled, PGJOBS, 60, queues=4, each=10)

    counted = rows(conn, "SELECT queue, count(*) FROM pgjobs.jobs GROUP BY queue ORDER BY count(*) DESC, queue")
    early = rows(
        conn, "SELECT count(*) FROM (SELECT queue FROM pgjobs.jobs ORDER BY id LIMIT 45) AS j WHERE queue <> 'bench'"
    )

    assert counted == [("bench", 60), ("neighbour 1", 10), ("neighbour 2", 10), ("neighbour 3", 10)]
    assert early == [(15,)]


def test_finished_jobs_are_in_history_and_not_to_be_claimed(sampled: str, conn: psycopg.Connection) -> None:
    fill.finished(sampled, PGJOBS, 40)

    assert rows(conn, "SELECT count(*) FROM pgjobs.jobs_live") == [(0,)]
    assert rows(conn, "SELECT status, count(*), max(finished_at) <= now() FROM pgjobs.jobs GROUP BY status") == [
        ("completed", 40, True)
    ]


def ran(*seconds: float) -> Any:
    records = [[number, int(at * SECOND)] for number, at in enumerate(seconds)]
    return numpy.array(records, dtype=numpy.int64).reshape(-1, 2)


def test_a_rate_leaves_out_the_first_tenth_and_what_ran_after_the_last_that_counts() -> None:
    slow_start = [0.0, 10.0, *(10.0 + n / 10 for n in range(1, 19)), 99.0]

    assert drained(ran(*slow_start), 20)["per_second"] == pytest.approx(10, rel=0.01)


def test_next_to_nothing_has_no_rate() -> None:
    with pytest.raises(ValueError, match="only 3 of 100 jobs ran"):
        drained(ran(1, 2, 3), 100)


def test_a_window_has_the_jobs_that_ran_in_it_and_how_long_they_had_waited() -> None:
    sent = numpy.array([[n, 0, n * SECOND] for n in range(4)], dtype=numpy.int64)
    late = [0.010, 1.010, 2.010, 3.500]

    first, second = windows(sent, ran(*late), 2, 0, 4 * SECOND)

    assert (first["per_second"], first["p50_ms"], first["max_ms"]) == (1.0, 10.0, 10.0)
    assert (second["from"], second["sent_per_second"], second["max_ms"]) == (2, 1.0, 500.0)


def test_a_snapshot_is_judged_by_its_last_minutes_and_not_by_the_first_window() -> None:
    times = Times(calm=30, held=40, window=10, last=20)
    cut = [
        {"from": 10 * n, "per_second": rate, "p50_ms": 1, "p99_ms": p99}
        for n, (rate, p99) in enumerate([(1, 900), (100, 4), (100, 4), (7, 700), (7, 700), (90, 6), (90, 6)])
    ]

    found = summary(cut, times)

    assert (found["per_second_ratio"], found["p99_ms_ratio"]) == (0.9, 1.5)


def test_rounds_become_their_median_and_failures_stay_to_be_seen() -> None:
    rounds: list[dict[str, Any]] = [{"per_second": 1.0}, {"error": "gone"}, {"per_second": 3.0}, {"per_second": 9.0}]

    point = median_of(rounds, ["per_second"])

    assert (point["per_second"], point["per_second_all"], point["errors"]) == (3.0, [1.0, 3.0, 9.0], ["gone"])


class NoOne:
    """A series that is not measured."""

    label = "nobody"

    def head(self) -> dict[str, Any]:
        return {"contender": "nobody", "label": self.label}


def test_a_point_that_fails_loses_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    def point(_: Series, x: float) -> dict[str, Any]:
        if x == 2:
            raise OSError("no such thing as /srv/secret/file")
        return {"per_second": 10.0 * x}

    series: Any = [NoOne()]
    (line,) = measure("test", series, [1, 2, 3], {"per_second": "jobs/s"}, point)

    assert [point.get("per_second") for point in line["points"]] == [10.0, None, 30.0]
    assert line["points"][1]["error"] == "no such thing as file"
    assert "error: no such thing as file" in capsys.readouterr().out
