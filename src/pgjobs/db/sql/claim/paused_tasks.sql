-- What is paused: a row or two, or none.
SELECT task, patterns FROM pgjobs.paused_tasks ORDER BY task
