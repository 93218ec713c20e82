"""All that is in the tables, to see that nothing was written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.worker import scalar

if TYPE_CHECKING:
    import psycopg

_ALL = """
    SELECT json_agg(line ORDER BY line) FROM (
        SELECT 'job ' || j::text AS line FROM pgjobs.jobs AS j
        UNION ALL SELECT 'dead ' || d::text FROM pgjobs.dead_jobs AS d
        UNION ALL SELECT 'worker ' || w::text FROM pgjobs.workers AS w
        UNION ALL SELECT 'queue ' || q::text FROM pgjobs.queues AS q
        UNION ALL SELECT 'schedule ' || s::text FROM pgjobs.schedules AS s
        UNION ALL SELECT 'retention ' || r.history_days::text FROM pgjobs.retention AS r
        UNION ALL SELECT 'table ' || relname FROM pg_class WHERE relnamespace = 'pgjobs'::regnamespace
    ) AS found
"""


def contents(conn: psycopg.Connection) -> list[str]:
    """Give a line for every row of every table, and for every table."""
    found: list[str] = scalar(conn, _ALL)
    return found
