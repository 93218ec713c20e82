"""The auditor finds what is wrong: each kind of fault is made by hand here."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from pgjobs import enqueue_many
from tests.system.chaos import tasks
from tests.system.chaos.auditor import KEEPS_RESULT, Line, audit, count_runs, widest

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

END = "finished_at = now(), started_at = now(), attempt = 1"


@pytest.fixture
def jobs(conn: psycopg.Connection) -> list[int]:
    """Three jobs that were committed, with their ledger."""
    conn.execute("CREATE TABLE ledger (job bigint PRIMARY KEY, kind text NOT NULL)")
    made = [handle.id for handle in enqueue_many(conn, tasks.quick, [(1,), (2,), (3,)])]
    conn.execute("INSERT INTO ledger SELECT unnest(%s::bigint[]), 'quick'", [made])
    return made


def wrong(conn: psycopg.Connection, effects: Path, jobs: list[int]) -> dict[str, int]:
    """Audit, and give what should be zero and is not."""
    counts = audit(conn, effects, dict.fromkeys(jobs, "quick"))
    good = ("jobs", "runs", "completed", "failed", "cancelled")
    return {name: number for name, number in counts.items() if number and name not in good}


def complete(conn: psycopg.Connection, effects: Path, jobs: list[int]) -> None:
    """Make jobs complete as they do."""
    lines = []
    for job in jobs:
        conn.execute(f"UPDATE pgjobs.jobs SET status = 'completed', {END} WHERE id = %s", [job])
        lines += [f"start {job} 1 1 7 {job}.1\n", f"ok {job} 1 1 7 {job}.2\n"]
    with effects.open("a") as file:
        file.writelines(lines)


def test_all_is_well(conn: psycopg.Connection, tmp_path: Path, jobs: list[int]) -> None:
    effects = tmp_path / "effects"
    complete(conn, effects, jobs)
    assert wrong(conn, effects, jobs) == {}
    counts = audit(conn, effects, dict.fromkeys(jobs, "quick"))
    assert (counts["jobs"], counts["runs"], counts["completed"]) == (3, 3, 3)


def test_a_job_that_did_not_end_is_stuck(conn: psycopg.Connection, tmp_path: Path, jobs: list[int]) -> None:
    complete(conn, tmp_path / "effects", jobs[1:])
    assert wrong(conn, tmp_path / "effects", jobs) == {"stuck": 1}


def test_a_row_that_is_gone_is_lost(conn: psycopg.Connection, tmp_path: Path, jobs: list[int]) -> None:
    complete(conn, tmp_path / "effects", jobs[1:])
    conn.execute("DELETE FROM pgjobs.jobs WHERE id = %s", [jobs[0]])
    assert wrong(conn, tmp_path / "effects", jobs) == {"lost": 1}


def test_a_job_that_is_completed_and_never_ran_is_lost(
    conn: psycopg.Connection, tmp_path: Path, jobs: list[int]
) -> None:
    complete(conn, tmp_path / "effects", jobs[1:])
    conn.execute(f"UPDATE pgjobs.jobs SET status = 'completed', {END} WHERE id = %s", [jobs[0]])
    assert wrong(conn, tmp_path / "effects", jobs) == {"lost": 1}


def test_a_promise_that_the_ledger_does_not_have_is_broken(
    conn: psycopg.Connection, tmp_path: Path, jobs: list[int]
) -> None:
    complete(conn, tmp_path / "effects", jobs)
    assert wrong(conn, tmp_path / "effects", [*jobs, 12345]) == {"broken_promises": 1}


def test_a_job_that_was_rolled_back_is_a_ghost(conn: psycopg.Connection, tmp_path: Path, jobs: list[int]) -> None:
    complete(conn, tmp_path / "effects", jobs)
    conn.execute("DELETE FROM ledger WHERE job = %s", [jobs[0]])
    assert wrong(conn, tmp_path / "effects", jobs[1:]) == {"ghosts": 1}


def test_two_rows_of_one_job_are_doubled(conn: psycopg.Connection, tmp_path: Path, jobs: list[int]) -> None:
    complete(conn, tmp_path / "effects", jobs)
    columns = "id, queue, task, payload, status, attempt"
    conn.execute(
        f"INSERT INTO pgjobs.jobs ({columns}, finished_at) "
        f"SELECT {columns}, finished_at + interval '1 day' FROM pgjobs.jobs WHERE id = %s",
        [jobs[0]],
    )
    assert wrong(conn, tmp_path / "effects", jobs) == {"doubled": 1}


def test_a_failure_without_a_dead_letter_is_undocumented(
    conn: psycopg.Connection, tmp_path: Path, jobs: list[int]
) -> None:
    complete(conn, tmp_path / "effects", jobs[1:])
    conn.execute(f"UPDATE pgjobs.jobs SET status = 'failed', {END} WHERE id = %s", [jobs[0]])
    assert wrong(conn, tmp_path / "effects", jobs) == {"undocumented": 1}


@pytest.mark.parametrize("kept", [[], [0], [1, 1]], ids=["missing", "another's", "there twice"])
def test_a_wrong_result_is_found(conn: psycopg.Connection, tmp_path: Path, jobs: list[int], kept: list[int]) -> None:
    """`kept`: whether each row is right."""
    complete(conn, tmp_path / "effects", jobs)
    conn.execute("UPDATE ledger SET kind = %s WHERE job = ANY (%s)", [KEEPS_RESULT, jobs[:2]])
    insert = "INSERT INTO pgjobs.results (job_id, stored_at, kept_until, is_json, value) VALUES (%s, %s, %s, true, %s)"
    values = [(jobs[0], jobs[0] if is_right else 0) for is_right in kept] + [(jobs[1], jobs[1])]
    for day, (job, value) in enumerate(values):
        at = datetime(2030, 1, 1 + day, tzinfo=UTC)
        conn.execute(insert, [job, at, at, str(value).encode()])
    assert wrong(conn, tmp_path / "effects", jobs) == {"wrong_results": 1}


def line(kind: str, at: float, *, claim: int = 1, attempt: int = 1, pid: int = 7) -> Line:
    return Line(kind, 1, attempt, claim, pid, at)


def test_a_run_without_an_end_was_cut_off() -> None:
    runs = count_runs([line("start", 1.0), line("start", 2.0, claim=2, pid=8), line("ok", 3.0, claim=2, pid=8)])
    assert (runs.begun, runs.cut_off, runs.repeated, runs.overlaps) == (2, 1, 0, 0)


def test_a_run_that_ends_well_twice_is_repeated() -> None:
    runs = count_runs([line("start", 1), line("ok", 2), line("start", 3, claim=2), line("ok", 4, claim=2)])
    assert (runs.repeated, runs.same_claim, runs.overlaps) == (1, 0, 0)


def test_failures_of_several_attempts_are_not_repeated() -> None:
    failed = [line("start", 1), line("fail", 2), line("start", 3, claim=2, attempt=2)]
    runs = count_runs([*failed, line("ok", 4, claim=2, attempt=2)])
    assert (runs.repeated, runs.cut_off) == (0, 0)


def test_two_runs_under_one_claim_are_found() -> None:
    runs = count_runs([line("start", 1), line("ok", 2), line("start", 3), line("ok", 4)])
    assert (runs.same_claim, runs.repeated) == (1, 1)


def test_runs_at_the_same_time_overlap() -> None:
    runs = count_runs(
        [line("start", 1), line("start", 2, claim=2, pid=8), line("ok", 3), line("ok", 4, claim=2, pid=8)]
    )
    assert runs.overlaps == 1


def test_the_most_that_ran_at_once_is_counted() -> None:
    lines = [Line("start", 1, 1, 1, 7, 1.0), Line("start", 2, 1, 1, 7, 1.5), Line("ok", 1, 1, 1, 7, 2.0)]
    assert widest([*lines, Line("ok", 2, 1, 1, 7, 3.0), Line("start", 3, 1, 1, 7, 1.7)], {1, 2}) == 2
