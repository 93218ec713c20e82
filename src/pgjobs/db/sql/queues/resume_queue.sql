-- Let a paused queue go on.
UPDATE pgjobs.queues SET paused = false, paused_at = NULL WHERE name = %(queue)s AND paused RETURNING name
