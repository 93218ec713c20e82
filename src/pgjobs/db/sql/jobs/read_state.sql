-- What the attempts of a job have left, to continue there.
SELECT state FROM pgjobs.progress WHERE job_id = %(id)s
