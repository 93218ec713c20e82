"""A worker, or its supervisor, is killed right before and right after each statement that it sends, once each.

Statements that end one job and claim the next come late, and are counted by themselves.

They take turns: some are tried in a run, and all in `make crash-points`, which takes minutes.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pgjobs import Workflow, broadcast, enqueue, enqueue_many
from pgjobs.admin import set_limit, show_broadcast
from pgjobs.db.workflow_ends import sweep_workflows
from pgjobs.flow.limits import LimitSettings
from tests.support import tasks, tasks_effects, tasks_pipelines, tasks_wear
from tests.support.processes import ROOT, wait_until
from tests.support.worker import QUICK, scalar, work

if TYPE_CHECKING:
    import psycopg

pytestmark = pytest.mark.in_turns(28)
WHENS = ("before", "after")
LATE = {
    "complete_and_continue_sequences": 3,
    "complete_and_refill_limits": 3,
    "complete_and_release": 3,
    "due_workflows": 3,
    "enqueue_many_in_lane": 2,
    "claim_batches": 1,
}
"""Statements, and how often they are sent at least: one may pass on all items to a stage, or claim all batches."""
LATE_POINTS = [(name, number) for name, most in LATE.items() for number in range(1, most + 1)]
KEEPING = ["complete_with_results", "write_step", "write_progress"]
WITHIN = ["complete_within", "complete_within_with_result", "write_step_within"]
BROADCASTING = {
    "claim_broadcast": {"before": "gone", "after": "gone"},
    "end_broadcast": {"before": "gone", "after": "completed"},
}
"""What the row of the killed process says in the end."""
CRASH = ROOT / "tests" / "support" / "crash"


def put_jobs(conn: psycopg.Connection) -> None:
    """Enqueue some jobs of every kind of end."""
    tasks.make_seen(conn)
    enqueue_many(conn, tasks.note, [(f"note {n}",) for n in range(10)])
    enqueue_many(conn, tasks.note.options(sequence="s"), [(f"note {n}",) for n in range(10, 18)])
    set_limit(conn, "api", LimitSettings(2))
    enqueue_many(conn, tasks.note.options(limit="api"), [(f"note {n}",) for n in range(18, 26)])
    enqueue_many(conn, tasks.note_together, [(f"note {n}",) for n in range(30, 38)])
    enqueue(conn, tasks.snooze_until, 2, "snoozed")
    enqueue(conn, tasks.fail_until.options(max_attempts=9), 2)
    enqueue(conn, tasks.always_fail.options(max_attempts=1))
    enqueue(conn, tasks.cancel, "enough")
    enqueue_many(conn, tasks_pipelines.crossing, [(f"note {n}",) for n in range(38, 42)])
    enqueue_many(conn, tasks_effects.note_and_return, [(f"note {n}",) for n in range(26, 30)])
    flow = Workflow("chain")
    step = flow.add(tasks.note, "note 42")
    for n in range(43, 48):
        step = flow.add(tasks.note.options(after=[step]), f"note {n}")
    flow.on_completed(tasks.note, "note 48")
    enqueue(conn, flow)


def check(conn: psycopg.Connection) -> None:
    """Look at the tables and at what the jobs left."""
    ends: dict[str, int] = dict(conn.execute("SELECT status, count(*) FROM pgjobs.jobs GROUP BY status").fetchall())
    assert ends == {"completed": 55, "failed": 1, "cancelled": 1}
    assert scalar(conn, "SELECT count(*) FROM pgjobs.dead_jobs") == 1
    assert scalar(conn, "SELECT count(DISTINCT what) FROM seen WHERE what LIKE 'note %'") == 49
    # What is kept of a job is there once, and is its own: what it returned, the step that it did, how far it has come.
    kept = conn.execute(
        "SELECT convert_from(r.value, 'UTF8'), p.state ->> 'what' FROM pgjobs.results AS r JOIN pgjobs.jobs AS j"
        " ON j.id = r.job_id JOIN pgjobs.job_steps AS s ON s.job_id = j.id"
        " LEFT JOIN pgjobs.progress AS p ON p.job_id = j.id"
    ).fetchall()
    assert sorted(result for result, _ in kept) == [f'"note {n}"' for n in range(26, 30)]
    assert all(state in (None, json.loads(result)) for result, state in kept)
    query = "SELECT s.job FROM seen AS s JOIN pgjobs.jobs AS j ON j.id = s.job WHERE j.sequence = 's' ORDER BY s.began"
    steps = [row[0] for row in conn.execute(query).fetchall()]
    assert steps == sorted(steps)
    flows = "SELECT status, completed, steps FROM pgjobs.workflows"
    assert conn.execute(flows).fetchall() == [("completed", 6, 6)]
    assert scalar(conn, "SELECT count(*) FROM pgjobs.jobs WHERE summary LIKE '%note 48%'") == 1  # called back once
    assert scalar(conn, "SELECT count(*) FROM pgjobs.workers") == 0


def environment(url: str, crash: str = "") -> dict[str, str]:
    path = os.pathsep.join([str(CRASH), str(ROOT / "src"), str(ROOT)])
    return {"CRASH_AT": crash, "PYTHONPATH": path, tasks.URL: url}


def finish(conn: psycopg.Connection, seconds: float = 40.0) -> None:
    """Wait until all jobs and workflows have ended; backoffs, and the sweep of a minute, are not waited for."""

    def ended() -> bool:
        conn.execute("UPDATE pgjobs.jobs SET run_at = now() WHERE status = 'queued' AND run_at > now()")
        if scalar(conn, "SELECT EXISTS (SELECT FROM pgjobs.jobs WHERE status IN ('waiting', 'queued', 'running'))"):
            return False
        return sweep_workflows(conn, age=-1.0, batch=10) == 0

    wait_until(ended, seconds)


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("number", range(1, 31))
def test_a_worker_may_be_killed_at_any_statement(
    database_url: str, conn: psycopg.Connection, tmp_path: Path, number: int, when: str
) -> None:
    crash_a_worker(database_url, conn, f"{when}:{number}", tmp_path / "crashed")


@pytest.mark.parametrize(("name", "number"), LATE_POINTS)
@pytest.mark.parametrize("when", WHENS)
def test_a_worker_may_be_killed_where_it_hands_over_passes_on_or_forms_a_batch(
    database_url: str, conn: psycopg.Connection, tmp_path: Path, name: str, number: int, when: str
) -> None:
    """After the statement the next job is its own, and it has not been told."""
    crash_a_worker(database_url, conn, f"{when}:{name}-{number}", tmp_path / "crashed")


@pytest.mark.parametrize("name", KEEPING)
@pytest.mark.parametrize("when", WHENS)
def test_a_worker_may_be_killed_where_it_keeps_something(
    database_url: str, conn: psycopg.Connection, tmp_path: Path, name: str, when: str
) -> None:
    """A result, a step, or progress: after the statement its job has it, and the worker does not know."""
    crash_a_worker(database_url, conn, f"{when}:{name}-1", tmp_path / "crashed")
    if (name, when) == ("write_step", "after"):
        first = "SELECT job_id FROM pgjobs.job_steps ORDER BY done_at LIMIT 1"
        assert scalar(conn, f"SELECT count(*) FROM seen WHERE job = ({first})") == 1
    if (name, when) == ("write_progress", "after"):
        assert scalar(conn, "SELECT count(*) FROM pgjobs.progress WHERE state IS NOT NULL") > 0


@pytest.mark.parametrize("name", WITHIN)
@pytest.mark.parametrize("when", WHENS)
def test_a_worker_may_be_killed_where_a_job_completes_itself(
    database_url: str, conn: psycopg.Connection, tmp_path: Path, name: str, when: str
) -> None:
    """After the statement the transaction is open: it dies with the worker, and so does all that it has written."""
    tasks.make_seen(conn)
    kinds: dict[str, Any] = {
        "complete": tasks_effects.note_and_complete,
        "transaction": tasks_effects.note_in_transaction,
        "step": tasks_effects.note_as_step,
    }
    for kind, task in kinds.items():
        enqueue_many(conn, task, [(f"{kind} {n}",) for n in range(4)])
    mark = tmp_path / "crashed"
    # Only connections that are called so are counted, and a caller's is called as its environment says.
    env = environment(database_url, f"worker:{when}:{name}-1:{mark}") | {"PGAPPNAME": "pgjobs job"}
    with work(database_url, "-q", "default:4", *QUICK, ready=False, env=env) as running:
        finish(conn)
        assert running.stop() == 0
    rows = conn.execute("SELECT what, count(*) FROM seen GROUP BY what").fetchall()
    assert len(rows) == 12
    assert {number for _, number in rows} == {1}
    assert scalar(conn, "SELECT count(*) FROM pgjobs.jobs WHERE status = 'completed'") == 12
    assert scalar(conn, "SELECT count(DISTINCT job_id) FROM pgjobs.results") == 4
    assert mark.exists(), "there is no such statement"


@pytest.mark.parametrize("name", list(BROADCASTING))
@pytest.mark.parametrize("when", WHENS)
def test_a_worker_may_be_killed_where_it_runs_a_broadcast(
    database_url: str, conn: psycopg.Connection, tmp_path: Path, name: str, when: str
) -> None:
    """Its row says gone, or what came of it; its successor joins in time. In each process it runs once at most."""
    made = broadcast(conn, tasks.tell_process, within=600)
    crash_a_worker(database_url, conn, f"{when}:{name}-1", tmp_path / "crashed")
    killed, successor = sorted(show_broadcast(conn, made).runs, key=lambda run: run.worker_id or 0)
    assert (killed.state, successor.state) == (BROADCASTING[name][when], "completed")
    calls: dict[int, int] = dict(
        conn.execute("SELECT pid, count(*) FROM seen WHERE what = 'process' GROUP BY pid").fetchall()
    )
    assert calls == {successor.pid: 1, **({killed.pid: 1} if name == "end_broadcast" else {})}


def crash_a_worker(url: str, conn: psycopg.Connection, point: str, mark: Path) -> None:
    """Kill the worker at this point of its work, and see that all jobs end as they should."""
    put_jobs(conn)
    with work(url, "-q", "default:4", *QUICK, ready=False, env=environment(url, f"worker:{point}:{mark}")) as running:
        finish(conn)
        # One that dies right after it has registered is unknown to all others, until it is found silent.
        wait_until(lambda: scalar(conn, "SELECT count(*) FROM pgjobs.workers") == 1)
        assert running.stop() == 0
    check(conn)
    assert mark.exists(), "there is no such statement"


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("number", range(1, 21))
def test_a_supervisor_may_be_killed_at_any_statement(
    database_url: str, conn: psycopg.Connection, tmp_path: Path, number: int, when: str
) -> None:
    """Its worker is killed by a job before, so that it has something to take back."""
    enqueue(conn, tasks_wear.die_once, str(tmp_path / "died"))
    put_jobs(conn)
    mark = tmp_path / "crashed"
    env = environment(database_url, f"supervisor:{when}:{number}:{mark}")
    with work(database_url, "-q", "default:4", *QUICK, ready=False, env=env) as running:
        assert running.wait() == -signal.SIGKILL
    assert mark.exists(), "there is no such statement"
    with work(database_url, "-q", "default:4", *QUICK, env=environment(database_url)) as another:
        finish(conn)
        assert another.stop() == 0
    conn.execute("DELETE FROM pgjobs.jobs_history WHERE task LIKE '%:die_once' AND status = 'completed'")
    check(conn)
