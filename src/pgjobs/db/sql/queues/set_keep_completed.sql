-- Set whether completed jobs of a queue are kept, even of one that does not exist yet.
WITH old AS (SELECT keep_completed FROM pgjobs.queues WHERE name = %(queue)s)
INSERT INTO pgjobs.queues (name, keep_completed) VALUES (%(queue)s, %(keep)s)
ON CONFLICT (name) DO UPDATE SET keep_completed = excluded.keep_completed
RETURNING coalesce((SELECT keep_completed FROM old), true) AS kept_before
