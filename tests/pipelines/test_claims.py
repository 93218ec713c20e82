"""What claims take of items: as much as the next stage has room for, with one worker or two."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from queue import SimpleQueue

import psycopg
import pytest

from pgjobs import admin
from pgjobs.db.connection import connect_hot
from pgjobs.db.statements import statement
from pgjobs.worker.claim.intake import Intake
from pgjobs.worker.claim.lane_claims import LaneClaims
from pgjobs.worker.local.local_queue import LocalQueue
from tests.support.processes import wait_until
from tests.support.rows import put_job, put_pipeline, put_worker
from tests.support.worker import scalar

STAGE = "{}\x1f\x1f\x1f\x1f\x1findex/{}"
WORST = 9


class Worker:
    """A worker process that claims in the queue default."""

    def __init__(self, url: str, conn: psycopg.Connection) -> None:
        worker = put_worker(conn, {"default": 100})
        self.hot = connect_hot(url, application_name="claims")
        self.claims = LaneClaims("default", Intake(LocalQueue("default", 100, 0), SimpleQueue()), worker)

    def claim(self, wanted: int = 100) -> list[int]:
        """Claim once, and return the ids."""
        with self.hot.transaction(), self.hot.cursor() as cursor:
            claim = self.claims.claim_rows(cursor, wanted, WORST, datetime.now(UTC))
        self.claims.record(claim, wanted, 0.0)
        return [job.id for job in claim.jobs]


@pytest.fixture
def workers(database_url: str, conn: psycopg.Connection) -> Iterator[list[Worker]]:
    found = [Worker(database_url, conn) for _ in range(2)]
    yield found
    for each in found:
        each.hot.close()


def put(conn: psycopg.Connection, stage: str, *keys: str, **columns: object) -> list[int]:
    return [put_job(conn, status="waiting", lane=STAGE.format(key, stage), **columns) for key in keys]


def test_claims_take_what_the_next_stage_has_room_for(conn: psycopg.Connection, workers: list[Worker]) -> None:
    put_pipeline(conn, at_most=10)
    put(conn, "parse", *[""] * 30)
    put(conn, "store", *[""] * 3, queue="other")
    first, second = workers
    assert len(first.claim()) == 7
    assert first.claim() == []
    assert second.claim() == []  # what runs at the first will lead to items
    conn.execute("DELETE FROM pgjobs.jobs WHERE status = 'running' AND id IN (SELECT min(id) FROM pgjobs.jobs_live)")
    conn.execute("DELETE FROM pgjobs.jobs WHERE queue = 'other'")
    assert len(second.claim(2)) == 2
    assert len(first.claim()) == 2


def test_items_of_many_lanes_share_the_room(conn: psycopg.Connection, workers: list[Worker]) -> None:
    put_pipeline(conn, at_most=10)
    put(conn, "parse", *(f"{number:03}" for number in range(600)))
    assert len(workers[0].claim()) == 10
    for _ in range(5):  # until all lanes were looked at once
        assert workers[0].claim() == []
    assert workers[0].claims.rotation.runs, "lanes of a full stage are looked at again, one by one"
    conn.execute("DELETE FROM pgjobs.jobs_live WHERE id IN (SELECT id FROM pgjobs.jobs_live LIMIT 9)")
    assert len(workers[0].claim()) == 9


def test_items_of_all_priorities_share_the_room(conn: psycopg.Connection, workers: list[Worker]) -> None:
    put_pipeline(conn, at_most=10)
    late = put(conn, "parse", *[""] * 8, priority=9)
    soon = put(conn, "parse", *[""] * 8, priority=1)
    claimed = workers[0].claim()
    assert len(claimed) == 10
    assert set(soon) <= set(claimed)
    assert len(set(late) & set(claimed)) == 2


def test_the_last_stage_and_a_stage_that_nothing_has_declared_have_no_bound(
    conn: psycopg.Connection, workers: list[Worker]
) -> None:
    put_pipeline(conn, at_most=1)
    put(conn, "store", *[""] * 20)
    put(conn, "unknown", *[""] * 20)
    assert sum(len(workers[0].claim()) for _ in range(3)) == 40


def test_a_stage_that_attaches_late_misses_nothing(
    conn: psycopg.Connection, database_url: str, workers: list[Worker]
) -> None:
    """Neither what was passed on before there was a worker, nor what is committed after it has looked further."""
    put_pipeline(conn, at_most=100)
    early = put(conn, "store", *[""] * 5, "a")
    with psycopg.connect(database_url) as passing_on:
        late = put(passing_on, "store", "", "b")
        after = put(conn, "store", "", "b")
        assert sorted(workers[0].claim()) == [*early, *after]
        passing_on.commit()
    claimed: list[int] = []

    def have_all() -> bool:
        claimed.extend(workers[0].claim())
        return len(claimed) == len(late)

    wait_until(have_all, 10)
    assert sorted(claimed) == late


def test_what_has_no_room_holds_up_no_other_lane(conn: psycopg.Connection, workers: list[Worker]) -> None:
    put_pipeline(conn, at_most=1)
    put(conn, "store", *[""] * 5, queue="other")
    put(conn, "parse", *[""] * 20)
    others = [put_job(conn, status="waiting", lane="acme\x1f\x1f\x1f") for _ in range(3)]
    assert sorted(workers[0].claim()) == others


def test_a_paused_pipeline_runs_empty_from_the_top(conn: psycopg.Connection, workers: list[Worker]) -> None:
    put_pipeline(conn, at_most=10)
    parse, store = put(conn, "parse", "", ""), put(conn, "store", "", "")
    admin.pause_pipeline(conn, "index")
    assert sorted(workers[0].claim()) == store
    assert workers[0].claim() == []
    admin.resume_pipeline(conn, "index")
    assert sorted(workers[0].claim()) == parse


def test_items_count_for_the_limit_of_their_queue_once_it_has_one(
    conn: psycopg.Connection, workers: list[Worker]
) -> None:
    put_pipeline(conn, at_most=10)
    put(conn, "parse", "")
    workers[0].claim()
    counted = "SELECT counted_queue FROM pgjobs.jobs_live"
    assert scalar(conn, counted) == "\x1findex/parse"
    conn.execute(statement("count_earlier_jobs"), {"queue": "default"})
    assert scalar(conn, counted) == "default"
