-- Let a paused task go on. It waits for who parks jobs for it at this moment: see park_task.sql.
DELETE FROM pgjobs.paused_tasks WHERE task = %(task)s RETURNING task
