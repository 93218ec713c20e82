-- The paused tasks: a row or two at most, as a rule.
SELECT task, patterns FROM pgjobs.paused_tasks ORDER BY task
