from __future__ import annotations

import re
import threading
from itertools import pairwise
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgjobs.admin import JobSelection, count_dead, discard_dead, list_dead, replay_dead, show_dead
from pgjobs.core.errors import NotFoundError, UsageError
from pgjobs.db.plan_settings import LOOK_UPS
from pgjobs.db.query import local_settings
from pgjobs.db.statements import doorbell_channel, statement
from tests.support.rows import ERRORS, count, letters_of, put_dead, put_job, row_of
from tests.support.worker import scalar

if TYPE_CHECKING:
    from psycopg import Connection


def test_letters_are_listed_newest_first_and_by_page(conn: Connection) -> None:
    ids = [put_dead(conn) for _ in range(4)]
    page = list_dead(conn, limit=2)
    assert [letter.id for letter in page] == [ids[3], ids[2]]
    assert [letter.id for letter in list_dead(conn, before=page[-1].id)] == [ids[1], ids[0]]


def test_letters_are_listed_by_queue_and_task(conn: Connection) -> None:
    put_dead(conn, queue="mail", task="a:f")
    wanted = put_dead(conn, queue="mail", task="b:f")
    put_dead(conn, queue="other", task="b:f")
    assert [letter.id for letter in list_dead(conn, queue="mail", task="b")] == [wanted]


def test_a_letter_is_shown_with_every_attempt(conn: Connection) -> None:
    assert show_dead(conn, put_dead(conn)).errors == ERRORS


def test_a_letter_that_is_not_there_is_named(conn: Connection) -> None:
    alive = put_job(conn)
    with pytest.raises(NotFoundError, match=f"no dead letter {alive}: the job is queued"):
        show_dead(conn, alive)
    with pytest.raises(NotFoundError, match="no dead letter 4711, and no job"):
        show_dead(conn, 4711)


def test_a_replay_puts_the_job_back_with_a_fresh_budget_and_its_history(conn: Connection) -> None:
    job = put_dead(conn, attempt=7, max_attempts=7, prior_attempts=2, worker_id=3, isolate=True, timeout=1.5)
    letter = show_dead(conn, job)
    assert replay_dead(conn, [job]).done == (job,)
    row = row_of(conn, job)
    assert (row["status"], row["attempt"], row["prior_attempts"], row["max_attempts"]) == ("queued", 7, 7, 12)
    assert (row["errors"], row["error"]) == (ERRORS, "ValueError: no")
    assert (row["worker_id"], row["started_at"], row["finished_at"], row["isolate"]) == (None, None, None, None)
    assert (row["enqueued_at"], row["timeout"]) == (letter.enqueued_at, 1.5)
    assert count(conn, "dead_jobs") == 0


def test_a_replayed_job_can_fail_and_be_replayed_again(conn: Connection) -> None:
    job = put_dead(conn, attempt=2, max_attempts=2)
    for life in (1, 2, 3):
        replay_dead(conn, [job])
        for _ in range(2):
            conn.execute(
                "UPDATE pgjobs.jobs SET status = 'running', attempt = attempt + 1, worker_id = 1 WHERE id = %s", [job]
            )
        assert row_of(conn, job)["attempt"] == row_of(conn, job)["max_attempts"] == 2 + 2 * life
        conn.execute(
            statement("fail"),
            {
                "ids": [job],
                "claim_numbers": [0],
                "errors": ["E"],
                "kinds": ["exception"],
                "tracebacks": [None],
                "worker_id": 1,
                "host": "h",
            },
        )
        assert len(show_dead(conn, job).errors) == 1 + life


def test_a_replay_rings_the_armed_doorbell(conn: Connection, database_url: str) -> None:
    job = put_dead(conn, queue="mail")
    conn.execute(
        "INSERT INTO pgjobs.queues (name, doorbell_until) VALUES ('mail', clock_timestamp() + interval '1 minute')"
    )
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute(f'LISTEN "{doorbell_channel("mail")}"')
        replay_dead(conn, [job])
        assert len(list(listener.notifies(timeout=5, stop_after=1))) == 1


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (JobSelection(), {"a", "b", "c"}),
        (JobSelection(queue="mail"), {"a", "b"}),
        (JobSelection(task="b"), {"b", "c"}),
        (JobSelection(queue="mail", task="b:*"), {"b"}),
        (JobSelection(queue="nothing"), set()),
    ],
)
def test_a_replay_can_be_of_a_queue_a_task_or_all(
    conn: Connection, selection: JobSelection, expected: set[str]
) -> None:
    ids = {
        "a": put_dead(conn, queue="mail", task="a:f"),
        "b": put_dead(conn, queue="mail", task="b:f"),
        "c": put_dead(conn, queue="other", task="b:g"),
    }
    assert count_dead(conn, selection) == len(expected)
    change = replay_dead(conn, selection)
    assert set(change.done) == {ids[name] for name in expected}
    assert count(conn, "dead_jobs") == 3 - len(expected)
    assert change.refused == ()


@pytest.mark.parametrize("number", [0, 1, 9, 10, 25])
def test_a_replay_of_many_goes_in_batches_and_tells_how_far_it_is(conn: Connection, number: int) -> None:
    ids = [put_dead(conn) for _ in range(number)]
    seen: list[int] = []
    change = replay_dead(conn, JobSelection(), batch=10, on_progress=seen.append)
    assert change.done == tuple(ids)
    assert seen == [*range(10, number + 1, 10), number]
    assert count(conn, "jobs_live") == number


def test_many_ids_go_in_batches_too(conn: Connection) -> None:
    ids = tuple(put_dead(conn) for _ in range(25))
    assert replay_dead(conn, [*reversed(ids), *ids], batch=10).done == tuple(reversed(ids))
    assert count(conn, "jobs_live") == 25


def test_every_batch_is_committed_by_itself(conn: Connection, database_url: str) -> None:
    for _ in range(15):
        put_dead(conn)
    with psycopg.connect(database_url, autocommit=True) as operator:
        seen: list[int] = []
        replay_dead(operator, JobSelection(), batch=10, on_progress=lambda _: seen.append(count(conn, "jobs_live")))
    assert seen == [10, 15]


def test_a_letter_that_dies_again_during_a_replay_is_left(conn: Connection, database_url: str) -> None:
    for _ in range(3):
        put_dead(conn)
    late: list[int] = []

    def die(done: int) -> None:
        if done < 3:
            with psycopg.connect(database_url, autocommit=True) as worker:
                late.append(put_dead(worker))

    assert len(replay_dead(conn, JobSelection(), batch=1, on_progress=die).done) == 3
    assert [letter.id for letter in list_dead(conn)] == late[::-1]


def test_ids_without_a_letter_are_refused_and_the_others_replayed(conn: Connection) -> None:
    dead, alive = put_dead(conn), put_job(conn)
    change = replay_dead(conn, [alive, dead, 4711])
    assert change.done == (dead,)
    assert [refusal.id for refusal in change.refused] == [alive, 4711]


def test_a_letter_of_a_job_that_is_live_again_goes_and_the_job_stays_as_it_is(conn: Connection) -> None:
    job, other = put_dead(conn), put_dead(conn)
    conn.execute("UPDATE pgjobs.jobs SET status = 'running', worker_id = 1 WHERE id = %s", [job])
    assert replay_dead(conn, JobSelection()).done == (other,)
    assert row_of(conn, job)["status"] == "running"
    assert count(conn, "dead_jobs") == 0


def test_two_replays_at_once_put_each_letter_back_once(conn: Connection, database_url: str) -> None:
    ids = {put_dead(conn) for _ in range(200)}
    done: list[tuple[int, ...]] = []
    gate = threading.Barrier(4)

    def run() -> None:
        with psycopg.connect(database_url, autocommit=True) as operator:
            gate.wait()
            done.append(replay_dead(operator, JobSelection(), batch=7).done)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    requeue_parked = [each for part in done for each in part]
    assert len(requeue_parked) == len(set(requeue_parked))
    # What one had locked the other left to it.
    assert set(requeue_parked) == ids
    assert count(conn, "jobs_live") == 200
    assert count(conn, "jobs_history") == count(conn, "dead_jobs") == 0


def test_a_letter_that_another_replay_has_locked_is_left_to_it(conn: Connection, database_url: str) -> None:
    job = put_dead(conn)
    with psycopg.connect(database_url) as slow:
        assert replay_dead(slow, JobSelection()).done == (job,)
        assert replay_dead(conn, JobSelection()).done == ()
        assert replay_dead(conn, [job]).done == ()
        slow.commit()
    assert row_of(conn, job)["status"] == "queued"
    assert row_of(conn, job)["attempt"] == 5


def test_a_discarded_letter_leaves_the_job_failed_in_history(conn: Connection) -> None:
    job, other = put_dead(conn), put_dead(conn)
    assert discard_dead(conn, [job]).done == (job,)
    assert row_of(conn, job)["status"] == "failed"
    assert [letter.id for letter in list_dead(conn)] == [other]


def test_many_are_discarded_in_batches(conn: Connection) -> None:
    for _ in range(25):
        put_dead(conn)
    seen: list[int] = []
    assert len(discard_dead(conn, JobSelection(), batch=10, on_progress=seen.append).done) == 25
    assert seen == [10, 20, 25]
    assert count(conn, "dead_jobs") == 0


@pytest.mark.parametrize("name", ["replay_dead", "requeue_jobs"])
def test_rows_are_looked_up_in_history_whatever_the_statistics_say(conn: Connection, name: str) -> None:
    conn.execute(
        "WITH failed AS ("
        "    INSERT INTO pgjobs.jobs (status, finished_at, task, payload, attempt) "
        "    SELECT 'failed', now(), 'a:b', 'x', 5 FROM generate_series(1, 5000) RETURNING *) "
        f"INSERT INTO pgjobs.dead_jobs {letters_of('failed')}"
    )
    conn.execute("ANALYZE pgjobs.jobs_history, pgjobs.dead_jobs")
    ended_at = [scalar(conn, "SELECT max(finished_at) FROM pgjobs.dead_jobs")]
    used = {"ids": list(range(1, 4000)), "ended_at": ended_at, "places": 0, "spacing": 0.0}
    with local_settings(conn, LOOK_UPS):
        plan = [line for (line,) in conn.execute(f"EXPLAIN {statement(name)}", used)]
    scans = [line for line in plan if "Scan" in line and re.search(r" on (jobs_history|dead_jobs)", line)]
    assert len(scans) >= 2
    assert [line for line in scans if "Index Scan" not in line] == []


def test_letters_that_are_replayed_at_a_rate_become_due_one_after_another(conn: Connection) -> None:
    letters = [put_dead(conn) for _ in range(4)] + [put_dead(conn, lane="x")]
    assert replay_dead(conn, letters, rate="120/min", batch=2).done == tuple(letters)
    rows = [row_of(conn, letter) for letter in letters]
    gaps = [(later["run_at"] - row["run_at"]).total_seconds() for row, later in pairwise(rows)]
    assert gaps[::2] == [0.5, 0.5], "within a batch, which is a transaction"
    assert min(gaps) >= 0.5
    assert [(row["status"], row["held"]) for row in rows[3:]] == [("queued", None), ("waiting", "later")]
    with pytest.raises(UsageError, match="rate="):
        replay_dead(conn, letters, rate="soon")
