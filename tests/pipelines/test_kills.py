"""Workers are killed in each stage: in the end each item was in each stage, and is kept once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgjobs import enqueue_many
from tests.support import tasks_pipelines as tasks
from tests.support.tasks import URL
from tests.support.worker import QUICK, scalar, wait_for, work

if TYPE_CHECKING:
    import psycopg

pytestmark = pytest.mark.in_turns(3)

ITEMS = 50
QUEUES = ("-q", "default:2", "-q", "weigh:2", "-q", "keep:2")


def test_workers_that_are_killed_in_each_stage_lose_and_repeat_no_item(
    conn: psycopg.Connection, database_url: str
) -> None:
    conn.execute(tasks.NOTES + "; CREATE TABLE deaths (stage text, number int, PRIMARY KEY (stage, number))")
    enqueue_many(conn, tasks.deadly, [(number,) for number in range(ITEMS // 2)])
    options = (*QUEUES, "--processes", "2", "--import", "tests.support.tasks_pipelines", *QUICK)
    with work(database_url, *options, env={URL: database_url}) as running:
        wait_for(
            conn,
            "NOT EXISTS (SELECT FROM pgjobs.jobs_live) AND NOT EXISTS (SELECT FROM pgjobs.jobs_waiting)",
            90,
            log=lambda: running.output,
        )
    deaths = conn.execute("SELECT stage, count(*) FROM deaths GROUP BY 1 ORDER BY 1").fetchall()
    assert deaths == [("gather", 3), ("keep", 3), ("weigh", 3)]
    kept = [int(row[0]) for row in conn.execute("SELECT item FROM notes WHERE stage = 'keep'")]
    assert sorted(kept) == list(range(ITEMS))
    assert scalar(conn, "SELECT count(*) FROM pgjobs.dead_jobs") == 0
    done = conn.execute("SELECT task, count(*) FROM pgjobs.jobs WHERE status = 'completed' GROUP BY 1").fetchall()
    jobs = {task.partition(":")[2]: count for task, count in done}
    assert jobs == {"gather": ITEMS // 2, "weigh": ITEMS, "keep": ITEMS}
