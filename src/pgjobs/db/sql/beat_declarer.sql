-- A supervisor says what its code declares, and that it is there.
INSERT INTO pgjobs.schedule_declarers (id, role, names) VALUES (%(id)s, %(role)s, %(names)s::text[])
ON CONFLICT (id) DO UPDATE
SET names = excluded.names, seen_at = clock_timestamp(), ended_at = NULL
