-- A supervisor says what its code declares, and that it is there; also one that others have forgotten meanwhile.
INSERT INTO pgjobs.schedule_owners AS d (id, role, names, started_at)
VALUES (%(id)s, %(role)s, %(names)s::text[], coalesce(%(started_at)s, clock_timestamp()))
ON CONFLICT (id) DO UPDATE
SET names = excluded.names, seen_at = clock_timestamp(), ended_at = NULL
RETURNING d.started_at
