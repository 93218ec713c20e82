-- A supervisor reports what its code declares, and that it is alive, even if its row was purged meanwhile.
INSERT INTO pgjobs.schedule_owners AS d (id, role, names, subscriptions, topics, pipelines, started_at)
VALUES (%(id)s, %(role)s, %(names)s::text[], %(subscriptions)s::text[], %(topics)s::text[],
        %(pipelines)s::text[], coalesce(%(started_at)s, clock_timestamp()))
ON CONFLICT (id) DO UPDATE
SET names = excluded.names, subscriptions = excluded.subscriptions, topics = excluded.topics,
    pipelines = excluded.pipelines, seen_at = clock_timestamp(), ended_at = NULL
RETURNING d.started_at
