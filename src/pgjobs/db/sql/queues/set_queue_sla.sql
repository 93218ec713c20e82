-- Set how late a job of a queue may start (NULL: nothing was promised), even of one that does not exist yet.
INSERT INTO pgjobs.queues AS q (name, sla) VALUES (%(queue)s, %(seconds)s::float8)
ON CONFLICT (name) DO UPDATE SET sla = excluded.sla
RETURNING name
