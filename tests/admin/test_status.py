from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgjobs import admin
from pgjobs.admin import keep_completed, list_queues, pause_queue, show_status
from pgjobs.admin.status import MAX_COUNTED
from pgjobs.db.plan_settings import LOOK_UPS
from pgjobs.db.query import local_settings
from pgjobs.db.statements import statement
from tests.support.rows import put_dead, put_job, put_worker

if TYPE_CHECKING:
    from psycopg import Connection

    from pgjobs.admin import QueueStatus


def queue_of(conn: Connection, name: str = "default", **options: Any) -> QueueStatus:
    return next(queue for queue in show_status(conn, **options).queues if queue.queue == name)


def test_nothing_is_a_status_too(conn: Connection) -> None:
    state = show_status(conn)
    assert (state.queues, state.workers, state.dead) == ((), (), 0)


def test_due_later_and_running_jobs_are_counted_apart(conn: Connection) -> None:
    for priority in (0, 5, 9):
        put_job(conn, priority=priority)
    put_job(conn, run_at=datetime.now(UTC) + timedelta(hours=1))
    put_job(conn, status="running", worker_id=1)
    queue = queue_of(conn)
    assert (queue.due, queue.later, queue.running, queue.dead) == (3, 1, 1, 0)
    assert (queue.due_capped, queue.later_capped) == (False, False)


def test_counts_end_at_the_cap(conn: Connection) -> None:
    conn.execute(
        "INSERT INTO pgjobs.jobs (task, payload, priority, run_at) SELECT 'a:b', 'x', n %% 10, "
        "now() + CASE WHEN n <= 20 THEN interval '1 hour' ELSE interval '-1 hour' END FROM generate_series(1, 50) AS n",
        [],
    )
    put_dead(conn)
    put_dead(conn)
    queue = queue_of(conn, cap=20)
    assert (queue.due, queue.due_capped, queue.later, queue.later_capped) == (20, True, 20, False)
    state = show_status(conn, cap=1)
    assert (state.dead, state.dead_capped) == (1, True)


def test_latency_is_the_time_for_which_the_oldest_due_job_has_been_due(conn: Connection) -> None:
    now = datetime.now(UTC)
    put_job(conn, priority=0, run_at=now - timedelta(seconds=10))
    put_job(conn, priority=9, run_at=now - timedelta(seconds=100))
    put_job(conn, queue="later", run_at=now + timedelta(hours=1))
    latency = queue_of(conn).latency_seconds
    assert latency is not None
    assert 99 < latency < 160
    assert queue_of(conn, "later").latency_seconds is None


def test_what_waits_for_its_turn_is_due_or_later_and_its_queue_is_seen(conn: Connection) -> None:
    now = datetime.now(UTC)
    waiting = {"status": "waiting", "queue": "turns"}
    put_job(conn, **waiting, lane="b", priority=9, run_at=now - timedelta(seconds=100))
    put_job(conn, **waiting, lane="b", priority=9, run_at=now - timedelta(seconds=10))
    put_job(conn, **waiting, lane="a", priority=0)
    put_job(conn, **waiting, lane="a", held="later", run_at=now + timedelta(hours=1))
    put_job(conn, **waiting, held="needs", needs=1, run_at=now - timedelta(seconds=1000))
    put_job(conn, **waiting, lane="a", held="task", run_at=now - timedelta(seconds=1000))
    put_job(conn, status="waiting", queue="late", lane="a", held="later", run_at=now + timedelta(hours=1))
    put_job(conn, status="waiting", queue="woken", lane="a", held="later", run_at=now - timedelta(seconds=100))
    found = {q.queue: (q.due, q.later, q.latency_seconds) for q in show_status(conn).queues}
    assert found == {
        "turns": (3, 1, pytest.approx(130, abs=31)),
        "late": (0, 1, None),
        "woken": (1, 0, pytest.approx(130, abs=31)),
    }
    assert [queue.name for queue in list_queues(conn)] == ["late", "turns", "woken"]
    turns = queue_of(conn, "turns", cap=2)
    assert (turns.due, turns.due_capped, turns.later, turns.later_capped) == (2, True, 1, False)


def test_jobs_that_are_due_at_infinity_are_counted_and_nothing_is_subtracted_from_it(conn: Connection) -> None:
    conn.execute("ALTER DOMAIN pgjobs.job_run_at DROP CONSTRAINT job_run_at_check")  # they may be older than that
    put_job(conn, run_at=datetime.now(UTC) - timedelta(seconds=100))
    put_job(conn, run_at=datetime.now(UTC) + timedelta(seconds=100))
    for name in ("default", "other"):
        for run_at in ("-infinity", "infinity"):
            conn.execute(
                "INSERT INTO pgjobs.jobs (queue, task, payload, run_at) VALUES (%s, 'm:f', 'x', %s)", [name, run_at]
            )
    queue, other = queue_of(conn), queue_of(conn, "other")
    assert (queue.due, queue.later, other.due, other.later) == (2, 2, 1, 1)
    assert queue.latency_seconds == pytest.approx(100, abs=50)
    assert other.latency_seconds is None
    for name, expected in (("default", pytest.approx(100, abs=50)), ("other", None)):
        assert conn.execute(statement("next_due"), {"queue": name}).fetchone() == (expected,)


def test_the_rate_is_of_the_last_minute(conn: Connection) -> None:
    now = datetime.now(UTC)
    for _ in range(30):
        put_job(conn, queue="mail", status="completed")
    put_job(conn, queue="mail", status="completed", finished_at=now - timedelta(minutes=5))
    assert queue_of(conn, "mail").rate_per_second == 0.5


def test_a_queue_that_does_not_keep_what_completes_has_no_rate(conn: Connection) -> None:
    put_job(conn, queue="mail", status="failed")
    assert queue_of(conn, "mail").rate_per_second
    keep_completed(conn, "mail", False)
    queue = queue_of(conn, "mail")
    assert (queue.keep_completed, queue.rate_per_second) == (False, None)


def test_a_queue_is_seen_by_its_running_jobs_its_letters_or_its_settings_alone(conn: Connection) -> None:
    put_job(conn, queue="running", status="running", worker_id=1)
    put_dead(conn, queue="dead", finished_at=datetime.now(UTC) - timedelta(hours=1))
    pause_queue(conn, "paused")
    state = show_status(conn)
    assert [(q.queue, q.running, q.dead, q.paused) for q in state.queues] == [
        ("dead", 0, 1, False),
        ("paused", 0, 0, True),
        ("running", 1, 0, False),
    ]
    assert state.dead == 1


def test_workers_are_shown_with_the_age_of_their_heartbeat(conn: Connection) -> None:
    put_worker(conn, {"mail": 20}, silent_for=40)
    (worker,) = show_status(conn).workers
    assert worker.queues == {"mail": 20}
    assert 40 <= worker.heartbeat_age_seconds < 70


def test_a_scan_that_takes_too_long_is_left_out_and_its_timeout_does_not_stay(
    conn: Connection, database_url: str
) -> None:
    put_job(conn)
    with psycopg.connect(database_url) as blocker:
        # The running jobs are counted last of all that reads the live partition; a lock makes everything wait.
        conn.execute("SET statement_timeout = '30s'")
        blocker.execute("LOCK TABLE pgjobs.jobs_history IN ACCESS EXCLUSIVE MODE")
        queue = queue_of(conn, timeout_ms=100)
    assert queue.due == 1
    assert queue.running == 0
    assert queue.rate_per_second is None
    assert conn.execute("SHOW statement_timeout").fetchone() == ("30s",)


def test_inside_a_transaction_of_the_caller_no_setting_stays(conn: Connection) -> None:
    with conn.transaction():
        show_status(conn)
        for name in (*LOOK_UPS, "statement_timeout"):
            expected = "0" if name == "statement_timeout" else "on"
            assert conn.execute("SELECT current_setting(%s)", [name]).fetchone() == (expected,)


@pytest.mark.parametrize("queues", [1, 3])
def test_depths_are_index_look_ups_whatever_the_statistics_say(conn: Connection, queues: int) -> None:
    conn.execute(
        "INSERT INTO pgjobs.jobs (queue, task, payload) "
        "SELECT 'q' || n %% %s, 'a:b', 'x' FROM generate_series(1, 20000) AS n",
        [queues],
    )
    conn.execute("ANALYZE pgjobs.jobs_live")
    with local_settings(conn, LOOK_UPS):
        plan = conn.execute(
            f"EXPLAIN (ANALYZE, COSTS OFF) {statement('queue_depths')}",
            {"cap": MAX_COUNTED, "lanes": 1000, "queues": [f"q{n}" for n in range(queues)]},
        ).fetchall()
    scans = [line for (line,) in plan if "on jobs_live" in line]
    assert len(scans) == 5
    assert [line for line in scans if "Index Scan using jobs_live_due" not in line] == []


@pytest.mark.parametrize("lanes", [1, 5000])
def test_what_waits_is_looked_up_by_index_and_lanes_without_end_are_not_all_looked_at(
    conn: Connection, lanes: int
) -> None:
    conn.execute(
        "INSERT INTO pgjobs.jobs (queue, task, payload, status, lane, held) SELECT 'q', 'a:b', 'x', 'waiting', "
        "'l' || n %% %s, CASE WHEN n %% 4 = 0 THEN 'later' END FROM generate_series(1, 20000) AS n",
        [lanes],
    )
    conn.execute("ANALYZE pgjobs.jobs_waiting")
    with local_settings(conn, LOOK_UPS):
        plan = conn.execute(
            f"EXPLAIN (ANALYZE, COSTS OFF) {statement('queue_depths')}", {"cap": 500, "lanes": 1000, "queues": ["q"]}
        ).fetchall()
    scans = [line for (line,) in plan if " on jobs_waiting" in line]
    assert len(scans) == 8
    assert [line for line in scans if not re.search("Scan using jobs_waiting_(turns|later) ", line)] == []
    for line in scans:
        rows, loops = map(float, re.findall(r"rows=([\d.]+) loops=(\d+)", line)[0])
        assert rows * loops <= 1000
    removed = [int(n) for (line,) in plan for n in re.findall(r"Rows Removed by .*: (\d+)", line)]
    assert all(n <= 10 for n in removed)  # names, and not jobs


def test_where_nothing_waits_for_its_turn_no_queue_is_asked_for_it_and_priorities_without_jobs_are_left_out(
    conn: Connection,
) -> None:
    names = [f"q{number}" for number in range(50)]
    conn.execute("INSERT INTO pgjobs.jobs (queue, task, payload) SELECT unnest(%s::text[]), 'a:b', 'x'", [names])
    with local_settings(conn, LOOK_UPS):
        values = {"cap": 10, "lanes": 5, "queues": names}
        plan = [row[0] for row in conn.execute(f"EXPLAIN (ANALYZE, COSTS OFF) {statement('queue_depths')}", values)]
    waiting = [line for line in plan if " on jobs_waiting" in line]
    assert [line for line in waiting if "never executed" not in line and "loops=1)" not in line] == []
    loops = [int(each) for line in plan if " on jobs_live" in line for each in re.findall(r"loops=(\d+)", line)]
    assert sum(loops) == 4 * len(names), "the first priority, the next one, and two counts"


def test_what_waits_for_others_is_counted_and_what_is_stuck_is_named(conn: Connection) -> None:
    letter = put_dead(conn, queue="img")
    index = put_job(conn, queue="index", status="waiting", held="needs", needs=1)
    mail = put_job(conn, queue="mail", status="waiting", held="needs", needs=1)
    put_job(conn, queue="mail", status="waiting", held="task")
    put_job(conn, queue="mail", status="waiting", lane="x")  # it waits for its turn: it is due
    for needed, job in ((letter, index), (index, mail)):
        conn.execute("INSERT INTO pgjobs.dependencies (needs_id, job_id) VALUES (%s, %s)", [needed, job])
    state = show_status(conn)
    assert {queue.queue: queue.waiting for queue in state.queues} == {"img": 0, "index": 1, "mail": 2}
    assert [(stuck.job_id, stuck.needs_id, stuck.state) for stuck in state.stuck] == [(index, letter, "dead")]


def test_stuck_jobs_are_those_of_some_queues_or_of_what_they_need(conn: Connection) -> None:
    letters = [put_dead(conn) for _ in range(3)]
    held = ("needs", "needs", "task")  # what waits for its task to be resumed may be stuck later
    jobs = [put_job(conn, queue=f"q{n}", status="waiting", held=what, needs=1) for n, what in enumerate(held)]
    for needed, job in zip(letters, jobs, strict=True):
        conn.execute("INSERT INTO pgjobs.dependencies (needs_id, job_id) VALUES (%s, %s)", [needed, job])
    assert [stuck.job_id for stuck in admin.stuck_jobs(conn)] == jobs[:2]
    assert [stuck.job_id for stuck in admin.stuck_jobs(conn, needs=letters[1:])] == [jobs[1]]
    assert [stuck.job_id for stuck in admin.stuck_jobs(conn, queues=["q0"])] == [jobs[0]]
