"""The SQL functions and the view that statements share: what they return, and that they cost no call."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgjobs.db.statements import statement
from pgjobs.flow.limits import pattern_of
from pgjobs.flow.rates import Rate, capacity, refill
from tests.support.rows import put_job
from tests.support.worker import scalar

if TYPE_CHECKING:
    from psycopg import Connection


@pytest.mark.parametrize(
    "name",
    [
        *(
            "fail",
            "retry",
            "pick_lanes",
            "rooms_of_stages",
            "claim_waiting",
            "queue_capacity",
            "purge_buckets",
            "list_limits",
            "complete_and_continue_sequences",
            "complete_and_refill_limits",
        ),
    ],
)
def test_shared_functions_are_inlined_into_their_statement(conn: Connection, name: str) -> None:
    text = statement(name)
    assert re.search(r"pgjobs\.(errors_with|pattern_of|bucket_\w+|room_of_\w+|head_of_\w+|blocking_letters)\(", text)
    parameters: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[1] not in parameters:
            parameters.append(found[1])
        return f"${parameters.index(found[1]) + 1}"

    prepared = re.sub(r"%\((\w+)\)s", number, text).replace("%%", "%")
    with conn.transaction(force_rollback=True):
        conn.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        conn.execute(f"PREPARE shared AS {prepared}".encode())
        nulls = f"({', '.join(['NULL'] * len(parameters))})" if parameters else ""
        plan = "\n".join(row[0] for row in conn.execute(f"EXPLAIN (VERBOSE) EXECUTE shared{nulls}".encode()))
        conn.execute("DEALLOCATE shared")
    assert not re.search(
        r"pgjobs\.(errors_with|pattern_of|bucket_\w+|room_of_\w+|head_of_\w+|blocking_letters)", plan
    ), plan


@pytest.mark.parametrize("key", ["tenant:7", "shop:3:mail", "stripe", "a:", "", "zürich:ü", "a\nb:c\nd"])
def test_pattern_of_in_sql_is_that_of_python(conn: Connection, key: str) -> None:
    assert scalar(conn, "SELECT pgjobs.pattern_of(%s)", [key]) == pattern_of(key)


def test_a_token_bucket_in_sql_is_that_of_python(conn: Connection) -> None:
    tokens = [None, -5.0, 0.0, 0.5, 8.0, 1e9]
    ages = [-2.0, -1.0, -0.5, 0.0, 0.25, 30.0, 1e7]  # seconds; below 0: the clock was set back
    rates = [(100.0, 60.0), (0.1, 1.0), (1e9, 0.001), (3.0, 366 * 86_400.0)]
    query = """
        SELECT pgjobs.bucket_tokens(%s, %s, %s, make_interval(secs => %s), %s), pgjobs.bucket_capacity(%s, %s)
    """
    with conn.transaction():
        now: datetime = scalar(conn, "SELECT now()")
        for left, age, (count, period), burst in product(tokens, ages, rates, [None, 1.0, 20.0]):
            at, rate = now - timedelta(seconds=age), Rate(count, period)
            since = None if left is None else at
            found = conn.execute(query, [left, since, count, period, burst, count, burst]).fetchone()
            expected = (pytest.approx(refill(left, at, now, rate, burst)), capacity(rate, burst))
            assert found == expected, (left, age, rate, burst)


def test_a_token_bucket_without_a_rate_is_null(conn: Connection) -> None:
    query = "SELECT pgjobs.bucket_tokens(1, now(), NULL, NULL, NULL), pgjobs.bucket_capacity(NULL, 5)"
    assert conn.execute(query).fetchone() == (None, None)


def test_queue_names_has_queues_with_a_row_and_queues_with_jobs(conn: Connection) -> None:
    conn.execute("INSERT INTO pgjobs.queues (name) VALUES ('settings'), ('both')")
    put_job(conn, queue="queued")
    put_job(conn, queue="both")
    for held in (None, "later"):
        conn.execute(
            "INSERT INTO pgjobs.jobs_waiting (queue, task, payload, lane, held) VALUES (%s, 'a:b', 'x', 'l', %s)",
            [f"waiting {held}", held],
        )
    names = [row[0] for row in conn.execute('SELECT name FROM pgjobs.queue_names ORDER BY name COLLATE "C"')]
    assert names == ["both", "queued", "settings", "waiting None", "waiting later"]


def test_held_snapshots_name_the_session_that_holds_one(conn: Connection, database_url: str) -> None:
    with psycopg.connect(database_url, application_name="holder") as holder:
        holder.execute("SELECT pg_current_xact_id()")
        query = "SELECT pid, kind, transactions FROM pgjobs.held_snapshots() WHERE name = 'holder'"
        assert conn.execute(query).fetchall() == [(holder.info.backend_pid, "session", 1)]
