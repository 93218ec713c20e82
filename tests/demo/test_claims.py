"""The demo does not say what is not true."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgjobs.demo.claims import CLAIMS, PINGS, Claim, Facts
from pgjobs.demo.stage import table_lines
from pgjobs.demo.tables import make_tables
from pgjobs.demo.tasks import QUEUE
from tests.support.rows import put_dead, put_job

if TYPE_CHECKING:
    import psycopg

EVERY_DOCUMENT, ROLLED_BACK, ALL_ENDED, KILL, LETTERS, SPEED, LATENCY = CLAIMS
FACTS = Facts(committed=1, rolled_back=1, dead_and_readable=0)
KILLED = [{"attempt": 1, "error": "its worker process died while it ran: killed by SIGKILL"}]


@pytest.fixture(autouse=True)
def tables(conn: psycopg.Connection) -> None:
    make_tables(conn)


def wrong(conn: psycopg.Connection, claim: Claim, facts: Facts = FACTS) -> str | None:
    return claim.wrong(claim.look(conn), facts)


def put_document(conn: psycopg.Connection, *, job_id: int | None = None, indexed: bool = False) -> None:
    conn.execute("INSERT INTO pgjobs_demo.documents (path, job_id) VALUES ('lib/a.py', %s)", [job_id])
    if indexed:
        conn.execute("INSERT INTO pgjobs_demo.findings VALUES (1, 10, 2, 1)")


def test_a_document_that_is_indexed_and_one_that_is_dead_are_right(conn: psycopg.Connection) -> None:
    put_document(conn, indexed=True)
    conn.execute("INSERT INTO pgjobs_demo.documents (path, job_id) VALUES ('b.py', %s)", [put_dead(conn)])

    assert wrong(conn, EVERY_DOCUMENT, Facts(2, 0, 0)) is None


def test_claim_with_unindexed_document_fails(conn: psycopg.Connection) -> None:
    put_document(conn)

    assert wrong(conn, EVERY_DOCUMENT) == "1 documents are indexed and dead, or neither."


def test_a_document_that_is_indexed_and_dead_is_noticed(conn: psycopg.Connection) -> None:
    put_document(conn, job_id=put_dead(conn), indexed=True)

    assert wrong(conn, EVERY_DOCUMENT) == "1 documents are indexed and dead, or neither."


def test_a_committed_document_that_is_gone_is_noticed(conn: psycopg.Connection) -> None:
    assert wrong(conn, EVERY_DOCUMENT) == "1 documents were committed, and 0 are there."


def test_a_dead_letter_of_a_readable_file_is_noticed(conn: psycopg.Connection) -> None:
    put_document(conn, job_id=put_dead(conn))

    assert "can be read" in (wrong(conn, EVERY_DOCUMENT, Facts(1, 0, 1)) or "")


def test_a_job_of_the_rolled_back_transaction_is_noticed(conn: psycopg.Connection) -> None:
    conn.execute("INSERT INTO pgjobs_demo.rolled_back VALUES ('a.py', 99)")
    assert wrong(conn, ROLLED_BACK) is None

    conn.execute("UPDATE pgjobs_demo.rolled_back SET job_id = %s", [put_job(conn)])
    assert wrong(conn, ROLLED_BACK) == "of 1 rolled-back jobs 1 are there."


def test_a_job_that_has_not_ended_is_noticed(conn: psycopg.Connection) -> None:
    put_job(conn, queue=QUEUE, status="completed")
    assert wrong(conn, ALL_ENDED) is None

    put_job(conn, queue=QUEUE, status="running", worker_id=1)
    assert wrong(conn, ALL_ENDED) == "not every job has ended: {'running': 1}."


def test_a_kill_that_cost_nothing_is_noticed(conn: psycopg.Connection) -> None:
    put_job(conn, queue=QUEUE, status="completed")
    assert wrong(conn, KILL) == "no job was running in the worker process that was killed."

    put_job(conn, queue=QUEUE, status="completed", errors=KILLED)
    assert wrong(conn, KILL) is None


def test_a_dead_letter_for_a_strange_reason_is_noticed(conn: psycopg.Connection) -> None:
    put_document(conn, job_id=put_dead(conn, queue=QUEUE, error="SyntaxError: invalid syntax (a.py, line 1)"))
    assert wrong(conn, LETTERS) is None
    assert table_lines(LETTERS.look(conn))[1].split() == ["SyntaxError", "5", "1", "lib/a.py"]

    put_dead(conn, queue=QUEUE, error="OperationalError: the server is gone")
    assert wrong(conn, LETTERS) == "dead letters that should not be there: OperationalError."


def test_the_speed_is_that_of_all_jobs_together(conn: psycopg.Connection) -> None:
    for second in range(2):
        put_job(
            conn,
            queue=QUEUE,
            status="completed",
            started_at=f"2026-01-01 00:00:0{second}Z",
            finished_at=f"2026-01-01 00:00:0{second + 3}Z",
        )

    found = SPEED.look(conn)

    assert (found["jobs"], found["seconds"], found["jobs_per_s"]) == (2, 4, 1)  # 0.5 rounded as PostgreSQL does


def test_a_ping_that_did_not_run_is_noticed(conn: psycopg.Connection) -> None:
    conn.execute(
        "INSERT INTO pgjobs_demo.pings SELECT n, now(), now() + n * interval '1 ms' FROM generate_series(1, %s) AS n",
        [PINGS - 1],
    )
    assert wrong(conn, LATENCY) == f"{PINGS} pings were sent, and {PINGS - 1} have run."

    conn.execute("INSERT INTO pgjobs_demo.pings VALUES (%s, now(), now() + interval '100 ms')", [PINGS])
    assert wrong(conn, LATENCY) is None
    assert float(LATENCY.look(conn)["p50_ms"]) == pytest.approx(50.5, abs=0.1)
