"""A stage starts only while the next one has room; what waits between stages is never much more than `at_most`."""

from __future__ import annotations

import psycopg
import pytest

from pgjobs import enqueue_many
from tests.support import tasks_pipelines as tasks
from tests.support.tasks import URL
from tests.support.worker import drain, scalar

pytestmark = pytest.mark.in_turns(3)

IMPORT = ("--import", "tests.support.tasks_pipelines")
SLOTS = 4


def test_a_slow_last_stage_holds_the_others_up(conn: psycopg.Connection, database_url: str) -> None:
    conn.execute(tasks.NOTES)
    drain(database_url, "-q", "quick", *IMPORT, env={URL: database_url})  # declares what there is
    enqueue_many(conn, tasks.slow, [(number,) for number in range(150)])
    output = drain(
        database_url, "-q", f"quick:{SLOTS}", "-q", "slow:2", "--processes", "2", *IMPORT, env={URL: database_url}
    )
    assert scalar(conn, "SELECT count(*) FROM notes WHERE stage = 'double'") == 150, output
    assert scalar(conn, "SELECT count(DISTINCT item) FROM notes WHERE stage = 'store'") == 150
    most = scalar(conn, "SELECT max(waiting) FROM notes")
    assert 5 <= most <= 10 + 2 * SLOTS
