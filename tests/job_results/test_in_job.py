"""A wait in a running job: what it tells of itself, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from typing import Any

import psycopg
import pytest

from pgjobs import admin, configure, progress, result
from pgjobs.effects.progress import ProgressWriter
from pgjobs.job_results import in_job
from pgjobs.jobs import context
from pgjobs.jobs.context import RunningJob, current
from tests.support.claimed import claimed_job
from tests.support.rows import put_job, put_worker
from tests.support.worker import scalar

Connection = psycopg.Connection


class Told(ProgressWriter):
    """Remembers what is told of waits."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[tuple[int, list[int]]] = []

    def report_wait(self, job: RunningJob, ids: Collection[int]) -> None:
        self.waits.append((job.id, list(ids)))


@pytest.fixture
def told(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """Run as job 7 of a worker."""
    configure(database_url=database_url)
    monkeypatch.setattr(in_job, "SLICE", 0.02)
    monkeypatch.setattr("pgjobs.job_results.api.SLICE", 0.02)
    told = Told()
    monkeypatch.setattr(context, "_reporting", context._Reporting())
    context.report_to(lambda: told)
    token = current.set(claimed_job(7))
    yield told
    current.reset(token)


def wait(conn: Connection, job: int, seconds: float) -> None:
    with pytest.raises(TimeoutError):
        result(conn, job, timeout=seconds)


def test_a_wait_of_more_than_a_moment_is_told_and_taken_back(
    conn: Connection, database_url: str, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = put_job(conn)
    wait(conn, job, 0.2)
    assert told.waits == []
    monkeypatch.setattr(in_job, "TELL_AFTER", 0.05)
    wait(conn, job, 0.3)
    assert told.waits == [(7, [job]), (7, [])]

    async def on_loop() -> None:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
            with pytest.raises(TimeoutError):
                await result(other, job, timeout=0.3)

    asyncio.run(on_loop())
    assert told.waits[2:] == [(7, [job]), (7, [])]


def test_a_wait_in_another_database_or_outside_of_a_job_is_not_told(
    conn: Connection, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_job, "TELL_AFTER", 0.05)
    job = put_job(conn)
    configure(database_url="postgresql://127.0.0.1:1/elsewhere")
    wait(conn, job, 0.2)
    configure(database_url=conn.info.dsn)
    token = current.set(None)
    wait(conn, job, 0.2)
    current.reset(token)
    assert told.waits == []


def test_what_is_written_of_a_wait(conn: Connection, database_url: str) -> None:
    configure(database_url=database_url)
    writer = ProgressWriter()
    job = put_job(conn, status="running", worker_id=put_worker(conn, {"default": 1}), claims=2)

    def tell(claim: int, ids: Collection[int]) -> Any:
        writer.report_wait(claimed_job(job, claim), ids)
        writer.flush()
        found = conn.execute("SELECT waits_for, waits_claim FROM pgjobs.progress").fetchall()
        return found[0] if found else None

    assert tell(2, ()) is None  # it was over before it was written
    assert tell(2, [8, 9]) == ([8, 9], 2)
    assert tell(1, [10]) == ([8, 9], 2)  # of an attempt that was taken back
    assert tell(2, ()) == (None, 2)
    assert scalar(conn, "SELECT count(*) FROM pgjobs.progress") == 1
    assert progress(conn, job) is None
    assert admin.show_job(conn, job).progress is None
