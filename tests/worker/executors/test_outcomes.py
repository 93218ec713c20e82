"""Every way for a callable to end is an outcome, in each executor, and stops no other job."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgjobs import enqueue, enqueue_many
from tests.support import tasks
from tests.support.processes import is_alive
from tests.support.rows import put_job, row_of
from tests.support.tasks_ends import TRACES, end, end_async, end_of_coroutine
from tests.support.worker import wait_for, work

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.support.postgres import Server

EXECUTORS = ("thread", "async", "process")
HEALTHY = 1000
SLACK = 300  # characters that the cut in a traceback takes


@dataclass
class Ended:
    """What happened to all jobs of one run."""

    conn: psycopg.Connection
    traces: Path
    jobs: dict[tuple[str, str], int] = field(default_factory=dict)
    healthy: list[int] = field(default_factory=list)
    survivors: list[Path] = field(default_factory=list)  # what jobs started, and was there before the worker's end
    log: str = ""

    def row(self, executor: str, name: str) -> dict[str, Any]:
        """Return the row of the job that ended this way."""
        return row_of(self.conn, self.jobs[executor, name])

    def letter(self, executor: str, name: str) -> list[dict[str, Any]]:
        """Return the errors of its dead letter."""
        found = self.conn.execute(
            "SELECT errors FROM pgjobs.dead_jobs WHERE id = %s", [self.jobs[executor, name]]
        ).fetchone()
        assert found is not None, f"no dead letter; the job is {self.row(executor, name)}"
        errors: list[dict[str, Any]] = found[0]
        return errors


# What raises, and the error that its row and its letter show.
ERRORS = {
    "raise": "ValueError: no",
    "raise BaseException": "OddError: odd",
    "raise SystemExit": "SystemExit: 3",
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "raise GeneratorExit": "GeneratorExit",
    "raise CancelledError": "CancelledError",
    "raise TimeoutError": "TimeoutError: of its own",
    "return a generator": "UsageError: _numbers returned a generator, and none of its code has run: make the job a "
    "function that uses the generator.",
    "raise a group": "ExceptionGroup: several (2 sub-exceptions): ValueError: one; KeyError: 'two'",
    "raise a long chain": "RuntimeError: 2999",
    "raise what cannot be pickled": "WithLockError: has a lock",
    "raise what cannot be unpickled": "WithTwoError: two words",
    "raise what cannot be printed": "UnprintableError: <UnprintableError that cannot be printed>",
    "raise what lies about its class": "LyingError, and looking at it raised OddError",
    "raise NUL and surrogates": "ValueError: a\\x00b\\ud800c d",
    "retry": "Retry: the job asked to be retried",
}
COMPLETE = (
    *("return", "return a lock", "fork", "fork and sleep", "start threads", "print"),
    "change directory",
)
# What ends the process that it runs in, and how that is told.
DEATHS = {
    "os._exit(1)": "exit code 1",
    "os._exit(0)": "exit code 0",
    "segfault": "killed by SIGSEGV",
    "SIGKILL": "killed by SIGKILL",
}
OTHERS = (
    *("return a coroutine", "raise StopIteration", "raise what has no name", "raise a huge message", "recurse"),
    *("snooze", "cancel", "retry in"),
)


@pytest.fixture(scope="module")
def ended(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    """Run them all, those that end their worker in one worker process with a thousand healthy jobs."""
    url, traces = server.create(), tmp_path_factory.mktemp("traces")
    with psycopg.connect(url, autocommit=True) as conn:
        found = Ended(conn, traces)
        found.healthy += _many(conn, tasks.healthy, range(0, HEALTHY, 2))
        for executor in EXECUTORS:
            for name in (*ERRORS, *COMPLETE, *OTHERS):
                _add(conn, found, executor, name, attempts=2 if name == "retry in" else 1)
        for name in DEATHS:
            _add(conn, found, "process", name)
            _add(conn, found, "thread", name, attempts=2, queue="rough")
            _add(conn, found, "async", name, attempts=2, queue="rough")
        _add(conn, found, "process", "close all files")
        _add(conn, found, "process", "sleep with a child", timeout=1.0)
        _add(conn, found, "thread", "sleep in steps", timeout=0.3)
        _add(conn, found, "thread", "sleep in steps, except Exception", timeout=0.3)
        for name in ("sleep", "swallow and return"):
            _add(conn, found, "async", name, timeout=0.3, job=end_of_coroutine)
        for name in ("exit in a task", "stop the loop"):
            _add(conn, found, "async", name, job=end_of_coroutine)
        _add(conn, found, "thread", "coroutine in time", timeout=0.3, job=end_of_coroutine, argument="sleep")
        for executor in ("thread", "process"):
            for name, payload in PAYLOADS.items():
                found.jobs[executor, name] = put_job(
                    conn, max_attempts=1, payload=payload, task=f"tests:{name}", executor=executor
                )
        found.healthy += _many(conn, tasks.healthy_async, range(1, HEALTHY, 2))
        with (
            work(url, "-q", "default:8", env={TRACES: str(traces)}) as calm,
            work(url, "-q", "rough:8", env={TRACES: str(traces)}) as rough,
        ):
            wait_for(
                conn,
                "NOT EXISTS (SELECT FROM pgjobs.jobs_live "
                "WHERE status = 'running' OR run_at < now() + interval '1000 s')",
                60,
                lambda: calm.output[-5000:] + rough.output[-5000:],
            )
            found.survivors = [
                child for child in traces.glob("child-*") if is_alive(int(child.name.removeprefix("child-")))
            ]
            assert calm.stop() == 0
            assert rough.stop() == 0
            found.log = calm.output + rough.output
        yield found
    server.drop(url)


def _many(conn: psycopg.Connection, job: Any, numbers: Iterable[int]) -> list[int]:
    return [handle.id for handle in enqueue_many(conn, job.options(queue="rough"), [(n,) for n in numbers])]


def _add(
    conn: psycopg.Connection,
    found: Ended,
    executor: str,
    name: str,
    *,
    attempts: int = 1,
    job: Any = None,
    argument: str | None = None,
    timeout: float | None = None,
    queue: str = "default",
) -> None:
    if job is None:
        job = end_async if executor == "async" else end
    options = job.options(max_attempts=attempts, executor=executor, timeout=timeout, queue=queue)
    found.jobs[executor, name] = enqueue(conn, options, argument or name).id


PAYLOADS = {
    "module missing": b"c" + b"tests.deleted\nfunction\n" + b"(t}\x87.",
    "attribute missing": b"c" + b"tests.support.tasks\nremoved\n" + b"(t}\x87.",
    "garbage": b"\x80\x05 no pickle",
    "empty": b"",
    "no call": pickle.dumps(42),
}


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", COMPLETE)
def test_a_job_that_returns_is_completed(ended: Ended, executor: str, name: str) -> None:
    row = ended.row(executor, name)
    assert (row["status"], row["attempt"], row["error"]) == ("completed", 1, None)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", ERRORS)
def test_a_job_that_raises_fails_with_that_error(ended: Ended, executor: str, name: str) -> None:
    row = ended.row(executor, name)
    assert (row["status"], row["error"]) == ("failed", ERRORS[name])
    (entry,) = ended.letter(executor, name)
    assert entry["error"] == ERRORS[name]
    assert entry["attempt"] == 1


@pytest.mark.parametrize("executor", EXECUTORS)
def test_the_traceback_shows_where_it_was_raised(ended: Ended, executor: str) -> None:
    (entry,) = ended.letter(executor, "raise")
    assert "tasks_ends.py" in entry["traceback"]
    assert entry["traceback"].rstrip().endswith("ValueError: no")


@pytest.mark.parametrize("executor", EXECUTORS)
def test_an_error_whose_class_has_no_name_is_an_outcome(ended: Ended, executor: str) -> None:
    assert ended.row(executor, "raise what has no name")["status"] == "failed"
    assert ended.letter(executor, "raise what has no name")


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_stop_iteration_is_an_outcome(ended: Ended, executor: str) -> None:
    row = ended.row(executor, "raise StopIteration")
    assert row["status"] == "failed"
    assert "StopIteration" in row["error"]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_endless_recursion_is_an_outcome_with_a_bounded_traceback(ended: Ended, executor: str) -> None:
    (entry,) = ended.letter(executor, "recurse")
    assert entry["error"].startswith("RecursionError: maximum recursion depth exceeded")
    assert len(entry["traceback"]) < 8_000 + SLACK


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_huge_message_is_cut(ended: Ended, executor: str) -> None:
    (entry,) = ended.letter(executor, "raise a huge message")
    assert entry["error"].startswith("ValueError: xxx")
    assert len(entry["error"]) == 500
    assert len(entry["traceback"]) < 8_000 + SLACK


@pytest.mark.parametrize("executor", EXECUTORS)
def test_snooze_queues_it_again_later_and_the_attempt_does_not_count(ended: Ended, executor: str) -> None:
    row = ended.row(executor, "snooze")
    assert (row["status"], row["attempt"], row["error"], row["worker_id"]) == ("queued", 0, None, None)
    assert 4000 < _seconds_ahead(ended, row) <= 5000


@pytest.mark.parametrize("executor", EXECUTORS)
def test_cancel_ends_it_as_cancelled_with_its_reason(ended: Ended, executor: str) -> None:
    row = ended.row(executor, "cancel")
    assert (row["status"], row["error"]) == ("cancelled", "not needed\\x00any more")


@pytest.mark.parametrize("executor", EXECUTORS)
def test_retry_with_seconds_queues_it_again_then_and_counts_the_attempt(ended: Ended, executor: str) -> None:
    row = ended.row(executor, "retry in")
    assert (row["status"], row["attempt"], row["error"]) == ("queued", 1, "Retry: busy")
    assert 4000 < _seconds_ahead(ended, row) <= 5000


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_coroutine_that_a_function_returned_is_run(ended: Ended, executor: str) -> None:
    row = ended.row(executor, "return a coroutine")
    assert (row["status"], row["error"]) == ("failed", "ValueError: from the coroutine")


@pytest.mark.parametrize("name", DEATHS)
@pytest.mark.parametrize("executor", ["thread", "async"])
def test_a_job_that_ends_its_worker_is_tried_in_a_process_of_its_own_and_fails(
    ended: Ended, executor: str, name: str
) -> None:
    assert ended.row(executor, name)["status"] == "failed"
    first, second = ended.letter(executor, name)
    assert first["error"].startswith("its worker process died while it ran: ")
    assert second["error"] == f"its process died: {DEATHS[name]}"


@pytest.mark.parametrize("name", DEATHS)
def test_a_job_that_ends_its_own_process_fails_with_the_way_it_died(ended: Ended, name: str) -> None:
    row = ended.row("process", name)
    assert (row["status"], row["error"]) == ("failed", f"its process died: {DEATHS[name]}")


def test_a_process_that_closes_all_its_files_is_an_outcome(ended: Ended) -> None:
    row = ended.row("process", "close all files")
    assert row["status"] == "failed"
    assert row["error"].startswith("its process died: ")


def test_a_process_past_its_timeout_is_killed_with_its_children(ended: Ended) -> None:
    row = ended.row("process", "sleep with a child")
    assert (row["status"], row["error"]) == ("failed", "JobTimeout: ran longer than its 1 s, and was killed")
    assert len(list(ended.traces.glob("child-*"))) == 1
    assert ended.survivors == []


@pytest.mark.parametrize("name", ["sleep in steps", "sleep in steps, except Exception"])
def test_a_thread_past_its_timeout_gets_an_exception(ended: Ended, name: str) -> None:
    row = ended.row("thread", name)
    assert (row["status"], row["error"]) == ("failed", "JobTimeout: ran longer than its 0.3 s")
    assert "tasks_ends.py" in ended.letter("thread", name)[0]["traceback"]


def test_a_coroutine_past_its_timeout_is_cancelled(ended: Ended) -> None:
    row = ended.row("async", "sleep")
    assert (row["status"], row["error"]) == ("failed", "JobTimeout: ran longer than its 0.3 s")


def test_a_coroutine_in_a_thread_past_its_timeout_is_cancelled(ended: Ended) -> None:
    row = ended.row("thread", "coroutine in time")
    assert (row["status"], row["error"]) == ("failed", "JobTimeout: ran longer than its 0.3 s")


def test_a_coroutine_that_returns_although_it_was_cancelled_is_completed(ended: Ended) -> None:
    assert ended.row("async", "swallow and return")["status"] == "completed"


@pytest.mark.parametrize("name", ["exit in a task", "stop the loop"])
def test_a_coroutine_cannot_end_the_event_loop(ended: Ended, name: str) -> None:
    assert ended.row("async", name)["status"] == "completed"


@pytest.mark.parametrize("executor", ["thread", "process"])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("module missing", "No module named 'tests.deleted'"),
        ("attribute missing", "removed"),
        ("garbage", "damaged"),
        ("empty", "damaged"),
        ("no call", "damaged"),
    ],
)
def test_a_payload_that_cannot_be_loaded_is_an_outcome(ended: Ended, executor: str, name: str, reason: str) -> None:
    row = ended.row(executor, name)
    assert row["status"] == "failed"
    assert row["error"].startswith("PayloadError: the payload cannot be loaded")
    assert reason in row["error"]


def test_the_thousand_healthy_jobs_beside_them_are_completed(ended: Ended) -> None:
    completed = ended.conn.execute(
        "SELECT count(*), count(DISTINCT id) FROM pgjobs.jobs WHERE id = ANY (%s) AND status = 'completed'",
        [ended.healthy],
    ).fetchone()
    assert completed == (HEALTHY, HEALTHY)


def test_each_job_is_in_one_place(ended: Ended) -> None:
    rows = ended.conn.execute("SELECT id FROM pgjobs.jobs GROUP BY id HAVING count(*) > 1").fetchall()
    assert rows == []


def test_each_failed_job_has_a_dead_letter_and_nothing_else_has(ended: Ended) -> None:
    rows = ended.conn.execute(
        "SELECT id FROM pgjobs.jobs WHERE status = 'failed' EXCEPT SELECT id FROM pgjobs.dead_jobs"
    ).fetchall()
    assert rows == []
    rows = ended.conn.execute(
        "SELECT id FROM pgjobs.dead_jobs EXCEPT SELECT id FROM pgjobs.jobs WHERE status = 'failed'"
    ).fetchall()
    assert rows == []


def test_nothing_of_pgjobs_itself_broke(ended: Ended) -> None:
    assert "broke" not in ended.log
    assert "Exception in thread" not in ended.log


def _seconds_ahead(ended: Ended, row: dict[str, Any]) -> float:
    found = ended.conn.execute("SELECT extract(epoch FROM %s - now())", [row["run_at"]]).fetchone()
    assert found is not None
    return float(found[0])
