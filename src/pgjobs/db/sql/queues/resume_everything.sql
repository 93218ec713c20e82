-- Resume claims. Queues and tasks that are paused themselves stay paused.
UPDATE pgjobs.switch SET paused = false, paused_at = NULL WHERE paused RETURNING one
