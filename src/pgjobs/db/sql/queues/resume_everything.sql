-- Let workers claim again. Queues and tasks that are paused themselves stay so.
UPDATE pgjobs.switch SET paused = false, paused_at = NULL WHERE paused RETURNING one
