-- What a step of a job has returned; no row: it has not been done.
SELECT value, signature FROM pgjobs.job_steps WHERE job_id = %(id)s AND key = %(key)s
