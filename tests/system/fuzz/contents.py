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
        UNION ALL SELECT 'declarer ' || d::text FROM pgjobs.schedule_owners AS d
        UNION ALL SELECT 'limit ' || l::text FROM pgjobs.limits AS l
        UNION ALL SELECT 'tenant ' || t::text FROM pgjobs.tenants AS t
        UNION ALL SELECT 'bucket ' || b::text FROM pgjobs.buckets AS b
        UNION ALL SELECT 'dependency ' || d::text FROM pgjobs.dependencies AS d
        UNION ALL SELECT 'key ' || k::text FROM pgjobs.unique_keys AS k
        UNION ALL SELECT 'breaker ' || b::text FROM pgjobs.breakers AS b
        UNION ALL SELECT 'paused ' || p::text FROM pgjobs.paused_tasks AS p
        UNION ALL SELECT 'switch ' || s::text FROM pgjobs.switch AS s
        UNION ALL SELECT 'retention ' || r.history_days::text FROM pgjobs.retention AS r
        UNION ALL SELECT 'table ' || relname FROM pg_class WHERE relnamespace = 'pgjobs'::regnamespace
    ) AS found
"""


def contents(conn: psycopg.Connection) -> list[str]:
    """Return a line for every row of every table, and for every table."""
    found: list[str] = scalar(conn, _ALL)
    return found
