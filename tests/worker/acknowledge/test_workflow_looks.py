"""A job that is not a step of a workflow costs no look at workflows, however it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pgjobs import Workflow, enqueue
from pgjobs.jobs.outcome import CANCELLED_ON_REQUEST, COMPLETED, Failed, Outcome
from tests.support.acknowledging import acknowledging
from tests.support.functions import add
from tests.support.processes import wait_until
from tests.support.rows import put_job, put_worker, row_of

if TYPE_CHECKING:
    import psycopg


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[set[int]]:
    """The workflows that are looked at, or steps whose workflows are."""
    found: list[set[int]] = []

    def look(_: Any, steps: set[int], **workflows: set[int]) -> bool:
        found.append(steps.union(*workflows.values()))
        return True

    monkeypatch.setattr("pgjobs.worker.acknowledge.outcome_writer.end_workflows", look)
    return found


@pytest.mark.parametrize("outcome", [COMPLETED, Failed("no"), CANCELLED_ON_REQUEST])
@pytest.mark.parametrize("kind", ["alone", "awaited", "step"])
def test_only_steps_have_their_workflows_looked_at(
    conn: psycopg.Connection, database_url: str, looks: list[set[int]], outcome: Outcome, kind: str
) -> None:
    worker = put_worker(conn, {"default": 9})
    if kind == "step":
        flow = Workflow("one")
        step = flow.add(add, 1)
        handle = enqueue(conn, flow)
        job = handle.job(step).id
        looked = handle.id if outcome is COMPLETED else job
        conn.execute("UPDATE pgjobs.jobs SET status = 'running', claims = 1, worker_id = %s", [worker])
    else:
        job = put_job(conn, status="running", worker_id=worker, claims=1, dependents=kind == "awaited" or None)
    if kind != "alone":
        enqueue(conn, add.options(after=[job]), 1)
    with acknowledging(database_url, worker) as acknowledger:
        acknowledger.put({job: outcome})
        wait_until(lambda: row_of(conn, job)["status"] != "running")
    assert looks == ([{looked}] if kind == "step" else [])
