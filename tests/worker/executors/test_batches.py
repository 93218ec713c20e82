"""Jobs that are enqueued one by one and run together, with the real worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from pgjobs import admin, configure, enqueue, enqueue_many, result
from pgjobs.jobs.outcome import Failed, Retried
from pgjobs.payload.encoder import encoder_for
from pgjobs.payload.signing import sign, signed_fields
from pgjobs.worker.executors.invoke import open_payload
from pgjobs.worker.local.claimed_batch import batch_of
from tests.support import postgres, tasks_batches, tasks_effects
from tests.support.claimed import claimed_job
from tests.support.processes import wait_until
from tests.support.rows import row_of
from tests.support.tasks import URL
from tests.support.worker import Work, work


@pytest.fixture(scope="module")
def shared_url(server: postgres.Server) -> Iterator[str]:
    """The database of all tests here, so that one worker is enough."""
    url = server.take()
    yield url
    server.give_back(url)


@pytest.fixture(scope="module")
def worker(shared_url: str) -> Iterator[Work]:
    options = ("-q", "default:4", "--processes", "1", "--import", "tests.support.tasks_batches")
    with work(shared_url, *options, env={URL: shared_url}) as running:
        yield running


@pytest.fixture
def conn(shared_url: str, worker: Work) -> Iterator[psycopg.Connection]:
    with psycopg.connect(shared_url, autocommit=True) as conn:
        conn.execute("DROP TABLE IF EXISTS calls")
        conn.execute("DROP TABLE IF EXISTS effects")
        conn.execute(tasks_batches.CALLS)
        conn.execute(tasks_effects.EFFECTS)
        yield conn


Run = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def run(conn: psycopg.Connection) -> Run:
    """Enqueue a job for each item, wait until none of them can run any further, and return their rows."""

    def run(task: Any, items: list[Any]) -> list[dict[str, Any]]:
        with conn.transaction():
            ids = [handle.id for handle in enqueue_many(conn, task, [(item,) for item in items])]
        left = """SELECT count(*) FROM pgjobs.jobs WHERE id = ANY (%s)
                  AND status IN ('waiting', 'running', 'queued') AND run_at < now() + interval '1 minute'"""
        wait_until(lambda: conn.execute(left, [ids]).fetchone() == (0,))
        return [row_of(conn, job) for job in ids]

    return run


def calls(conn: psycopg.Connection) -> list[list[Any]]:
    """Return the items of each call, in their order."""
    return [row[0] for row in conn.execute("SELECT items FROM calls ORDER BY n")]


def ends(rows: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(row["status"], row["attempt"]) for row in rows]


ALL_EXECUTORS = pytest.mark.parametrize("name", ["gather", "gather_on_loop", "gather_apart"])


@ALL_EXECUTORS
def test_jobs_of_a_batch_are_handed_over_together(conn: psycopg.Connection, run: Run, name: str) -> None:
    rows = run(getattr(tasks_batches, name), list(range(23)))
    assert ends(rows) == [("completed", 1)] * 23
    assert sorted(map(len, calls(conn))) == [3, 10, 10]
    assert sorted(item for call in calls(conn) for item in call) == list(range(23))


@ALL_EXECUTORS
def test_only_the_job_that_fails_is_charged_an_attempt(conn: psycopg.Connection, run: Run, name: str) -> None:
    items = ["good", "poison", *["good"] * 8]
    rows = run(getattr(tasks_batches, name), items)
    assert ends(rows) == [("failed" if item == "poison" else "completed", 1) for item in items]
    assert "PoisonError: no" in rows[1]["error"]
    assert len(calls(conn)) == 9  # 10, 5 and 5, 3 and 2, 2 and 1, 1 and 1


@pytest.mark.parametrize("name", ["gather", "gather_on_loop"])
def test_a_job_whose_exception_cannot_be_looked_at_fails_alone(run: Run, name: str) -> None:
    rows = run(getattr(tasks_batches, name), ["good", "lie", "good"])
    assert ends(rows) == [("completed", 1), ("failed", 1), ("completed", 1)]
    assert rows[1]["error"] == "LyingError, and looking at it raised OddError"


def test_three_of_a_thousand_jobs_fail_and_no_other_is_charged(conn: psycopg.Connection, run: Run) -> None:
    items = ["poison" if number in (17, 512, 940) else "good" for number in range(1_000)]
    rows = run(tasks_batches.hundred, items)
    assert ends(rows) == [("failed" if item == "poison" else "completed", 1) for item in items]
    assert len(calls(conn)) <= 10 + 3 * 14


def test_one_that_hangs_is_found_by_its_timeout(conn: psycopg.Connection, run: Run) -> None:
    rows = run(tasks_batches.gather_in_time, ["good", "sleep", "good", "good"])
    assert [row["status"] for row in rows] == ["completed", "failed", "completed", "completed"]
    assert "JobTimeout" in rows[1]["error"]


def test_where_all_fail_the_others_are_put_back_uncharged(conn: psycopg.Connection, run: Run) -> None:
    rows = run(tasks_batches.never, list(range(40)))
    assert sorted({(row["status"], row["attempt"]) for row in rows}) == [("failed", 1), ("waiting", 0)]
    # Eight tell; as many halves as there are slots may be under way then, each of two jobs.
    assert 8 <= sum(row["status"] == "failed" for row in rows) <= 16
    assert len(calls(conn)) < 2 * 40 - 1  # the calls of all halves


def test_batches_are_of_one_key(conn: psycopg.Connection, run: Run) -> None:
    run(tasks_batches.gather_by_tenant, [{"tenant": "ab"[n % 2], "n": n} for n in range(20)])
    assert sorted("".join({item["tenant"] for item in call}) for call in calls(conn)) == ["a", "b"]


def test_a_batch_ends_where_its_payloads_are_too_large(conn: psycopg.Connection, run: Run) -> None:
    run(tasks_batches.gather_bytes, ["x" * 2_000] * 3)
    assert calls(conn) == [[2_000, 2_000], [2_000]]


def test_results_go_to_each_job(conn: psycopg.Connection, run: Run) -> None:
    rows = run(tasks_batches.double, [1, 2, 3])
    assert [result(conn, row["id"], timeout=5) for row in rows] == [2, 4, 6]


def test_a_list_of_another_length_fails_all(run: Run) -> None:
    (row, *others) = run(tasks_batches.too_few, [1, 2, 3])
    assert ends([row, *others]) == [("failed", 1)] * 3
    assert "the batch returned 2 results for 3 items" in row["error"]


@pytest.mark.parametrize("last", [7, -1])
def test_the_function_says_what_single_jobs_have_come_to(conn: psycopg.Connection, run: Run, last: int) -> None:
    rows = run(tasks_batches.one_by_one, [0, 1, 2, 3, 4, 5, 6, last])
    assert ends(rows) == [
        *(("completed", 2), ("waiting", 1), ("failed", 1), ("failed", 1), ("cancelled", 1), ("waiting", 0)),
        *(("completed", 1), ("completed", 1)),
    ]
    assert [row["error"] for row in rows[1:4]] == ["Retry: later", "ValueError: bad", "no such thing"]
    assert result(conn, rows[6]["id"], timeout=5) == "item 6"


def test_a_wish_is_for_the_whole_batch(conn: psycopg.Connection, run: Run) -> None:
    assert ends(run(tasks_batches.wishes, [1, 2, 3])) == [("waiting", 0)] * 3
    assert len(calls(conn)) == 1


def test_effects_and_ends_are_one_commit(conn: psycopg.Connection, run: Run) -> None:
    rows = run(tasks_batches.at_once, list(range(10)))
    assert ends(rows) == [("completed", 1)] * 10
    assert conn.execute("SELECT count(DISTINCT xmin::text), count(*) FROM effects").fetchone() == (1, 10)


@pytest.mark.parametrize("name", ["within", "within_async"])
def test_a_batch_in_a_transaction_of_its_worker_is_one_commit_and_halved_where_it_fails(
    conn: psycopg.Connection, run: Run, name: str
) -> None:
    rows = run(getattr(tasks_batches, name), list(range(10)))
    assert ends(rows) == [("completed", 1)] * 10
    assert conn.execute("SELECT count(DISTINCT xmin::text), count(*) FROM effects").fetchone() == (1, 10)
    rows = run(getattr(tasks_batches, name), ["good", "poison", "outcomes", "good"])
    assert ends(rows) == [("completed", 1), ("failed", 1), ("failed", 1), ("completed", 1)]
    assert "PoisonError: rolled back" in rows[1]["error"]
    assert "gave Outcomes, and with transaction=True" in rows[2]["error"]
    assert conn.execute("SELECT count(*) FROM effects").fetchone() == (12,)


def test_what_is_rolled_back_is_halved_and_what_is_committed_is_not(
    conn: psycopg.Connection, run: Run, worker: Work
) -> None:
    rows = run(tasks_batches.at_once, ["good", "raises before the commit", "good"])
    assert ends(rows) == [("completed", 1), ("failed", 2), ("completed", 1)]
    rows = run(tasks_batches.at_once, ["good", "raises after the commit", "good"])
    assert ends(rows) == [("completed", 1)] * 3
    assert conn.execute("SELECT count(*) FROM effects").fetchone() == (5,)


@pytest.mark.parametrize("name", ["at_once", "at_once_apart"])
def test_a_job_whose_payload_cannot_be_loaded_is_not_completed_with_the_others(
    conn: psycopg.Connection, name: str
) -> None:
    with conn.transaction():
        ids = [handle.id for handle in enqueue_many(conn, getattr(tasks_batches, name), [(0,), (1,), (2,)])]
        conn.execute("UPDATE pgjobs.jobs_waiting SET payload = 'broken', max_attempts = 1 WHERE id = %s", ids[:1])
    wait_until(lambda: conn.execute("SELECT count(*) FROM pgjobs.dead_jobs WHERE id = %s", ids[:1]).fetchone() == (1,))
    wait_until(lambda: [row_of(conn, job)["status"] for job in ids] == ["failed", "completed", "completed"])
    assert conn.execute("SELECT array_agg(job ORDER BY job) FROM effects").fetchone() == (ids[1:],)


def test_each_job_of_a_batch_is_verified_and_loaded_by_itself() -> None:
    """Though what they call is looked up once for all of them."""
    key = b"k" * 32
    configure(signing_keys=(key,))
    dump = encoder_for(tasks_batches.gather)._dumper.dump
    whole = dump((0,), {})
    payloads = [*(dump((n,), {}) for n in range(3)), whole[:-3] + b"?.", b"?", dump((), {"items": 5}), dump((6,), {})]
    jobs = []
    for at, payload in enumerate(payloads):
        job = claimed_job(at + 1, task="tests.support.tasks_batches:gather", payload=payload)
        job.signature = None if at == 2 else sign(key, signed_fields(job), payload)
        jobs.append(job)
    jobs[-1].timeout = 9.0  # changed after it was signed
    batch = batch_of(jobs)
    call = open_payload(batch)
    assert call.args == ([0, 1, 5],)
    assert [job.id for job in batch.together] == [1, 2, 6]
    assert {place: type(outcome) for place, outcome in batch.ended.items()} == {
        2: Failed,
        3: Retried,
        4: Retried,
        6: Failed,
    }


def test_a_job_that_kills_its_worker_is_found_and_no_other_is_charged(conn: psycopg.Connection, run: Run) -> None:
    rows = run(tasks_batches.gather, ["good", "kill", "good", "good"])
    assert ends(rows) == [("completed", 1), ("failed", 1), ("completed", 1), ("completed", 1)]
    assert sorted(map(len, calls(conn))) == [1, 1, 1, 1, 4]


def test_a_job_that_kills_its_child_process_is_found_by_halves(conn: psycopg.Connection, run: Run) -> None:
    rows = run(tasks_batches.gather_apart, ["good", "kill", "good", "good"])
    assert ends(rows) == [("completed", 1), ("failed", 1), ("completed", 1), ("completed", 1)]
    assert sorted(map(len, calls(conn))) == [1, 1, 2, 2, 4]


def test_a_batch_job_of_a_plain_row_is_a_batch_of_one(conn: psycopg.Connection, run: Run) -> None:
    with conn.transaction():
        job = conn.execute(
            "SELECT pgjobs.enqueue(%s, '[7]'::jsonb)", ["tests.support.tasks_batches:of_json"]
        ).fetchone()
    assert job is not None
    wait_until(lambda: calls(conn) == [[7]])


def test_a_batch_that_waits_for_more_jobs_holds_no_slot(conn: psycopg.Connection, run: Run) -> None:
    handle = enqueue(conn, tasks_batches.gather_patiently, 1)
    run(tasks_batches.gather, [1])
    assert row_of(conn, handle.id)["status"] == "waiting"
    conn.execute("DELETE FROM pgjobs.jobs WHERE id = %s", [handle.id])


def test_force_ends_the_call_and_the_others_run_again(conn: psycopg.Connection, run: Run) -> None:
    with conn.transaction():
        handles = enqueue_many(conn, tasks_batches.gather_or_sleep, [("sleep",), ("good",), ("good",)])
    wait_until(lambda: len(calls(conn)) == 1)
    admin.cancel_jobs(conn, [handles[0].id], force=True)
    wait_until(
        lambda: (
            ends([row_of(conn, handle.id) for handle in handles])
            == [("cancelled", 1), ("completed", 1), ("completed", 1)]
        )
    )
