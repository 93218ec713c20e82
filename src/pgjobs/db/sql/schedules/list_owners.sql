-- The owners of schedules and what they declare, as far as it may count.
SELECT id, role, names, started_at, seen_at, ended_at, clock_timestamp() AS now FROM pgjobs.schedule_owners
