-- How far a job has come, by its own word.
SELECT done, total, message, state, updated_at FROM pgjobs.progress WHERE job_id = %(id)s
