"""What a row that was written by hand may hold: nothing that stops those who claim, acknowledge, rescue or replay."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.errors import CheckViolation
from psycopg.types.json import Jsonb

from pgjobs.db.statements import statement
from tests.support.rows import put_job, put_worker, row_of

if TYPE_CHECKING:
    from psycopg import Connection


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("priority", [-1, 10]),
        ("attempt", [-1, 1_000_000_001]),
        ("max_attempts", [0, -1, 1_000_000_001]),
        ("prior_attempts", [-1, 1_000_000_001]),
        ("claims", [-1, 2_000_000_001]),
        ("timeout", [0, -1, 316_224_064, math.nan, math.inf, -math.inf]),
        ("queue", ["", "q" * 101]),
        ("executor", ["", "gpu"]),
        ("meta", [Jsonb([]), Jsonb(None), Jsonb("x"), Jsonb({"user": "x" * 4086})]),
        ("run_at", ["1969-12-31 23:59:59.999999+00", "9999-01-01 00:00+00", "-infinity", "infinity", "0001-01-01 BC"]),
    ],
)
def test_a_value_that_would_stop_a_batch_is_refused_with_the_name_of_the_column(
    conn: Connection, column: str, values: list[Any]
) -> None:
    job = put_job(conn)
    before = row_of(conn, job)
    statements = (
        f"UPDATE pgjobs.jobs SET {column} = %(value)s WHERE id = %(job)s",
        f"INSERT INTO pgjobs.jobs (task, payload, {column}) VALUES ('m:f', 'x', %(value)s)",
    )
    for value, change in product(values, statements):
        with pytest.raises(CheckViolation) as caught:
            conn.execute(change, {"value": value, "job": job})
        assert caught.value.diag.constraint_name == f"job_{column}_check"
    assert row_of(conn, job) == before


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("priority", [0, 9]),
        ("attempt", [0, 1_000_000_000]),
        ("max_attempts", [1, 1_000_000_000]),
        ("prior_attempts", [None, 0, 1_000_000_000]),
        ("claims", [0, 2_000_000_000]),
        ("timeout", [None, 0.001, 10 * 366 * 86400]),
        ("queue", ["q", "世" * 100]),
        ("executor", [None, "thread", "async", "process"]),
        ("errors", [None, Jsonb([]), Jsonb({}), Jsonb(None)]),
        ("meta", [None, Jsonb({}), Jsonb({"user": "x" * 4084})]),
        ("run_at", ["1970-01-01 00:00+00", "9998-12-31 23:59:59.999999+00"]),
    ],
)
def test_values_up_to_the_limits_are_accepted(conn: Connection, column: str, values: list[Any]) -> None:
    for value in values:
        conn.execute(f"INSERT INTO pgjobs.jobs (task, payload, {column}) VALUES ('m:f', 'x', %s)", [value])


def test_who_runs_a_job_is_known(conn: Connection) -> None:
    job = put_job(conn)
    with pytest.raises(CheckViolation) as caught:
        conn.execute("UPDATE pgjobs.jobs SET status = 'running' WHERE id = %s", [job])
    assert caught.value.diag.constraint_name == "jobs_live_worker_id_check"
    conn.execute("UPDATE pgjobs.jobs SET status = 'running', worker_id = 1 WHERE id = %s", [job])


def test_what_is_checked_of_one_column_is_checked_by_its_type_and_history_and_letters_have_no_more(
    conn: Connection,
) -> None:
    found = conn.execute(
        """
        SELECT conrelid::regclass::text, array_agg(conname::text ORDER BY conname)
        FROM pg_constraint
        WHERE contype = 'c' AND conrelid IN (SELECT relid FROM pg_partition_tree('pgjobs.jobs')
                                             UNION ALL SELECT 'pgjobs.dead_jobs'::regclass)
        GROUP BY conrelid ORDER BY 1
        """
    ).fetchall()
    # What a job waits for is checked where jobs wait: in jobs and dead_jobs, a type with a check would have rewritten
    # all of history.
    waits = [f"jobs_waiting_{column}_check" for column in ("cost", "held", "lane", "lane_keys", "needs", "on_failure")]
    assert found == [("pgjobs.jobs_live", ["jobs_live_worker_id_check"]), ("pgjobs.jobs_waiting", waits)]


CLAIM = {
    "priorities": list(range(10)),
    "run_ats": ["1970-01-01 00:00+00"] * 10,
    "ids": [0] * 10,
    "untils": ["9999-01-01 00:00+00"] * 10,
    "counted_queue": None,
}
ERROR = {"errors": ["E"], "kinds": ["exception"], "tracebacks": [None], "host": "h"}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("complete", {}),
        ("snooze", {"delays": [1.0], "began": [True]}),
        ("hand_back", {"began": [True], "isolates": [True]}),
        ("cancel", {"reasons": ["no"]}),
        ("retry", {**ERROR, "delays": [1.0], "isolates": [False]}),
        ("fail", ERROR),
    ],
)
@pytest.mark.parametrize("largest", [True, False], ids=["the largest numbers", "the smallest, and no list of errors"])
def test_a_row_at_its_limits_stops_neither_a_claim_nor_an_acknowledgement(
    conn: Connection, name: str, parameters: dict[str, Any], largest: bool
) -> None:
    worker = put_worker(conn, {"default": 1})
    numbers = {"attempt": 10**9, "max_attempts": 10**9, "prior_attempts": 10**9, "claims": 2 * 10**9}
    job, other = put_job(conn, **(numbers if largest else {})), put_job(conn)
    claimed = conn.execute(statement("claim"), {**CLAIM, "queue": "default", "demand": 10, "worker_id": worker})
    assert {row[0] for row in claimed} == {job, other}
    if not largest:  # by hand, while it runs
        conn.execute("UPDATE pgjobs.jobs SET attempt = 0, errors = '{}' WHERE id = %s", [job])
    claims = row_of(conn, job)["claims"]
    values = {"ids": [job], "claim_numbers": [claims], "worker_id": worker, **parameters}
    assert conn.execute(statement(name), values).rowcount == 1
