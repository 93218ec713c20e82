-- What a job waited for has come, so it does not wait any longer. A sleep stays, because its next attempt asks for it.
DELETE FROM pgjobs.waits AS w WHERE w.job_id = %(job)s AND w.name = %(wait)s RETURNING w.job_id
