-- Resume a paused queue.
UPDATE pgjobs.queues SET paused = false, paused_at = NULL WHERE name = %(queue)s AND paused RETURNING name
