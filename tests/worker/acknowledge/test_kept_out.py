"""Outcomes that a trigger of others keeps out of history or of the dead letters: said, and nothing is lost."""

from __future__ import annotations

import psycopg
import pytest

from pgjobs.jobs.outcome import COMPLETED, Failed, Outcome
from pgjobs.worker.runtime.job_claim import Claim
from pgjobs.worker.supervisor.rescue import WorkerExit, settle_dead_worker
from tests.support.acknowledging import acknowledging
from tests.support.rows import put_job, put_worker


def acknowledge(url: str, worker: int, outcomes: dict[int, Outcome]) -> None:
    """Have the acknowledger of a worker write outcomes, by id, and end."""
    with acknowledging(url, worker) as running:
        running.put(outcomes)


def test_an_outcome_that_is_kept_out_holds_up_no_other_and_its_job_stays(
    conn: psycopg.Connection, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    conn.execute("CREATE FUNCTION public.mute() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$")
    for table in ("jobs_history", "dead_jobs"):
        conn.execute(
            f"CREATE TRIGGER mute BEFORE INSERT ON pgjobs.{table} FOR EACH ROW"
            " WHEN (NEW.summary = 'noisy') EXECUTE FUNCTION public.mute()".encode()
        )
    worker = put_worker(conn, {"default": 9})
    running = {"status": "running", "worker_id": worker, "claims": 1}
    jobs = [put_job(conn, summary=summary, **running) for summary in ("a", "b", "noisy", "c", "d", "noisy")]
    failed = Failed("no")

    acknowledge(database_url, worker, dict(zip(jobs, [COMPLETED] * 4 + [failed] * 2, strict=True)))

    rows = conn.execute("SELECT status FROM pgjobs.jobs ORDER BY id").fetchall()
    assert [row[0] for row in rows] == ["completed", "completed", "running", "completed", "failed", "running"]
    assert conn.execute("SELECT id FROM pgjobs.dead_jobs").fetchall() == [(jobs[4],)]
    lines = [record.getMessage() for record in caplog.records if "stay running" in record.getMessage()]
    assert len(lines) == 2
    for line, kind, job in zip(lines, ("Completed", "Failed"), (jobs[2], jobs[5]), strict=True):
        assert f"({kind}) cannot be written: a trigger or rule keeps jobs out of a table of pgjobs" in line
        assert line.endswith(f"`pgjobs doctor` names triggers and foreign keys of others: {job}")
    assert "no longer belong" not in caplog.text
    told = {record.job_id: record.getMessage() for record in caplog.records if record.name == "pgjobs.job"}  # type: ignore[attr-defined]
    assert told[jobs[4]] == "failed in attempt 1 of 5, now a dead letter: no"
    assert told[jobs[5]] == "failed in attempt 1 of 5, which could not be recorded: no"


def test_a_failure_that_a_rescue_cannot_write_is_not_called_a_dead_letter(
    conn: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    conn.execute("CREATE FUNCTION public.mute() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$")
    conn.execute("CREATE TRIGGER mute BEFORE INSERT ON pgjobs.dead_jobs FOR EACH ROW EXECUTE FUNCTION public.mute()")
    worker = put_worker(conn, {"default": 9})
    job = put_job(conn, status="running", worker_id=worker, claims=1, attempt=1, max_attempts=1)

    settle_dead_worker(conn, WorkerExit(worker, "killed by SIGKILL", frozenset({Claim(job, 1)})))

    assert conn.execute("SELECT status FROM pgjobs.jobs").fetchall() == [("running",)]
    assert "stay running" in caplog.text
    assert "now a dead letter" not in caplog.text
    assert "took back" not in caplog.text


REFUSALS = {
    "a trigger that raises": (
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$",
        "CREATE TRIGGER refuse AFTER INSERT ON pgjobs.jobs_history FOR EACH ROW WHEN (NEW.summary = 'noisy')"
        " EXECUTE FUNCTION public.refuse()",
    ),
    "a foreign key": (
        "CREATE TABLE public.orders (job_id bigint REFERENCES pgjobs.jobs_live (id))",
        "INSERT INTO public.orders SELECT id FROM pgjobs.jobs_live WHERE summary = 'noisy'",
    ),
    "a constraint": ("ALTER TABLE pgjobs.jobs_history ADD CHECK (summary <> 'noisy')",),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_job_that_others_refuse_to_let_complete_holds_up_no_other(
    conn: psycopg.Connection, database_url: str, caplog: pytest.LogCaptureFixture, refusal: str
) -> None:
    worker = put_worker(conn, {"default": 9})
    running = {"status": "running", "worker_id": worker, "claims": 1}
    jobs = [put_job(conn, summary=summary, **running) for summary in ("a", "noisy", "b")]
    for command in REFUSALS[refusal]:
        conn.execute(command.encode())

    acknowledge(database_url, worker, dict.fromkeys(jobs, COMPLETED))

    rows = conn.execute("SELECT status FROM pgjobs.jobs ORDER BY id").fetchall()
    assert [row[0] for row in rows] == ["completed", "running", "completed"]
    assert sum("1 jobs stay running" in record.getMessage() for record in caplog.records) == 1
