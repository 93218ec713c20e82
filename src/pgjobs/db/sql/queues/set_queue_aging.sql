-- Set the aging of a queue (NULL: strict priorities), even of one that does not exist yet.
INSERT INTO pgjobs.queues AS q (name, aging) VALUES (%(queue)s, make_interval(secs => %(seconds)s::float8))
ON CONFLICT (name) DO UPDATE SET aging = excluded.aging
RETURNING name
