"""Makes jobs that were audited look days old, so that retention has something to drop every minute.

The shortest time that history is kept is a day. So jobs that ended some minutes ago are moved to a day that is over,
and the workers are told to look: what then drops that day, under load, is the product's own retention.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

DAYS = 3
KEEP_A_DAY = "UPDATE pgjobs.retention SET history_days = 1, dead_letter_days = 1, applied_at = NULL"
LOOK_NOW = "UPDATE pgjobs.retention SET applied_at = NULL"
MAKE_DAYS = """
    SELECT pgjobs.create_history_partition((now() AT TIME ZONE 'UTC')::date - n)
    FROM generate_series(%(days)s, %(days)s + 1) AS n
"""
AGE_JOBS = """
    UPDATE pgjobs.jobs_history AS j SET finished_at = finished_at - %(days)s * interval '1 day'
    FROM audited AS a
    WHERE a.job = j.id AND finished_at < now() - %(kept)s * interval '1 s' AND finished_at > now() - interval '1 day'
"""
AGE_LETTERS = """
    UPDATE pgjobs.dead_jobs AS d SET died_at = died_at - %(days)s * interval '1 day'
    FROM audited AS a
    WHERE a.job = d.id AND died_at < now() - %(kept)s * interval '1 s' AND died_at > now() - interval '1 day'
"""


def age(conn: psycopg.Connection[Any], kept: float) -> int:
    """Delete what ended `kept` seconds ago or before and was audited. Return the number of jobs."""
    values = {"days": DAYS, "kept": kept}
    conn.execute(MAKE_DAYS, values)
    with conn.transaction():
        conn.execute("SET LOCAL lock_timeout = '5s'")
        jobs = conn.execute(AGE_JOBS, values).rowcount
        conn.execute(AGE_LETTERS, values)
        conn.execute(LOOK_NOW)
    return jobs
