"""Schedules in a test: what the code declares is written, and what is due by the test's clock fires.

Their firings are times of a calendar, in a time zone: so the clock is not moved by shifting rows, as that of jobs is,
but by the time that the calendar is asked for. A firing over the end of summer time is where it would be.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pgjobs.db.statements import statement
from pgjobs.schedules.firing import due_firings
from pgjobs.schedules.stored_call import columns_of, statement_of

if TYPE_CHECKING:
    from pgjobs.testing.link import Link


def declare(link: Link) -> None:
    """Write the schedules, subscriptions, topics and pipelines of the imported modules, as the workers of an app do."""
    from pgjobs.events.subscribe import declared_subscriptions, declared_topics
    from pgjobs.events.sync import DeclaredSubscriptions, DeclaredTopics
    from pgjobs.jobs.pipeline import declared_pipelines
    from pgjobs.pipelines.stored import StoredPipeline
    from pgjobs.pipelines.sync import DeclaredPipelines
    from pgjobs.schedules.schedule import declared_schedules
    from pgjobs.schedules.sync import Declaration

    connection: Any = link.connection
    before = connection.execute("SELECT current_setting('lock_timeout')").fetchone()[0]
    Declaration("a test").send_heartbeat(
        connection,
        {each.name: each for each in declared_schedules()},
        [
            DeclaredSubscriptions.of(declared_subscriptions()),
            DeclaredTopics.of(declared_topics()),
            DeclaredPipelines.of(map(StoredPipeline.of, declared_pipelines())),
        ],
    )
    connection.execute("SELECT set_config('lock_timeout', %(before)s, true)", {"before": before})


def fire(link: Link, ahead: float) -> int:
    """Fire each schedule that is due by a clock that is `ahead` seconds ahead, and return the number of firings."""
    count = 0
    for row in link.rows("due_schedules", ahead=ahead):
        next_at, firings = due_firings(row)
        if row["overlap"] == "skip" and firings:
            busy = row["last_job_id"] is not None and link.rows("schedule_is_busy", job_id=row["last_job_id"])
            firings = [] if busy and next(iter(busy[0].values())) else firings[-1:]
        job: int | None = None
        for firing in firings:
            name, values = statement_of(row)
            columns = columns_of(row)._replace(run_at=firing - timedelta(seconds=ahead))
            job = next(map(abs, link.driver.enqueue(name, columns, values)), None)
        link.cursor.execute(
            statement("advance_schedule"),
            {
                "name": row["name"],
                "was": row["next_at"],
                "next_at": next_at,
                "last_at": firings[-1] if firings else None,
                "job_id": job,
                "error": None,
            },
        )
        count += len(firings)
    return count
