-- Pause a queue, even one that does not exist yet. Running jobs end; nothing more is claimed.
INSERT INTO pgjobs.queues AS q (name, paused, paused_at) VALUES (%(queue)s, true, now())
ON CONFLICT (name) DO UPDATE
SET paused = true, paused_at = CASE WHEN q.paused THEN q.paused_at ELSE now() END
RETURNING name, paused_at < now() AS was_paused
