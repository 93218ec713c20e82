"""What was enqueued when, whatever happens to the jobs: a retry, or a rescue, gives a job another `run_at`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from psycopg import Connection

# Rows that go to another partition are inserted there, too; the first one counts.
_RECORD = """
    CREATE TABLE IF NOT EXISTS fired (id bigint PRIMARY KEY, summary text, run_at timestamptz, at timestamptz);
    CREATE OR REPLACE FUNCTION record_firing() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO public.fired VALUES (NEW.id, NEW.summary, NEW.run_at, clock_timestamp()) ON CONFLICT DO NOTHING;
        RETURN NULL;
    END $$;
    CREATE OR REPLACE TRIGGER record_firing AFTER INSERT ON pgjobs.jobs FOR EACH ROW EXECUTE FUNCTION record_firing();
    TRUNCATE fired;
"""


def record_firings(conn: Connection) -> None:
    """Record each job that is enqueued from now on."""
    conn.execute(_RECORD)


def firings(conn: Connection) -> dict[str, list[datetime]]:
    """Return the firings of each schedule that were enqueued, in their order, by the summary of the call."""
    found: dict[str, list[datetime]] = {}
    for summary, run_at in conn.execute("SELECT summary, run_at FROM fired ORDER BY run_at, id").fetchall():
        found.setdefault(summary, []).append(run_at)
    return found


def lateness(conn: Connection) -> list[float]:
    """Return the seconds by which each was enqueued after it was due."""
    return [row[0] for row in conn.execute("SELECT extract(epoch FROM at - run_at)::float8 FROM fired").fetchall()]
