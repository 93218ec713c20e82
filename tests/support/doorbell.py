"""What the doorbell of a queue rings for."""

from __future__ import annotations

import psycopg

from pgjobs.db.statements import doorbell_channel


def channels_rung(conn: psycopg.Connection, schema: str, queue: str) -> list[str]:
    """Insert a job where a producer waits; return the channels that were rung, of those that it would listen to."""
    conn.execute(f'LISTEN "{doorbell_channel(queue, schema)}"')
    conn.execute(
        f"INSERT INTO {schema}.queues (name, doorbell_until) VALUES (%s, now() + interval '1 minute')"
        " ON CONFLICT (name) DO UPDATE SET doorbell_until = excluded.doorbell_until",
        [queue],
    )
    conn.execute(f"INSERT INTO {schema}.jobs (queue, task, payload) VALUES (%s, 'm:f', '')", [queue])
    return [notify.channel for notify in conn.notifies(timeout=0.05)]
