-- Resume a paused task. It waits for transactions that are parking jobs of the task: see park_task.sql.
DELETE FROM pgjobs.paused_tasks WHERE task = %(task)s RETURNING task
