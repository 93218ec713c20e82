-- The owners of schedules and of what comes with them, and what they declare, as far as it may count.
SELECT id, role, names, subscriptions, topics, pipelines, started_at, seen_at, ended_at, clock_timestamp() AS now
FROM pgjobs.schedule_owners
