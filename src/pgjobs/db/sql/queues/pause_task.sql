-- Pause a task, a module or a pattern of tasks. Running jobs end; what is claimed is parked.
INSERT INTO pgjobs.paused_tasks (task, patterns) VALUES (%(task)s, %(patterns)s)
ON CONFLICT (task) DO NOTHING
RETURNING task
