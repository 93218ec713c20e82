"""A job that no workflow and no other job waits for costs no look at workflows, however it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pgjobs import enqueue
from pgjobs.jobs.outcome import CANCELLED_ON_REQUEST, COMPLETED, Failed, Outcome
from tests.support.acknowledging import acknowledging
from tests.support.functions import add
from tests.support.processes import wait_until
from tests.support.rows import put_job, put_worker, row_of

if TYPE_CHECKING:
    import psycopg


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[set[int]]:
    """The jobs whose workflows are looked at."""
    found: list[set[int]] = []

    def look(_: Any, jobs: set[int]) -> None:
        found.append(jobs)

    monkeypatch.setattr("pgjobs.worker.acknowledge.outcome_writer.end_workflows", look)
    return found


@pytest.mark.parametrize("outcome", [COMPLETED, Failed("no"), CANCELLED_ON_REQUEST])
@pytest.mark.parametrize("is_awaited", [False, True])
def test_only_what_is_waited_for_has_its_workflows_looked_at(
    conn: psycopg.Connection, database_url: str, looks: list[set[int]], outcome: Outcome, is_awaited: bool
) -> None:
    worker = put_worker(conn, {"default": 9})
    job = put_job(conn, status="running", worker_id=worker, claims=1, dependents=is_awaited or None)
    if is_awaited:
        enqueue(conn, add.options(after=[job]), 1)
    with acknowledging(database_url, worker) as acknowledger:
        acknowledger.put({job: outcome})
        wait_until(lambda: row_of(conn, job)["status"] != "running")
    assert looks == ([{job}] if is_awaited else [])
